"""A vehicle that told no state of charge and stopped by itself was full: no counterfactual holds more. A6, P19."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from csms.domain.ids import EvseRef
from csms.domain.metering import Quality, StoredReading
from policies.metering import energy_in_window
from policies.payment import InForce, capped

ALLOWED_W = 1_380
"""Below this a vehicle may rest although it is not full: it needs 6 A to charge at all."""
TAKES_W = 100
"""A full vehicle draws no more, averaged."""
AT_LEAST = timedelta(hours=1)
"""A shorter pause may have another cause; and a register of 1 kWh steps moves within an hour if anything flows."""


@dataclass(frozen=True, slots=True)
class Full:
    """When a vehicle stopped by itself, and what had been added since the plug-in by then, AC Wh."""

    at: datetime
    added_wh: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The registers of one EVSE over a plug-in that began at ``plugged_at``."""

    evse: EvseRef
    plugged_at: datetime
    readings: Sequence[StoredReading]
    max_w: int

    def added_wh(self, at: datetime) -> Decimal:
        return self.net_wh(self.plugged_at, at) or Decimal(0)

    def net_wh(self, start: datetime, end: datetime) -> Decimal | None:
        """None = not metered."""
        energy = energy_in_window(self.evse, self.readings, start, end, self.max_w)
        return None if energy.quality is Quality.MISSING else energy.net_wh


def full_at(meter: Meter, spans: Sequence[InForce]) -> Full | None:
    """When the vehicle first took nothing although it was allowed to charge for an hour; None = never."""
    for held in _allowed(spans):
        if (at := _stopped_at(meter, held[0].start, held[-1].end)) is not None:
            return Full(at, meter.added_wh(at))
    return None


def _allowed(spans: Sequence[InForce]) -> Iterator[list[InForce]]:
    """The stretches in which it was allowed to charge all the time. Where a setpoint ran out before the next one came
    (an outage), the station fell to its failsafe limit: that it took nothing then says nothing."""
    held: list[InForce] = []
    for span in spans:
        goes_on = bool(held) and held[-1].end == span.start
        if held and not (goes_on and span.record.desired_w >= ALLOWED_W):
            yield held
            held = []
        if span.record.desired_w >= ALLOWED_W:
            held.append(span)
    if held:
        yield held


def _stopped_at(meter: Meter, start: datetime, end: datetime) -> datetime | None:
    """The first reading of the allowed time after which nothing was taken any more, to its last reading."""
    times = [reading.reading.at for reading in meter.readings if start <= reading.reading.at <= end]
    if not times or times[-1] - times[0] < AT_LEAST:
        return None
    late = next(at for at in reversed(times) if times[-1] - at >= AT_LEAST)
    taken_wh = meter.net_wh(late, times[-1])
    if taken_wh is None or taken_wh > TAKES_W * Decimal((times[-1] - late) / timedelta(hours=1)):
        return None
    whole_wh = meter.net_wh(times[0], times[-1]) or Decimal(0)
    least_wh = whole_wh - taken_wh
    first = bisect_left(times, least_wh, key=lambda at: meter.net_wh(times[0], at) or Decimal(0))
    return times[min(first, len(times) - 1)]


def limited(meter: Meter, spans: Sequence[InForce], full: Full | None) -> tuple[InForce, ...]:
    """The setpoints with a counterfactual that never holds more than the vehicle could take: over each stretch of
    setpoints of events, what was missing to full when it began."""
    if full is None:
        return tuple(spans)
    found: list[InForce] = []
    for is_of_event, group in groupby(spans, key=lambda span: span.record.event is not None):
        held = list(group)
        found += _cut(held, full.added_wh - meter.added_wh(held[0].start)) if is_of_event else held
    return tuple(found)


def _cut(held: Sequence[InForce], room_wh: Decimal) -> list[InForce]:
    would = [max(span.record.counterfactual_w, 0) * span.hours for span in held]
    return [
        span if kept == energy else _with_power(span, kept / span.hours)
        for span, energy, kept in zip(held, would, capped(would, room_wh), strict=True)
    ]


def _with_power(span: InForce, power_w: Decimal) -> InForce:
    return replace(span, record=replace(span.record, counterfactual_w=round(power_w)))
