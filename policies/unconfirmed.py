"""Discharge that a setpoint of ours may have caused although none in force explains it: the rule of the doubt. P5, P19.

The station's answer may be lost, or late, and a discharge may go on a little after its setpoint has ended. Who gave it
under a yes gets at least the own minimum price for it, as it stood when the setpoint was decided: never more energy
than the meter shows and the setpoint asked for, never more per kWh than the setpoint promised.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import PlugInId

STOPS_WITHIN = timedelta(seconds=30)
"""A discharge that is ended by a command may take this long to be over: the command, the station's ramp."""


@dataclass(frozen=True, slots=True)
class Possible:
    """[start, end) in which a station may have followed this setpoint, whatever we know of it."""

    record: SetpointRecord
    start: datetime
    end: datetime

    @property
    def power_w(self) -> int:
        """Of discharge, > 0."""
        return -self.record.desired_w

    def within(self, start: datetime, end: datetime) -> "Possible":
        return replace(self, start=max(self.start, start), end=min(self.end, end))

    def covers(self, start: datetime, end: datetime) -> bool:
        return self.start <= start and end <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """What setpoints of ours may have discharged over a time beyond what was in force: at most ``energy_wh``.
    ``setpoints``: their ids."""

    energy_wh: Decimal
    price_per_kwh: Decimal
    setpoints: tuple[str, ...]


def possible_discharges(records: Iterable[SetpointRecord], plug_in: PlugInId) -> tuple[Possible, ...]:
    """The discharges that were sent to one plug-in and not refused, from the decision on; each for twice its validity,
    as a station's clock and its last value may be late, or until another setpoint was acknowledged and its ramp over.
    """
    ended: datetime | None = None
    found = []
    mine = sorted((each for each in records if each.plug_in == plug_in), key=lambda each: (each.decided_at, each.id))
    for record in reversed(mine):
        if record.desired_w < 0 and record.state is not SetpointState.REJECTED:
            last = record.expires_at + (record.expires_at - record.decided_at)
            found.append(Possible(record, record.decided_at, last if ended is None else min(last, ended)))
        if record.acknowledged_at is not None:
            over = record.acknowledged_at + STOPS_WITHIN
            ended = over if ended is None else min(ended, over)
    return tuple(reversed(found))


def inside(possible: Sequence[Possible], start: datetime, end: datetime) -> list[Possible]:
    """The parts of them in [start, end)."""
    return [part for each in possible if (part := each.within(start, end)).start < part.end]
