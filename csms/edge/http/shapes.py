"""Bodies that come in, checked, and turned into domain values; and the few that go out in a form of their own."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from csms.domain.conditions import Conditions, Pattern, SlotMode, TimeSlot
from csms.domain.ids import UserId
from csms.domain.people import Vehicle

T = TypeVar("T")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("not a time zone; give a name such as Asia/Tokyo") from error
    return name


def _naive_time(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("a time of day has no offset; name the zone in `zone`")
    return value


Ident = Annotated[str, StringConstraints(pattern=r"^[\w.:-]{1,64}$")]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Any identity, as it stands in a path or query; PostgreSQL takes no NUL."""
Zone = Annotated[str, Field(max_length=64), AfterValidator(_zone)]
TimeOfDay = Annotated[time, AfterValidator(_naive_time)]
Price = Annotated[Decimal, Field(ge=-1000, le=100_000, max_digits=12, decimal_places=6)]
SellPrice = Annotated[Decimal, Field(ge=0, le=100_000, max_digits=12, decimal_places=6)]
"""Nobody pays for what they give."""
Watts = Annotated[int, Field(ge=0, le=100_000_000)]
Day = Annotated[date, Field(ge=date(2000, 1, 1), lt=date(2100, 1, 1))]
When = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))]
"""An instant with an offset, far enough from the ends of the calendar to be moved into any zone."""


class Body(BaseModel):
    """An unknown field is an error: a typo must not pass in silence."""

    model_config = ConfigDict(extra="forbid")


class SlotBody(Body):
    """A permitted time. P9."""

    start: TimeOfDay
    end: TimeOfDay
    days: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(max_length=7)] = (0, 1, 2, 3, 4, 5, 6)
    once: Day | None = None
    zone: Zone = "Asia/Tokyo"
    mode: SlotMode = SlotMode.CONDITIONS

    def domain(self) -> TimeSlot:
        return TimeSlot(
            start=self.start,
            end=self.end,
            days=tuple(sorted(set(self.days))),
            once=self.once,
            zone=self.zone,
            mode=self.mode,
        )


class ConditionsBody(Body):
    """A user's conditions; see ``csms.domain.conditions``. Prices in major currency units per kWh."""

    min_sell_per_kwh: SellPrice | None = None
    max_buy_per_kwh: Price | None = None
    min_incentive_per_kwh: SellPrice | None = None
    required_soc_percent: Annotated[float, Field(ge=0, le=100)] = 50.0
    required_kwh: Annotated[Decimal, Field(ge=0, le=1000, max_digits=8, decimal_places=3)] | None = None
    depart_at: TimeOfDay | None = None
    zone: Zone = "Asia/Tokyo"
    entrust: bool = False
    charge: bool = True
    discharge: bool = True
    slots: Annotated[tuple[SlotBody, ...], Field(max_length=20)] = ()

    def domain(self) -> Conditions:
        plain = self.model_dump(exclude={"slots"})
        return Conditions(**plain, slots=tuple(slot.domain() for slot in self.slots))


def conditions_json(conditions: Conditions) -> dict[str, Any]:
    """In the form in which they come in: prices as strings, times of day as HH:MM."""
    return {
        "min_sell_per_kwh": _text(conditions.min_sell_per_kwh),
        "max_buy_per_kwh": _text(conditions.max_buy_per_kwh),
        "min_incentive_per_kwh": _text(conditions.min_incentive_per_kwh),
        "required_soc_percent": conditions.required_soc_percent,
        "required_kwh": _text(conditions.required_kwh),
        "depart_at": _clock(conditions.depart_at),
        "zone": conditions.zone,
        "entrust": conditions.entrust,
        "charge": conditions.charge,
        "discharge": conditions.discharge,
        "slots": [_slot_json(slot) for slot in conditions.slots],
    }


def _slot_json(slot: TimeSlot) -> dict[str, Any]:
    return {
        "start": _clock(slot.start),
        "end": _clock(slot.end),
        "days": list(slot.days),
        "once": slot.once.isoformat() if slot.once else None,
        "zone": slot.zone,
        "mode": slot.mode,
    }


def pattern_json(pattern: Pattern) -> dict[str, Any]:
    """Name, whether it is a prepared one, for which vehicle (null = all), whether it is used next, its conditions."""
    return {
        "name": pattern.name,
        "prepared": pattern.prepared,
        "vehicle": pattern.vehicle,
        "chosen": pattern.chosen,
        "conditions": conditions_json(pattern.conditions),
    }


def vehicle_json(vehicle: Vehicle, user: UserId) -> dict[str, Any]:
    """A vehicle as one of its users sees it."""
    return {
        "id": vehicle.id,
        "name": vehicle.name,
        "capacity_wh": vehicle.capacity_wh,
        "max_charge_w": vehicle.max_charge_w,
        "max_discharge_w": vehicle.max_discharge_w,
        "plate": vehicle.plate,
        "vin": vehicle.vin,
        "shared": vehicle.user != user,
    }


def instant(at: datetime | None) -> str | None:
    """ISO 8601, or None."""
    return at.isoformat() if at else None


def _clock(value: time | None) -> str | None:
    return value.strftime("%H:%M") if value else None


def _text(value: Decimal | None) -> str | None:
    return f"{value:f}" if value is not None else None


class Page(BaseModel, Generic[T]):
    """Items and the cursor of the next page; None at the end."""

    items: list[T]
    next: str | None = None
