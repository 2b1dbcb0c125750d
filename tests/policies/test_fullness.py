"""A vehicle that stopped by itself was full, and would have been so without the event. A6, P19."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.dispatch import SetpointRecord
from csms.domain.facts import Reading
from csms.domain.ids import DrEventId, EvseRef, PlugInId, StationId
from csms.domain.metering import StoredReading
from csms.domain.station import SetpointDriver
from policies.fullness import Meter, full_at, limited
from policies.payment import InForce, in_force

START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
EVSE = EvseRef(StationId("s"), 1)
PLUG = PlugInId("p")


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


@pytest.mark.parametrize("step_wh", [1, 100, 1000])
@pytest.mark.parametrize("full_wh", [10_000, 15_000, 20_000])
def test_what_would_have_flowed_is_what_the_vehicle_took_afterwards(full_wh: int, step_wh: int) -> None:
    """It came with room for 10 to 20 kWh, 7 of them before the event: without it, it would have taken the rest."""
    seen = meter(charged(full_wh), step_wh=step_wh)
    full = full_at(seen, CHARGE_STOP_CHARGE)
    assert full is not None
    assert abs(float(full.added_wh) - full_wh) <= step_wh
    assert abs(would_wh(limited(seen, CHARGE_STOP_CHARGE, full)) - min(full_wh - 7000, 14_000)) <= step_wh + 5


def test_a_vehicle_that_was_full_before_the_event_could_have_taken_nothing() -> None:
    """A2: 7,360 Wh were reported of one that took nothing."""
    seen = meter(charged(0))
    assert would_wh(limited(seen, CHARGE_STOP_CHARGE, full_at(seen, CHARGE_STOP_CHARGE))) == 0


def test_a_vehicle_that_never_filled_up_keeps_its_counterfactual() -> None:
    seen = meter(charged(1_000_000))
    assert full_at(seen, CHARGE_STOP_CHARGE) is None
    assert limited(seen, CHARGE_STOP_CHARGE, None) == CHARGE_STOP_CHARGE


def test_a_pause_that_it_was_asked_for_or_that_is_short_proves_nothing() -> None:
    """An event of two hours at 0 W; and half an hour without power within a charge."""
    only_stopped = CHARGE_STOP_CHARGE[:2]
    assert full_at(meter(charged(1_000_000), until=180), only_stopped) is None
    short = in_force([setpoint(0, 30, 7000)], PLUG)
    assert full_at(meter(lambda n: 0.0, until=30), short) is None


@given(st.integers(0, 60_000), st.sampled_from([1, 100, 1000]))
def test_the_counterfactual_only_ever_falls(full_wh: int, step_wh: int) -> None:
    seen = meter(charged(full_wh), step_wh=step_wh)
    cut = limited(seen, CHARGE_STOP_CHARGE, full_at(seen, CHARGE_STOP_CHARGE))
    for before, after in zip(CHARGE_STOP_CHARGE, cut, strict=True):
        assert 0 <= after.record.counterfactual_w <= before.record.counterfactual_w
        assert (after.start, after.end) == (before.start, before.end)
    if full_wh:
        assert would_wh(cut) <= max(full_wh - 7000, 0) + step_wh + 5 or full_wh > 42_000


def test_a_vehicle_is_not_full_because_its_station_fell_to_its_failsafe_limit() -> None:
    """A2, A6: 0 W during an outage of an hour and more; the charging that its event stopped afterwards was not paid."""
    told = [setpoint(0, 60, 7000), setpoint(130, 140, 7000), setpoint(140, 260, 0, "e"), setpoint(260, 480, 7000)]
    spans = in_force(told, PLUG)
    found = meter(lambda n: 7000 * (min(n, 60) + max(n - 260, 0)) / 60)
    assert full_at(found, spans) is None
