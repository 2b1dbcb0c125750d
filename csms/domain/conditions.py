"""The limits under which a user's permission holds. Hard, whatever the policy. Requirements P5-P9."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from csms.domain.ids import VehicleId


class SlotMode(StrEnum):
    """How a vehicle is used within a time slot (P9)."""

    CONDITIONS = "conditions"
    ENTRUST = "entrust"
    CHARGE_ONLY = "charge_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSlot:
    """A permitted time: on ``days`` (0 = Monday) every week, or on the one day ``once``.

    ``end <= start`` runs over midnight into the next day; the slot belongs to the day it starts on. P9.
    """

    start: time
    end: time
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    once: date | None = None
    zone: str = "Asia/Tokyo"
    mode: SlotMode = SlotMode.CONDITIONS

    def span_containing(self, at: datetime) -> tuple[datetime, datetime] | None:
        """The [start, end) of this slot around an instant, or None."""
        local = at.astimezone(ZoneInfo(self.zone))
        for day in (local.date(), local.date() - timedelta(days=1)):
            span = self._span_of(day)
            if span is not None and span[0] <= at < span[1]:
                return span
        return None

    def spans(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Every [start, end) of this slot that may lie in a stretch of time, at least partly."""
        zone = ZoneInfo(self.zone)
        first = start.astimezone(zone).date() - timedelta(days=1)
        days = (end.astimezone(zone).date() - first).days + 1
        spans = (self._span_of(first + timedelta(days=n)) for n in range(days))
        return [span for span in spans if span is not None]

    def _span_of(self, day: date) -> tuple[datetime, datetime] | None:
        if (self.once != day) if self.once else (day.weekday() not in self.days):
            return None
        zone = ZoneInfo(self.zone)
        last_day = day if self.end > self.start else day + timedelta(days=1)
        return datetime.combine(day, self.start, zone), datetime.combine(last_day, self.end, zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """One user's conditions. Prices are in major currency units per kWh; None = no such limit.

    ``min_incentive_per_kwh``: what must be gained against the tariff of the time: a discharge pays at least that much
    more, charging that an event asks for costs at least that much less (P5, P6).

    ``required_soc_percent`` holds by ``depart_at`` (a time of day in ``zone``): charged up to it whatever the price,
    never discharged below it. ``required_kwh``: the same as energy to be added since the plug-in, AC side, where the
    state of charge is not known; it then stands instead of the percentage. ``entrust``: the aggregator decides prices
    and times; the required charge still holds. ``slots``: empty = any time; plugging in within one needs no question.
    """

    min_sell_per_kwh: Decimal | None = None
    max_buy_per_kwh: Decimal | None = None
    min_incentive_per_kwh: Decimal | None = None
    required_soc_percent: float = 50.0
    required_kwh: Decimal | None = None
    depart_at: time | None = None
    zone: str = "Asia/Tokyo"
    entrust: bool = False
    charge: bool = True
    discharge: bool = True
    slots: tuple[TimeSlot, ...] = ()

    def least_sell_per_kwh(self, tariff_per_kwh: Decimal) -> Decimal | None:
        """What a discharged kWh must pay at this tariff; None = no limit."""
        incentive = self.min_incentive_per_kwh
        asked = (self.min_sell_per_kwh, None if incentive is None else tariff_per_kwh + incentive)
        return max((price for price in asked if price is not None), default=None)

    def departure_after(self, plugged_at: datetime) -> datetime | None:
        """First ``depart_at`` after the plug-in."""
        if self.depart_at is None:
            return None
        zone = ZoneInfo(self.zone)
        day = plugged_at.astimezone(zone).date()
        today = datetime.combine(day, self.depart_at, zone)
        return today if today > plugged_at else datetime.combine(day + timedelta(days=1), self.depart_at, zone)

    def allows(self, at: datetime) -> bool:
        """Whether the user permits use as a resource at this instant (P9)."""
        return not self.slots or slot_span(self.slots, at) is not None


def slot_span(slots: Sequence[TimeSlot], at: datetime) -> tuple[datetime, datetime] | None:
    """The permitted span around an instant, from the first slot that has one."""
    return next((span for slot in slots if (span := slot.span_containing(at)) is not None), None)


def slot_at(slots: Sequence[TimeSlot], at: datetime) -> TimeSlot | None:
    """The slot that holds at an instant: where two overlap, the one that is named first (P9)."""
    return next((slot for slot in slots if slot.span_containing(at) is not None), None)


def slot_ends_at(slots: Sequence[TimeSlot], at: datetime) -> datetime | None:
    """When the slot that holds at an instant ends, or one that is named before it begins; None = none holds."""
    span = slot_span(slots, at)
    if span is None:
        return None
    holds = slot_at(slots, at)
    edges = sorted(edge for edge in slot_edges(slots, at, span[1]) if edge > at) if len(slots) > 1 else []
    return next((edge for edge in edges if slot_at(slots, edge) is not holds), span[1])


def slot_edges(slots: Sequence[TimeSlot], start: datetime, end: datetime) -> frozenset[datetime]:
    """The instants in [start, end] at which a slot begins or ends, in UTC."""
    edges = (edge.astimezone(UTC) for slot in slots for span in slot.spans(start, end) for edge in span)
    return frozenset(edge for edge in edges if start <= edge <= end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Named conditions; ``prepared`` ones come with the product, the others are the user's own. P10.

    ``vehicle``: for this one only; None = for all of the user's. ``chosen``: used at the next plug-in.
    """

    name: str
    conditions: Conditions
    prepared: bool = False
    vehicle: VehicleId | None = None
    chosen: bool = False
