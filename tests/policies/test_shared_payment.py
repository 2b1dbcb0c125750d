"""What each of several events pays where they share a setpoint: each Wh at the price of its own. A4, P5, P19."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.decision import Part
from csms.domain.dr import Direction
from csms.domain.ids import DrEventId
from csms.domain.ledger import EntryKind
from policies.commands import Claim, Command, Tariffs, runs
from policies.delivery import dr_results
from policies.flows import Flow
from policies.in_force import InForce
from policies.settlement import ledger_entries
from tests.policies.test_fullness import minute, setpoint
from tests.policies.test_settlement import commanded, event, flow

E1, E2 = DrEventId("e1"), DrEventId("e2")
SHARED = commanded(
    event=E1,
    price_per_kwh=Decimal(60),
    counterfactual_wh=Decimal(7000),
    commanded_wh=Decimal(13_000),
    claims=(Claim(E2, Decimal(35), Decimal(7000)), Claim(E1, Decimal(60), Decimal(6000))),
)
"""The vehicle would have charged 7 kWh at 30; e2 stops that for 35, e1 has 6 kWh discharged for 60."""


def booked(metered: Flow) -> dict[tuple[DrEventId | None, EntryKind], tuple[int, int]]:
    """(Wh, yen) of one half hour."""
    made = ledger_entries([metered], {}, "JPY", minute(40))
    return {(entry.event, entry.kind): (entry.energy_wh, entry.postings[0].amount_minor) for entry in made}


def test_each_kilowatt_hour_is_paid_at_the_price_of_its_own_event() -> None:
    assert booked(flow(exported="6000", command=SHARED)) == {
        (E2, EntryKind.REWARD): (7000, 35),
        (E1, EntryKind.SALE): (6000, 360),
    }


def test_what_was_fed_in_is_paid_by_who_was_to_discharge_even_where_less_came() -> None:
    """P5: half an hour at -6 kW, half at +7: 3 kWh fed in are e1's, whose price the user accepts."""
    assert booked(flow(imported="3500", exported="3000", command=SHARED)) == {
        (None, EntryKind.PURCHASE): (3500, -105),
        (E2, EntryKind.REWARD): (3500, 18),
        (E1, EntryKind.SALE): (3000, 180),
    }


def test_an_upward_kilowatt_hour_costs_what_its_own_event_says() -> None:
    """P11: 2 kWh for e1 at 20, 3 for e2 at 10; 4.5 came beyond what would have flowed."""
    raised = commanded(
        event=E1,
        direction=Direction.UP,
        price_per_kwh=Decimal(20),
        counterfactual_wh=Decimal(1000),
        commanded_wh=Decimal(5000),
        claims=(Claim(E1, Decimal(20), Decimal(2000)), Claim(E2, Decimal(10), Decimal(3000))),
    )
    assert booked(flow(imported="5500", command=raised)) == {
        (None, EntryKind.PURCHASE): (1000, -30),
        (E1, EntryKind.PURCHASE): (2000, -40),
        (E2, EntryKind.PURCHASE): (2500, -25),
    }


energies = st.integers(0, 9_000).map(Decimal)


@st.composite
def shared(draw: st.DrawFn) -> Command:
    claims = tuple(
        Claim(DrEventId(f"e{draw(st.integers(1, 3))}"), Decimal(draw(st.integers(1, 60))), draw(energies))
        for _ in range(draw(st.integers(1, 5)))
    )
    return commanded(
        event=claims[0].event,
        direction=draw(st.sampled_from(Direction)),
        counterfactual_wh=draw(energies),
        commanded_wh=sum((claim.commanded_wh for claim in claims), Decimal(0)),
        has_lapsed=draw(st.booleans()),
        claims=claims,
    )


@given(shared(), energies, energies)
def test_the_events_sums_are_what_moved_and_none_gets_more_than_it_commanded(
    command: Command, imported: Decimal, exported: Decimal
) -> None:
    """P19: sum of booked = what moved; each Wh is one event's."""
    won = command.won(imported - exported, exported)
    assert sum(each.within_wh for each in won) == command.within_wh(imported - exported)
    for each in won:
        most = sum(claim.commanded_wh for claim in command.claims if claim.event == each.event)
        assert 0 <= each.sold_wh <= each.within_wh <= most
    names = {claim.event for claim in command.claims}
    metered = flow(imported=str(imported), exported=str(exported), command=command)
    results = [result for name in names for result in dr_results(event(id=name), [metered])]
    assert sum(result.delivered_wh for result in results) == command.delivered_wh(imported - exported)
    assert sum(result.allotted_wh for result in results) == command.commanded_wh


@pytest.mark.parametrize(
    ("counterfactual_w", "expected"), [(7000, (4000, 9000)), (2000, (0, 8000)), (8000, (5000, 9000))]
)
def test_a_counterfactual_that_was_too_high_takes_from_the_first_watts(
    counterfactual_w: int, expected: tuple[int, int]
) -> None:
    """A6: e2's 4 kW of charging that stopped were never there; what e1 has discharged was. 7 kW, to -6, in an hour."""
    parts = (Part(E2, 4000, Decimal(35)), Part(E1, 9000, Decimal(60)))
    told = setpoint(0, 60, -6000, event=E1)
    record = replace(told, counterfactual_w=counterfactual_w, parts=parts)
    spans = [InForce(record, minute(0), minute(60))]
    tariffs = Tariffs(tariff_per_kwh=Decimal(30), events={name: event(id=name) for name in (E1, E2)})
    (run,) = runs(spans, minute(0), minute(60), tariffs)
    assert run.command is not None
    assert tuple(int(claim.commanded_wh) for claim in run.command.claims) == expected
    assert run.command.commanded_wh == sum(expected)
