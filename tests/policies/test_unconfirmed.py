"""Discharge that a setpoint of ours may have caused, though nothing in force explains it. P5, P19; must hold 2."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.conditions import Conditions
from csms.domain.decision import Part
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.facts import Reading
from csms.domain.ids import DrEventId, UserId
from csms.domain.ledger import EntryKind, LedgerEntry
from csms.domain.metering import StoredReading
from csms.domain.permission import Permission, PermissionState, PlugIn
from csms.domain.tariff import PriceSeries, PriceStep
from csms.domain.units import round_minor
from policies.flows import Known, flows_of, pieces
from policies.in_force import in_force
from policies.settlement import ledger_entries
from policies.unconfirmed import possible_discharges
from tests.policies.test_settlement import START, event, minute, record

TARIFF = Decimal(30)
FLAT = PriceSeries(currency="JPY", steps=(PriceStep(START, TARIFF),))
HALF_HOUR = timedelta(minutes=30)


def yes(min_sell: str | None, at: float = -60, **changes: Any) -> Permission:
    conditions = Conditions(min_sell_per_kwh=None if min_sell is None else Decimal(min_sell))
    return Permission(state=PermissionState.GRANTED, answered_at=minute(at), conditions=replace(conditions, **changes))


def lost(n: float, **changes: Any) -> SetpointRecord:
    """-3 kW for three minutes, at 60 per kWh; nobody heard the station's answer."""
    given: dict[str, Any] = {
        "acknowledged_at": None,
        "state": SetpointState.UNANSWERED,
        "expires_at": minute(n + 3),
        "price_per_kwh": Decimal(60),
    }
    return record(n, 0, event(), **(given | changes))


def settled(
    records: list[SetpointRecord], out_w: dict[tuple[float, float], float], *history: Permission
) -> list[LedgerEntry]:
    """The half hour, metered each minute: what the vehicle gave in which minutes."""
    plug_in = PlugIn(id=record(0, 0, None).plug_in, evse=record(0, 0, None).evse, plugged_at=START, user=UserId("u"))  # type: ignore[arg-type]
    readings = [
        StoredReading(id=n + 1, reading=reading(n, out_w), received_at=minute(n), message_id=f"m{n}") for n in range(31)
    ]
    events = {name: event(id=name) for name in (event().id, DrEventId("first"))}
    known = Known(
        plug_in=plug_in,
        history=history or (yes("50"),),
        readings=readings,
        max_w=100_000,
        in_force=in_force(records, plug_in.id, events),
        possible=possible_discharges(records, plug_in.id),
        events=events,
    )
    flows = [flow for _, flow in flows_of(known, pieces((START, minute(30)), HALF_HOUR, FLAT))]
    return list(ledger_entries(flows, {}, "JPY", minute(40)))


def reading(n: int, out_w: dict[tuple[float, float], float]) -> Reading:
    given = sum(watts * max(0.0, min(n, last) - first) / 60 for (first, last), watts in out_w.items())
    return Reading(at=minute(n), import_wh=0.0, export_wh=given)


def sold(made: list[LedgerEntry]) -> dict[int, int]:
    """Price -> Wh of sales."""
    found: dict[int, int] = {}
    for entry in made:
        assert entry.kind is EntryKind.SALE
        found[int(entry.price_per_kwh)] = found.get(int(entry.price_per_kwh), 0) + entry.energy_wh
    return found


def test_a_discharge_whose_acknowledgement_was_lost_is_paid_the_users_price() -> None:
    """P5: 150 Wh in three minutes at a tariff of 30; the user asks 50, the event would have paid 60."""
    (entry,) = settled([lost(10)], {(10, 13): 3000})
    assert (entry.energy_wh, entry.price_per_kwh, entry.event) == (150, 50, None)
    assert entry.cause.endswith(":sale-unconfirmed")
    assert entry.evidence["unconfirmed"] == ["s-10"]


def test_a_discharge_that_goes_on_a_little_after_its_setpoint_is_paid_the_users_price() -> None:
    """P5: acknowledged, three minutes at 60, and a minute longer, as a station's clock is late."""
    told = lost(10, acknowledged_at=minute(10), state=SetpointState.OBSERVED)
    assert sold(settled([told], {(10, 14): 3000})) == {60: 150, 50: 50}


def test_what_flows_between_the_setpoint_and_its_late_acknowledgement_is_paid_the_users_price() -> None:
    """P5, design §4: in force only from the acknowledgement, a minute late."""
    told = lost(10, acknowledged_at=minute(11), state=SetpointState.OBSERVED)
    assert sold(settled([told], {(10, 13): 3000})) == {60: 100, 50: 50}


def test_a_lost_rise_of_a_discharge_is_paid_at_the_users_price_above_what_was_acknowledged() -> None:
    """P5, P19: 1 kW acknowledged, 3 kW sent, 3 kW flow: 50 Wh commanded, 100 Wh of ours."""
    low = lost(10, desired_w=-1000, acknowledged_at=minute(10), state=SetpointState.OBSERVED, id="low")
    assert sold(settled([low, lost(10)], {(10, 13): 3000})) == {60: 50, 50: 100}


def test_what_a_lost_discharge_gave_while_only_a_stop_was_in_force_is_paid_the_users_price() -> None:
    """P5, P19: 3 kW of charging are stopped for 35, acknowledged, for four minutes; after the first 3 kW are to be
    discharged for 60, the answer is lost, and they flow out. The user asks 50. Before: sold for 35."""
    stop = record(9, 3000, event(), desired_w=0, price_per_kwh=Decimal(35), expires_at=minute(13), id="stop")
    made = settled([stop, lost(10)], {(10, 13): 3000})
    assert {(entry.kind, entry.energy_wh, int(entry.price_per_kwh), entry.event) for entry in made} == {
        (EntryKind.SALE, 150, 50, None),
        (EntryKind.REWARD, 200, 5, event().id),
    }


@pytest.mark.parametrize(("acknowledged", "price"), [(False, 50), (True, 60)])
def test_a_lost_discharge_of_one_event_beside_another_that_pays_less_is_paid_the_users_price(
    acknowledged: bool,
    price: int,
) -> None:
    """P5: the more important event pays 35 for charging that stops, the other 60 for the discharge. The user asks 50.
    Before: 35 where the answer was lost."""
    parts = (Part(DrEventId("first"), 3000, Decimal(35)), Part(event().id, 3000, Decimal(60)))
    answered = {"acknowledged_at": minute(10), "state": SetpointState.OBSERVED} if acknowledged else {}
    both = replace(
        lost(10, price_per_kwh=Decimal(35), parts=parts, **answered), counterfactual_w=3000, event=DrEventId("first")
    )
    made = settled([both], {(10, 13): 3000})
    assert sold([entry for entry in made if entry.kind is EntryKind.SALE]) == {price: 150}


def test_what_a_vehicle_gives_of_its_own_will_is_worth_the_tariff() -> None:
    """P19: no setpoint of ours, one of long ago, one that would charge, one that was refused, no yes."""
    assert sold(settled([], {(10, 13): 3000})) == {30: 150}
    assert sold(settled([lost(0)], {(10, 13): 3000})) == {30: 150}
    assert sold(settled([lost(10, desired_w=3000)], {(10, 13): 3000})) == {30: 150}
    assert sold(settled([lost(10, state=SetpointState.REJECTED)], {(10, 13): 3000})) == {30: 150}
    refused = Permission(state=PermissionState.REFUSED, answered_at=minute(5), conditions=yes("50").conditions)
    assert sold(settled([lost(10)], {(10, 13): 3000}, yes("50"), refused)) == {30: 150}


def test_more_than_we_asked_for_is_worth_the_tariff() -> None:
    """P19: 9 kW flow for as long as 3 kW may have been followed."""
    assert sold(settled([lost(10)], {(10, 16): 9000})) == {50: 300, 30: 600}


def test_another_setpoint_that_was_acknowledged_ends_the_doubt() -> None:
    """Half a minute is left for the ramp."""
    rest = record(11, 0, None, desired_w=0, price_per_kwh=None)
    assert sold(settled([lost(10), rest], {(10, 16): 3000})) == {50: 75, 30: 225}


@pytest.mark.parametrize(("min_sell", "price"), [(None, 30), ("20", 30), ("55", 55), ("9999", 60)])
def test_a_user_gets_the_tariff_at_least_and_no_more_than_the_setpoint_had_promised(
    min_sell: str | None, price: int
) -> None:
    """P5: who asks more only afterwards, or entrusts, has the price that was frozen at the decision."""
    assert sold(settled([lost(10)], {(10, 13): 3000}, yes(min_sell))) == {price: 150}


def test_the_price_is_the_one_that_the_user_asked_when_it_was_decided() -> None:
    raised = replace(yes("58", 10.5), revised_at=minute(10.5))
    assert sold(settled([lost(10)], {(10, 13): 3000}, yes("50"), raised)) == {50: 150}


def test_a_minimum_incentive_counts_on_the_tariff() -> None:
    """P5: 12 more than 30, and a minimum price where that is more."""
    gains = yes(None, min_incentive_per_kwh=Decimal(12))
    assert sold(settled([lost(10)], {(10, 13): 3000}, gains)) == {42: 150}
    both = yes("45", min_incentive_per_kwh=Decimal(12))
    assert sold(settled([lost(10)], {(10, 13): 3000}, both)) == {45: 150}


powers = st.integers(-8000, 8000)
setpoints = st.lists(
    st.tuples(st.integers(-3, 28), powers, st.none() | st.integers(0, 3), st.integers(1, 10)), max_size=6
)
gives = st.lists(st.tuples(st.integers(0, 29), st.integers(1, 10), st.integers(0, 12_000)), max_size=4)


@given(setpoints, gives)
def test_beyond_the_tariff_no_more_is_paid_than_was_metered_and_asked_for(
    rows: list[tuple[int, int, int | None, int]], out: list[tuple[int, int, int]]
) -> None:
    """P19, must hold 2: whatever was sent, lost and given."""
    records = [
        lost(
            n,
            id=f"s-{n}-{i}",
            desired_w=power,
            acknowledged_at=None if late is None else minute(n + late),
            expires_at=minute(n + lasts),
        )
        for i, (n, power, late, lasts) in enumerate(rows)
    ]
    made = settled(records, {(first, first + lasts): watts for first, lasts, watts in out})
    metered = reading(30, {(first, first + lasts): watts for first, lasts, watts in out}).export_wh
    assert metered is not None
    assert sum(entry.energy_wh for entry in made) == round_minor(Decimal(repr(metered)))
    asked = Decimal(0)
    for second in range(0, 1800, 30):
        at = START + timedelta(seconds=second)
        asked += max([0, *(-r.desired_w for r in records if _may_run(r, at))]) * Decimal(30) / 3600
    above = sum(entry.energy_wh for entry in made if entry.price_per_kwh > TARIFF and entry.kind is EntryKind.SALE)
    assert above <= asked + len(made)


def _may_run(told: SetpointRecord, at: datetime) -> bool:
    """Twice its validity, and the time in which an answer may come late."""
    last = max(told.expires_at, told.acknowledged_at or told.expires_at)
    return told.decided_at - timedelta(seconds=30) <= at < last + (told.expires_at - told.decided_at)
