"""A vehicle that stopped by itself was full, and would have been so without the event. A6, P19."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import DrEventId, EvseRef, PlugInId, StationId, UserId, VehicleId
from csms.domain.metering import StoredReading
from csms.domain.people import Vehicle
from csms.domain.permission import PlugIn
from csms.domain.station import SetpointDriver
from policies.fullness import Meter, Room, full_at, limited, room_of
from policies.in_force import InForce, in_force

VEHICLE = Vehicle(
    id=VehicleId("v"),
    user=UserId("u"),
    name="",
    capacity_wh=40_000,
    max_charge_w=7_360,
    max_discharge_w=0,
    charge_efficiency=1.0,
)
START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
EVSE = EvseRef(StationId("s"), 1)
PLUG = PlugInId("p")
PLUGGED = PlugIn(id=PLUG, evse=EVSE, plugged_at=START)


def minute(n: float) -> datetime:
    return START + timedelta(minutes=n)


def setpoint(start: float, end: float, desired_w: int, event: str | None = None) -> SetpointRecord:
    """What would flow without the event: 7 kW all the time, as nobody knows that the vehicle fills up."""
    return SetpointRecord(
        id=f"s-{start}",
        evse=EVSE,
        plug_in=PLUG,
        transaction=None,
        event=DrEventId(event) if event else None,
        decided_at=minute(start),
        acknowledged_at=minute(start),
        desired_w=desired_w,
        counterfactual_w=7000,
        expires_at=minute(end),
        driver=SetpointDriver.OCPP21_SETPOINT,
        reasons=(),
    )


def meter(energy_wh: Callable[[float], float], until: int = 480, step_wh: int = 1) -> Meter:
    readings = [
        StoredReading(
            id=n + 1,
            reading=Reading(at=minute(n), import_wh=float(energy_wh(n) // step_wh * step_wh)),
            received_at=minute(n),
            message_id="m",
        )
        for n in range(until + 1)
    ]
    return Meter(evse=EVSE, plugged_at=START, readings=readings, max_w=7_360)


CHARGE_STOP_CHARGE = in_force([setpoint(0, 60, 7000), setpoint(60, 180, 0, "e"), setpoint(180, 480, 7000)], PLUG)
"""One hour of charging, two hours of an event that stops it, five hours of charging."""


def charged(full_wh: float) -> Callable[[float], float]:
    """7 kW in the first hour and from the third on, until it is full."""

    def energy_wh(n: float) -> float:
        return min(full_wh, 7000 * (min(n, 60) + max(n - 180, 0)) / 60)

    return energy_wh


def would_wh(spans: tuple[InForce, ...]) -> float:
    return float(sum(s.record.counterfactual_w * s.hours for s in spans if s.record.event))


def cut(seen: Meter, spans: tuple[InForce, ...] = CHARGE_STOP_CHARGE) -> tuple[InForce, ...]:
    """With the room of a 40 kWh vehicle without losses."""
    return limited(seen, spans, room_of(seen, spans, PLUGGED, VEHICLE))


@pytest.mark.parametrize("step_wh", [1, 100, 1000])
@pytest.mark.parametrize("full_wh", [10_000, 15_000, 20_000])
def test_what_would_have_flowed_is_what_the_vehicle_took_afterwards(full_wh: int, step_wh: int) -> None:
    """It came with room for 10 to 20 kWh, 7 of them before the event: without it, it would have taken the rest."""
    seen = meter(charged(full_wh), step_wh=step_wh)
    full = full_at(seen, CHARGE_STOP_CHARGE)
    assert full is not None
    assert abs(float(full.added_wh) - full_wh) <= step_wh
    assert abs(would_wh(cut(seen)) - min(full_wh - 7000, 14_000)) <= step_wh + 5


def test_a_vehicle_that_was_full_before_the_event_could_have_taken_nothing() -> None:
    """A2: 7,360 Wh were reported of one that took nothing."""
    seen = meter(charged(0))
    assert would_wh(cut(seen)) == 0


def test_what_it_took_afterwards_it_could_have_taken_during_the_event() -> None:
    """7 kWh before the event, 35 after it: without the event there was room for the 14 that it held back."""
    seen = meter(charged(1_000_000))
    assert full_at(seen, CHARGE_STOP_CHARGE) is None
    assert cut(seen) == CHARGE_STOP_CHARGE


def test_a_vehicle_that_leaves_before_it_is_full_is_owed_the_mean_of_what_it_could_have_taken() -> None:
    """P19: it took 7 kWh and left in the event. Of the 33 kWh beyond, each is as likely the one that fills it up; the
    mean of min(room, 14 kWh) over them is 14 - 14²/66."""
    stopped = CHARGE_STOP_CHARGE[:2]
    seen = meter(charged(1_000_000), until=180)
    assert abs(would_wh(cut(seen, stopped)) - (14_000 - 14_000**2 / 66_000)) <= 2


def test_the_pause_after_a_vehicle_has_left_is_not_that_it_was_full() -> None:
    """P19: it paused for 20 minutes and left; nobody was there for another 15, while its setpoint still ran. Before:
    full with the 7 kWh that it had taken."""
    seen = meter(lambda n: min(n, 60) * 7000 / 60, until=95)
    spans = in_force([setpoint(0, 95, 7000)], PLUG)
    room = room_of(seen, spans, replace(PLUGGED, unplugged_at=minute(80)), VEHICLE)
    assert (room.proved_wh, room.most_wh) == (7000, 40_000)


def test_what_the_next_vehicle_takes_is_no_room_of_the_one_that_left() -> None:
    """P19: 7 kWh in its hour, of which nobody knows more; the first reading after it is 7 kWh into the next stay.
    Before: proved to have taken 14."""
    seen = meter(lambda n: n * 7000 / 60, until=120)
    room = room_of(seen, (), replace(PLUGGED, unplugged_at=minute(60)), VEHICLE)
    assert room.proved_wh == 7000


def test_what_its_user_says_is_in_it_is_no_room() -> None:
    """75 % of 40 kWh in it, 7 kWh taken: 3 are left at the most, 1.5 on average."""
    stopped = CHARGE_STOP_CHARGE[:2]
    seen = meter(charged(1_000_000), until=180)
    room = room_of(seen, stopped, replace(PLUGGED, stated_soc_percent=75.0), VEHICLE)
    assert abs(would_wh(limited(seen, stopped, room)) - 1500) <= 2


@given(st.integers(0, 40_000), st.integers(0, 40_000), st.integers(1, 40_000))
def test_on_average_over_all_rooms_nothing_is_owed_too_much_or_too_little(proved: int, wanted: int, width: int) -> None:
    """P19: against the mean of the truth, room by room."""
    each = [min(wanted, proved + width * (n + 0.5) / 2000) for n in range(2000)]
    expected = float(Room(Decimal(proved), Decimal(proved + width)).expected_wh(Decimal(wanted)))
    assert abs(expected - sum(each) / len(each)) <= width / 2000


def test_a_vehicle_that_took_nothing_in_its_last_half_hour_was_full() -> None:
    """A6: it is driven away soon after it has filled up."""
    spans = in_force([setpoint(0, 60, 7000), setpoint(60, 180, 0, "e"), setpoint(180, 275, 7000)], PLUG)
    full = full_at(meter(charged(14_000), until=275), spans)
    assert full is not None
    assert abs(full.added_wh - 14_000) <= 1


def test_a_pause_that_it_was_asked_for_or_that_is_short_proves_nothing() -> None:
    """An event of two hours at 0 W; 20 minutes without power within a charge; an hour at which 1 kWh steps are rare."""
    only_stopped = CHARGE_STOP_CHARGE[:2]
    assert full_at(meter(charged(1_000_000), until=180), only_stopped) is None
    short = in_force([setpoint(0, 20, 7000)], PLUG)
    assert full_at(meter(lambda n: 0.0, until=20), short) is None
    slow = in_force([setpoint(0, 60, 1400)], PLUG)
    assert full_at(meter(lambda n: 1400 * n / 60, until=42, step_wh=1000), slow) is None


@settings(max_examples=30)  # each a day of readings
@given(st.integers(0, 60_000), st.sampled_from([1, 100, 1000]))
def test_the_counterfactual_only_ever_falls(full_wh: int, step_wh: int) -> None:
    seen = meter(charged(full_wh), step_wh=step_wh)
    found = cut(seen)
    for before, after in zip(CHARGE_STOP_CHARGE, found, strict=True):
        assert 0 <= after.record.counterfactual_w <= before.record.counterfactual_w
        assert (after.start, after.end) == (before.start, before.end)
    if full_wh:
        assert would_wh(found) <= max(full_wh - 7000, 0) + step_wh + 5 or full_wh > 42_000


def test_a_vehicle_is_not_full_because_its_station_fell_to_its_failsafe_limit() -> None:
    """A2, A6: 0 W during an outage of an hour and more; the charging that its event stopped afterwards was not paid."""
    told = [setpoint(0, 60, 7000), setpoint(130, 140, 7000), setpoint(140, 260, 0, "e"), setpoint(260, 480, 7000)]
    spans = in_force(told, PLUG)
    found = meter(lambda n: 7000 * (min(n, 60) + max(n - 260, 0)) / 60)
    assert full_at(found, spans) is None


def test_an_outage_within_an_event_shows_no_full_vehicle() -> None:
    """A6: the setpoint of 7 kW ran out, the station fell to its failsafe limit for the rest of the event."""
    event = DrEvent(
        id=DrEventId("e"),
        direction=Direction.UP,
        requested_w=7000,
        starts_at=minute(0),
        ends_at=minute(240),
        price_per_kwh=Decimal(10),
        created_at=minute(-10),
    )
    spans = in_force([setpoint(0, 30, 7000, "e")], PLUG, {event.id: event})
    assert full_at(meter(lambda n: 7000 * min(n, 30) / 60, until=240), spans) is None
