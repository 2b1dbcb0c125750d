"""From metered energy to ledger entries. Requirements P5, P11, P13, P19; design §3; mission, must hold 2."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId, EvseRef, PlugInId, StationId, UserId, VehicleId
from csms.domain.ledger import ENERGY_BOUGHT, ENERGY_SOLD, EntryKind, LedgerEntry, Posting
from csms.domain.metering import Quality, WindowEnergy
from csms.domain.permission import PlugIn
from csms.domain.station import SetpointDriver
from csms.domain.tariff import PriceSeries, PriceStep
from csms.domain.units import amount_minor, round_minor
from policies.delivery import dr_results
from policies.flows import Flow, cuts
from policies.settlement import ledger_entries

START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
END = START + timedelta(minutes=30)
LATER = END + timedelta(minutes=5)


def event(direction: Direction = Direction.DOWN, **changes: Any) -> DrEvent:
    given = {"id": DrEventId("event"), "requested_w": 1000, "starts_at": START, "ends_at": END, "created_at": START}
    return DrEvent(direction=direction, **({"incentive_per_kwh": Decimal(12)} | given | changes))  # type: ignore[arg-type]


def flow(number: int = 1, *, imported: str = "0", exported: str = "0", **changes: Any) -> Flow:
    evse = EvseRef(StationId(f"s{number}"), 1)
    plug_in = PlugIn(
        id=PlugInId(f"plug{number}"),
        evse=evse,
        plugged_at=START,
        user=UserId(f"user{number}"),
        vehicle=VehicleId(f"car{number}"),
    )
    energy = WindowEnergy(
        evse=evse,
        start=START,
        end=END,
        import_wh=Decimal(imported),
        export_wh=Decimal(exported),
        quality=Quality.MEASURED,
        readings=(1, 2),
    )
    known = Flow(plug_in=plug_in, energy=energy, tariff_per_kwh=Decimal(30), events=(), permitted=True)
    return replace(known, **changes)


def booked(*entries: LedgerEntry) -> dict[str, list[LedgerEntry]]:
    by_cause: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        by_cause[entry.cause].append(entry)
    return by_cause


def owed(entries: Sequence[LedgerEntry]) -> dict[str, int]:
    accounts: dict[str, int] = defaultdict(int)
    for entry in entries:
        for posting in entry.postings:
            accounts[posting.account] += posting.amount_minor
    return accounts


def entries(*flows: Flow, before: Sequence[LedgerEntry] = (), currency: str = "JPY") -> tuple[LedgerEntry, ...]:
    return ledger_entries(flows, booked(*before), currency, LATER)


def test_discharged_energy_is_a_sale_and_charged_energy_a_purchase() -> None:
    """P13, P19: both by the meter, each against the aggregator's own account."""
    purchase, sale = entries(flow(imported="2000", exported="1500"))
    assert (sale.kind, sale.energy_wh, sale.price_per_kwh) == (EntryKind.SALE, 1500, 30)
    assert sale.postings == (Posting("user:user1", 45), Posting(ENERGY_BOUGHT, -45))
    assert (purchase.kind, purchase.energy_wh) == (EntryKind.PURCHASE, 2000)
    assert purchase.postings == (Posting("user:user1", -60), Posting(ENERGY_SOLD, 60))
    assert sale.cause == "plug1:2026-07-01T09:00:00+00:00:sale"
    assert (sale.user, sale.vehicle, sale.evse, sale.plug_in) == ("user1", "car1", EvseRef(StationId("s1"), 1), "plug1")


def test_every_entry_leads_back_to_the_readings_it_follows_from() -> None:
    """Mission, must hold 2."""
    (sale,) = entries(flow(exported="1500.5"))
    assert sale.evidence == {
        "readings": [1, 2],
        "import_wh": "0",
        "export_wh": "1500.5",
        "quality": "measured",
        "permitted": True,
    }


PRICES: list[tuple[DrEvent | None, int, int]] = [
    (None, 30, 30),
    (event(), 42, 30),
    (event(incentive_per_kwh=None, price_per_kwh=Decimal(50)), 50, 30),
    (event(Direction.UP), 30, 18),
    (event(Direction.UP, incentive_per_kwh=Decimal(99)), 30, 0),
]


@pytest.mark.parametrize(("in_force", "sale_price", "purchase_price"), PRICES)
def test_an_event_sets_the_price_of_its_own_direction(
    in_force: DrEvent | None, sale_price: int, purchase_price: int
) -> None:
    """P11: the stronger the incentive, the more a sale pays and the less a purchase costs."""
    purchase, sale = entries(flow(imported="1000", exported="1000", events=(in_force,) if in_force else ()))
    assert (sale.price_per_kwh, purchase.price_per_kwh) == (sale_price, purchase_price)
    down = in_force is not None and in_force.direction is Direction.DOWN
    assert (sale.event is not None, purchase.event is not None) == (down, in_force is not None and not down)


@pytest.mark.parametrize(
    "nothing",
    [
        flow(),
        flow(exported="0.4"),
        flow(exported="1000", energy=replace(flow(exported="1000").energy, quality=Quality.MISSING)),
        flow(exported="1000", plug_in=replace(flow().plug_in, user=None)),
    ],
    ids=["no energy", "less than a Wh", "not metered", "user unknown"],
)
def test_nothing_is_booked_without_metered_energy_of_a_known_user(nothing: Flow) -> None:
    assert entries(nothing) == ()


def test_late_readings_correct_what_was_booked() -> None:
    first = entries(flow(exported="1000"))
    second = entries(flow(exported="1200"), before=first)
    assert [(e.kind, e.revision, e.energy_wh) for e in second] == [(EntryKind.CORRECTION, 1, 200)]
    assert owed([*first, *second]) == {"user:user1": 36, ENERGY_BOUGHT: -36}
    third = entries(flow(exported="0"), before=[*first, *second])
    assert [(e.revision, e.energy_wh) for e in third] == [(2, -1200)]
    assert set(owed([*first, *second, *third]).values()) == {0}


def test_a_correction_of_the_energy_alone_still_balances() -> None:
    (first,) = entries(flow(exported="1000"))
    (second,) = entries(flow(exported="1001"), before=[first])
    assert (second.energy_wh, second.is_balanced, owed([second])["user:user1"]) == (1, True, 0)


def test_a_correction_stays_with_the_user_it_was_booked_to() -> None:
    first = entries(flow(exported="1000"))
    handed_over = replace(flow().plug_in, user=UserId("other"))
    second = entries(flow(exported="1200", plug_in=handed_over), before=first)
    assert owed([*first, *second]) == {"user:user1": 36, ENERGY_BOUGHT: -36}


amounts = st.decimals(0, 20_000, places=3)
flows_of_an_interval = st.lists(st.tuples(amounts, amounts, st.integers(0, 99)), min_size=1, max_size=8)


def many(rows: list[tuple[Decimal, Decimal, int]]) -> list[Flow]:
    return [
        flow(number, imported=str(imported), exported=str(exported), tariff_per_kwh=Decimal(price) / 10)
        for number, (imported, exported, price) in enumerate(rows)
    ]


@given(flows_of_an_interval, st.sampled_from(["JPY", "EUR"]))
def test_every_entry_balances_and_the_sum_of_parts_is_the_whole(
    rows: list[tuple[Decimal, Decimal, int]], currency: str
) -> None:
    """Design §3: to the last Wh and the last minor unit."""
    flows = many(rows)
    made = entries(*flows, currency=currency)
    assert all(entry.is_balanced and entry.energy_wh >= 0 for entry in made)
    sales = [entry for entry in made if entry.kind is EntryKind.SALE]
    assert sum(e.energy_wh for e in sales) == round_minor(sum((f.energy.export_wh for f in flows), Decimal(0)))
    exact = sum((amount_minor(e.energy_wh, e.price_per_kwh, currency) for e in sales), Decimal(0))
    assert owed(made)[ENERGY_BOUGHT] == -round_minor(exact)


@given(flows_of_an_interval)
def test_settling_twice_adds_nothing(rows: list[tuple[Decimal, Decimal, int]]) -> None:
    flows = many(rows)
    made = entries(*flows)
    assert entries(*reversed(flows), before=made) == ()


@given(flows_of_an_interval, flows_of_an_interval)
def test_corrections_lead_to_what_settling_at_once_would_have_given(
    before: list[tuple[Decimal, Decimal, int]], after: list[tuple[Decimal, Decimal, int]]
) -> None:
    size = min(len(before), len(after))
    first = entries(*many(before[:size]))
    second = entries(*many(after[:size]), before=first)
    direct = owed(entries(*many(after[:size])))
    assert {a: s for a, s in owed([*first, *second]).items() if s} == {a: s for a, s in direct.items() if s}
    assert len({(entry.cause, entry.revision) for entry in (*first, *second)}) == len(first) + len(second)


def test_time_is_cut_at_market_intervals_events_and_price_steps() -> None:
    series = PriceSeries(currency="JPY", steps=(PriceStep(START + timedelta(minutes=50), Decimal(1)),))
    cancelled = event(ends_at=LATER + timedelta(hours=9), cancelled_at=START + timedelta(minutes=40))
    first, last = START - timedelta(minutes=7), START + timedelta(minutes=65)
    found = cuts(first, last, timedelta(minutes=30), [cancelled], series)
    edges = [int((start - START).total_seconds() / 60) for start, _ in found]
    assert edges == [-7, 0, 30, 40, 50, 60]
    assert [end for _, end in found] == [*(start for start, _ in found[1:]), last]


def test_an_empty_stretch_of_time_has_no_cuts() -> None:
    series = PriceSeries(currency="JPY", steps=(PriceStep(START, Decimal(1)),))
    assert cuts(START, START, timedelta(minutes=30), [], series) == ()


def record(
    minute: int, counterfactual_w: int, moved_by: DrEvent | None, number: int = 1, plug: str = ""
) -> SetpointRecord:
    at = START + timedelta(minutes=minute)
    return SetpointRecord(
        id=f"{number}-{minute}",
        evse=EvseRef(StationId(f"s{number}"), 1),
        plug_in=PlugInId(plug or f"plug{number}"),
        transaction=None,
        event=moved_by.id if moved_by else None,
        decided_at=at,
        desired_w=-3000,
        counterfactual_w=counterfactual_w,
        expires_at=at + timedelta(hours=1),
        driver=SetpointDriver.OCPP21_SETPOINT,
        reasons=(),
    )


def test_what_was_delivered_is_the_baseline_less_the_meter() -> None:
    """The baseline is the mean over the time that setpoints held: 6 kW for 10 min, then 3 kW."""
    asked = event()
    records = [record(-30, 9000, None), record(0, 6000, asked), record(10, 3000, asked)]
    (result,) = dr_results(asked, [flow(exported="1500")], records)
    assert round(result.counterfactual_wh, 6) == 2000
    assert (result.metered_wh, round(result.delivered_wh, 6)) == (-1500, 3500)


def test_an_upward_event_is_delivered_by_charging() -> None:
    asked = event(Direction.UP)
    (result,) = dr_results(asked, [flow(imported="2500")], [record(0, 1000, asked)])
    assert round(result.delivered_wh, 6) == 2000


def test_what_flowed_without_a_yes_was_neither_allotted_nor_delivered() -> None:
    """P4: also while a setpoint of the event still held."""
    asked = event()
    assert dr_results(asked, [flow(exported="1500", permitted=False)], [record(0, 0, asked)]) == ()


def test_what_was_not_metered_was_not_delivered() -> None:
    """Must hold 2: a setpoint that stops charging proves nothing by itself."""
    asked = event()
    unknown = flow(energy=replace(flow().energy, quality=Quality.MISSING))
    (result,) = dr_results(asked, [unknown], [record(0, 6000, asked)])
    assert (result.counterfactual_wh, result.delivered_wh, result.quality) == (3000, 0, "missing")


def test_what_was_allotted_is_what_setpoints_of_the_event_moved_while_they_held() -> None:
    """G11: 10 min without the event, then 3 + 3 kW; the setpoint of a vehicle that has left counts for nobody."""
    asked = event()
    records = [record(-30, 9000, None), record(10, 3000, asked), record(0, 0, asked, plug="plug0")]
    (result,) = dr_results(asked, [flow(exported="1000")], records)
    assert round(result.allotted_wh, 6) == 2000


def test_an_evse_that_the_event_did_not_move_has_no_result() -> None:
    asked = event()
    assert dr_results(asked, [flow(1), flow(2)], [record(0, 7000, None)]) == ()
