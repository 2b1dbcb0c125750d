"""What a vehicle that told no state of charge could have taken: no counterfactual holds more. A6, P19, ADR 7.

One that stopped by itself was full, so its room is known. One that left before may have become full at any point beyond
what it took: its counterfactual is the mean of that.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate, groupby, pairwise

from csms.domain.ids import EvseRef
from csms.domain.metering import Quality, StoredReading
from csms.domain.people import Vehicle
from csms.domain.permission import PlugIn
from policies.energy import vehicle_record
from policies.in_force import InForce
from policies.metering import energy_in_window

ALLOWED_W = 1_380
"""Below this a vehicle may rest although it is not full: it needs 6 A to charge at all."""
TAKES_W = 100
"""A full vehicle draws no more, averaged."""
AT_LEAST = timedelta(minutes=30)
"""A shorter pause may have another cause."""
AT_LEAST_WH = 2_000
"""What it was allowed to take in that time: a register of 1 kWh steps moves if it takes any good part of it."""


@dataclass(frozen=True, slots=True)
class Full:
    """When a vehicle stopped by itself, and what had been added since the plug-in by then, AC Wh."""

    at: datetime
    added_wh: Decimal


@dataclass(frozen=True, slots=True)
class Room:
    """What a vehicle could take from its plug-in on, AC Wh: ``proved_wh`` for certain, ``most_wh`` at the most."""

    proved_wh: Decimal
    most_wh: Decimal

    def expected_wh(self, wanted_wh: Decimal) -> Decimal:
        """What it takes of what it may have, on average: full at any point between the two, each as likely."""
        if wanted_wh <= self.proved_wh or self.most_wh <= self.proved_wh:
            return min(wanted_wh, self.proved_wh)
        width_wh = self.most_wh - self.proved_wh
        beyond_wh = min(wanted_wh - self.proved_wh, width_wh)
        return self.proved_wh + beyond_wh - beyond_wh**2 / (2 * width_wh)


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


def room_of(meter: Meter, spans: Sequence[InForce], plug_in: PlugIn, vehicle: Vehicle | None) -> Room:
    """By its meter where it filled up; else between what it took and what its record, less what its user said was in
    it, leaves. What the meter shows after it has left is not its own."""
    last_at = max((reading.reading.at for reading in meter.readings), default=meter.plugged_at)
    left_at = min(last_at, plug_in.unplugged_at or last_at)
    if full := full_at(meter, [here for span in spans if (here := span.within(span.start, left_at)).start < here.end]):
        return Room(full.added_wh, full.added_wh)
    record = vehicle_record(vehicle, None)
    empty_wh = record.capacity_wh * (1 - (plug_in.stated_soc_percent or 0) / 100)
    return Room(meter.added_wh(left_at), Decimal(round(empty_wh / record.charge_efficiency)))


def full_at(meter: Meter, spans: Sequence[InForce]) -> Full | None:
    """When the vehicle first took nothing although it was allowed to charge for long enough; None = never."""
    for held in _allowed(spans):
        if (at := _stopped_at(meter, held)) is not None:
            return Full(at, meter.added_wh(at))
    return None


def _allowed(spans: Sequence[InForce]) -> Iterator[list[InForce]]:
    """The stretches in which it was allowed to charge all the time. Where a setpoint ran out before the next one came
    (an outage), the station fell to its failsafe limit: that it took nothing then says nothing."""
    held: list[InForce] = []
    for span in spans:
        goes_on = bool(held) and held[-1].end == span.start
        is_allowed = span.record.desired_w >= ALLOWED_W and not span.has_lapsed
        if held and not (goes_on and is_allowed):
            yield held
            held = []
        if is_allowed:
            held.append(span)
    if held:
        yield held


def _stopped_at(meter: Meter, held: Sequence[InForce]) -> datetime | None:
    """The first reading of the allowed time after which nothing was taken any more, to its last reading."""
    start, end = held[0].start, held[-1].end
    times = [reading.reading.at for reading in meter.readings if start <= reading.reading.at <= end]
    late = next((at for at in reversed(times) if _is_long(held, at, times[-1])), None)
    if late is None:
        return None
    taken_wh = meter.net_wh(late, times[-1])
    if taken_wh is None or taken_wh > TAKES_W * Decimal((times[-1] - late) / timedelta(hours=1)):
        return None
    whole_wh = meter.net_wh(times[0], times[-1]) or Decimal(0)
    least_wh = whole_wh - taken_wh
    first = bisect_left(times, least_wh, key=lambda at: meter.net_wh(times[0], at) or Decimal(0))
    return times[min(first, len(times) - 1)]


def _is_long(held: Sequence[InForce], start: datetime, end: datetime) -> bool:
    """Whether a vehicle that takes nothing in [start, end) shows by that that it takes no more."""
    if end - start < AT_LEAST:
        return False
    inside = (span.within(start, end) for span in held)
    return sum(span.record.desired_w * span.hours for span in inside if span.start < span.end) >= AT_LEAST_WH


def limited(meter: Meter, spans: Sequence[InForce], room: Room) -> tuple[InForce, ...]:
    """The setpoints with a counterfactual that never holds more than the vehicle could take: over each stretch of
    setpoints of events, what was left of its room when it began."""
    found: list[InForce] = []
    for is_of_event, group in groupby(spans, key=lambda span: span.record.event is not None):
        held = list(group)
        found += _cut(held, meter.added_wh(held[0].start), room) if is_of_event else held
    return tuple(found)


def _cut(held: Sequence[InForce], added_wh: Decimal, room: Room) -> list[InForce]:
    would = [max(span.record.counterfactual_w, 0) * span.hours for span in held]
    reached = [room.expected_wh(wanted_wh) for wanted_wh in accumulate(would, initial=added_wh)]
    kept = [after - before for before, after in pairwise(reached)]
    return [
        span if takes == energy else _with_power(span, takes / span.hours)
        for span, energy, takes in zip(held, would, kept, strict=True)
    ]


def _with_power(span: InForce, power_w: Decimal) -> InForce:
    return replace(span, record=replace(span.record, counterfactual_w=round(power_w)))
