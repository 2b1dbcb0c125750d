"""When a setpoint is in force: from its acknowledgement until that of the next one, or its expiry. P19; finding A3.

What was never acknowledged commanded nothing, and what still flows after a cancellation flows under the old setpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import DrEvent
from csms.domain.ids import DrEventId, PlugInId

_TICK = timedelta(microseconds=1)
_TICKS_PER_HOUR = Decimal(timedelta(hours=1) // _TICK)


def hours_between(start: datetime, end: datetime) -> Decimal:
    """To the microsecond."""
    return Decimal((end - start) // _TICK) / _TICKS_PER_HOUR


@dataclass(frozen=True, slots=True)
class InForce:
    """A setpoint during [start, end). ``has_lapsed``: it has run out within its event and nothing took its place, as at
    a station that is out of reach: it commands nothing, but what flows then is held against its counterfactual."""

    record: SetpointRecord
    start: datetime
    end: datetime
    has_lapsed: bool = False

    def within(self, start: datetime, end: datetime) -> "InForce":
        return replace(self, start=max(self.start, start), end=min(self.end, end))

    @property
    def commanded_w(self) -> int:
        return self.record.counterfactual_w if self.has_lapsed else self.record.desired_w

    @property
    def hours(self) -> Decimal:
        return hours_between(self.start, self.end)


def in_force(
    records: Sequence[SetpointRecord], plug_in: PlugInId, events: Mapping[DrEventId, DrEvent] = MappingProxyType({})
) -> tuple[InForce, ...]:
    """The setpoints of one plug-in while they were in force, in order; times do not overlap. ``events``: those that the
    records name; a setpoint that runs out before its event does has lapsed for the rest of it."""
    told = [(at, record) for record in records if record.plug_in == plug_in and (at := record.acknowledged_at)]
    told.sort(key=lambda pair: (pair[0], pair[1].decided_at, pair[1].id))
    starts = [at for at, _ in told]
    ends = [*starts[1:], datetime.max.replace(tzinfo=starts[-1].tzinfo)] if starts else []
    spans = [
        span
        for (at, record), end in zip(told, ends, strict=True)
        for span in (InForce(record, at, min(end, record.expires_at)), _lapse(record, end, events))
        if span is not None and span.start < span.end
    ]
    return tuple(spans)


def _lapse(record: SetpointRecord, end: datetime, events: Mapping[DrEventId, DrEvent]) -> InForce | None:
    event = events.get(record.event) if record.event else None
    return None if event is None else InForce(record, record.expires_at, min(end, event.stops_at), has_lapsed=True)
