"""What a report and a payment say of an event, against the paired run of the same vehicle without it. A1, A16, P19.

The truth is the difference of two physical runs, integrated here by the second. What would be charged without the event
is asked of one and the same plan: charge to full at full power.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from csms.domain.conditions import Conditions
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import DrEventId, EvseRef, PlugInId, StationId, UserId
from csms.domain.metering import StoredReading
from csms.domain.permission import Permission, PermissionState, PlugIn
from csms.domain.station import SetpointDriver
from csms.domain.tariff import PriceSeries, PriceStep
from policies.delivery import dr_results
from policies.flows import Known, flows_of, pieces
from policies.in_force import in_force

START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
EVSE = EvseRef(StationId("s"), 1)
RENEWED_S = 90
EFFICIENCY = 0.9


@dataclass
class Car:
    """60 kWh; 7.36 kW in, ``out_w`` out; never discharged below ``floor_wh``."""

    energy_wh: float
    capacity_wh: float = 60_000
    floor_wh: float = 20_000
    import_wh: float = 0.0
    export_wh: float = 0.0

    def second(self, power_w: float) -> None:
        """What flows of a setpoint, for a second."""
        if power_w > 0:
            flows_wh = min(power_w / 3600, (self.capacity_wh - self.energy_wh) / EFFICIENCY)
            self.energy_wh += flows_wh * EFFICIENCY
            self.import_wh += flows_wh
        else:
            flows_wh = min(-power_w / 3600, max(self.energy_wh - self.floor_wh, 0) * EFFICIENCY)
            self.energy_wh -= flows_wh / EFFICIENCY
            self.export_wh += flows_wh

    @property
    def wants_w(self) -> int:
        """The plan without the event."""
        return round(min(7360.0, (self.capacity_wh - self.energy_wh) / EFFICIENCY * 3600 / RENEWED_S))


def course(
    car: Car, hours: float, event_w: int, counterfactual: Callable[[Car, Car], int], step_wh: int
) -> tuple[list[SetpointRecord], list[StoredReading], float]:
    """The vehicle in the event, the records and readings of it, and the true difference by a twin without the event."""
    twin = Car(car.energy_wh, floor_wh=car.floor_wh)
    records, readings = [], []
    for second in range(int(hours * 3600) + 1):
        at = START + timedelta(seconds=second)
        if second % RENEWED_S == 0:
            records.append(setpoint(at, event_w, counterfactual(car, twin)))
            allowed = twin.wants_w
        if second % 30 == 0:
            readings.append(reading(second, car, step_wh))
        if second < hours * 3600:
            car.second(event_w)
            twin.second(allowed)
    truth = (twin.import_wh - twin.export_wh) - (car.import_wh - car.export_wh)
    return records, readings, truth


def setpoint(at: datetime, desired_w: int, counterfactual_w: int) -> SetpointRecord:
    return SetpointRecord(
        id=f"s-{at:%H%M%S}",
        evse=EVSE,
        plug_in=PlugInId("p"),
        transaction=None,
        event=DrEventId("e"),
        decided_at=at,
        acknowledged_at=at,
        desired_w=desired_w,
        counterfactual_w=counterfactual_w,
        expires_at=at + timedelta(minutes=3),
        driver=SetpointDriver.OCPP21_SETPOINT,
        reasons=(),
        price_per_kwh=Decimal(50),
    )


def reading(second: int, car: Car, step_wh: int) -> StoredReading:
    at = START + timedelta(seconds=second)
    told = Reading(at=at, import_wh=car.import_wh // step_wh * step_wh, export_wh=car.export_wh // step_wh * step_wh)
    return StoredReading(id=second + 1, reading=told, received_at=at, message_id="m")


def reported_wh(records: list[SetpointRecord], readings: list[StoredReading], hours: float) -> tuple[float, float]:
    """Delivered, and within what was commanded."""
    end = START + timedelta(hours=hours)
    plug_in = PlugIn(id=PlugInId("p"), evse=EVSE, plugged_at=START - timedelta(hours=1), user=UserId("u"))
    yes = Permission(
        state=PermissionState.GRANTED, answered_at=plug_in.plugged_at, conditions=Conditions(), channel=None
    )
    event = DrEvent(
        id=DrEventId("e"), direction=Direction.DOWN, requested_w=10_000, starts_at=START, ends_at=end, created_at=START
    )
    known = Known(
        plug_in=plug_in,
        history=[yes],
        readings=readings,
        max_w=11_000,
        in_force=in_force(records, plug_in.id),
        events={event.id: event},
    )
    series = PriceSeries(currency="JPY", steps=(PriceStep(START, Decimal(30)),))
    flows = flows_of(known, pieces((START, end), timedelta(minutes=30), series))
    results = dr_results(event, [flow for _, flow in flows])
    return float(sum(r.delivered_wh for r in results)), float(sum(r.within_wh for r in results))


def frozen(_car: Car, twin: Car) -> int:
    """The plan over the virtual state, rolled by the plan itself."""
    return twin.wants_w


def recomputed(car: Car, _twin: Car) -> int:
    """The plan over the real state, which the event has changed: what version 0.1 did."""
    return car.wants_w


CASES = [
    ("full, 10 kW for 2 h, may give 0.5 kWh", 60_000, 59_444, 2, -10_000),
    ("full, 6 kW for 1 h", 60_000, 20_000, 1, -6_000),
    ("60 %, 4 h, stopped", 36_000, 20_000, 4, 0),
    ("60 %, 4 h, 6 kW out", 36_000, 20_000, 4, -6_000),
    ("90 %, 4 h, stopped", 54_000, 20_000, 4, 0),
]


@pytest.mark.parametrize("step_wh", [1, 100, 1000])
@pytest.mark.parametrize(
    ("content_wh", "floor_wh", "hours", "event_w"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_by_the_frozen_counterfactual_what_is_reported_is_the_truth(
    content_wh: int, floor_wh: int, hours: int, event_w: int, step_wh: int
) -> None:
    """A1, A16: within 2 % of the paired run, or one step of each register."""
    records, readings, truth = course(Car(content_wh, floor_wh=floor_wh), hours, event_w, frozen, step_wh)
    delivered, within = reported_wh(records, readings, hours)
    assert abs(delivered - truth) <= max(0.02 * truth, 2 * step_wh + 5)
    assert within <= delivered + hours * 2 * step_wh + 5


def test_a_recomputed_one_pays_for_charging_that_never_would_have_been() -> None:
    """A1: what this replaces; the smallest case of A16 says 0.5 kWh and books many times that."""
    records, readings, truth = course(Car(60_000, floor_wh=59_444), 2, -10_000, recomputed, 1)
    assert truth == pytest.approx(500, abs=1)
    assert reported_wh(records, readings, 2)[0] > 2 * truth
