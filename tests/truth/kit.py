"""Cases of one vehicle, or a few, for the twin."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from csms.domain.conditions import Conditions
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, SiteId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.snapshot import Site
from csms.domain.station import Ratings
from csms.domain.tariff import PriceSeries, PriceStep
from simulators.twin.cases import START, Car, Case, MeterSpec, Visit

AREA = AreaId("area")
HOUR_S = 3600
AT_ANY_PRICE = Conditions(required_soc_percent=0)
NO_SOC = MeterSpec(tells_soc=False, step_wh=10.0)


def prices(*steps: tuple[float, int]) -> PriceSeries:
    """(hours after the start, price) each."""
    return PriceSeries(
        currency="JPY", steps=tuple(PriceStep(START + timedelta(hours=at), Decimal(price)) for at, price in steps)
    )


def visit(car: Car, *, hours: float, number: int = 0, **changed: Any) -> Visit:
    """A plug-in for the whole case, of a vehicle whose record says what is true."""
    record = Vehicle(
        id=VehicleId(f"v-{number}"),
        user=UserId(f"u-{number}"),
        name="",
        capacity_wh=round(car.capacity_wh),
        max_charge_w=round(car.max_charge_w),
        max_discharge_w=round(car.max_discharge_w),
        charge_efficiency=car.charge_efficiency,
        discharge_efficiency=car.discharge_efficiency,
    )
    rated_w = round(max(car.max_charge_w, 7360.0))
    made = Visit(
        car=car,
        record=record,
        ratings=Ratings(max_charge_w=rated_w, max_discharge_w=round(car.max_discharge_w)),
        leaves_s=round(hours * HOUR_S),
        conditions=AT_ANY_PRICE,
        can_discharge=car.max_discharge_w > 0,
    )
    return replace(made, **changed)


def down(requested_w: int, from_h: float, to_h: float, **changed: Any) -> DrEvent:
    """A DOWN event that pays 60 instead of the tariff."""
    event = DrEvent(
        id=DrEventId("event"),
        direction=Direction.DOWN,
        requested_w=requested_w,
        starts_at=START + timedelta(hours=from_h),
        ends_at=START + timedelta(hours=to_h),
        price_per_kwh=Decimal(60),
        created_at=START,
    )
    return replace(event, **changed)


def case(*visits: Visit, hours: float, limit_w: int = 50_000, price: PriceSeries | None = None, **changed: Any) -> Case:
    """A case at one site; the tariff is 30 unless it is given."""
    made = Case(
        seconds=round(hours * HOUR_S),
        visits=visits,
        sites=(Site(id=SiteId("site"), area=AREA, import_limit_w=limit_w, export_limit_w=limit_w),),
        prices={AREA: price or prices((-24, 30))},
    )
    return replace(made, **changed)


def v2g_car(soc: float, **changed: Any) -> Car:
    """60 kWh, 10 kW both ways."""
    return replace(
        Car(capacity_wh=60_000.0, energy_wh=soc * 60_000, max_charge_w=10_000.0, max_discharge_w=10_000.0), **changed
    )


def charging_car(soc: float, **changed: Any) -> Car:
    """60 kWh, 7.36 kW, charging only."""
    return replace(Car(capacity_wh=60_000.0, energy_wh=soc * 60_000), **changed)
