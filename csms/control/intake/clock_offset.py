"""Stations' clocks against ours (reference v2g-over-ocpp §4.3, V2G-60). Facts come out dated by our clock.

Nothing that a station says proves that it says it at once: statuses and events wait in queues too. What tells them
apart is the pace. Messages said at once come as far apart as they were said, so they are all equally late; a queue is
sent faster than it was made, so each of its messages is less late than the one before. A few messages that are equally
late over a while tell how far the clock is off, and that it was set; what is said of one message is never changed by a
later one.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from csms.domain.facts import (
    Heartbeat,
    Metered,
    Reading,
    StationFact,
    StatusesReported,
    StatusReported,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)

SAMPLES = 31
FEWEST = 4
"""So many messages at least, over ``FOR_AT_LEAST``, tell the offset."""
FOR_AT_LEAST = timedelta(seconds=60)
AGREE_WITHIN_S = 10.0
"""Messages whose delays differ less are equally late. A queue that is sent twice as fast as it was made loses six times
this delay over ``FOR_AT_LEAST``."""
PER_STRAY = 4
"""One message that waited is forgiven per so many that agree."""
QUANTUM_S = 10.0
"""Clocks that differ less are not corrected: the delay of a message is of that size."""
MAX_OFFSET_S = 366 * 86_400.0
"""A clock that is further off was never set; what it says is dated by its arrival."""

FUTURE = timedelta(minutes=5)
"""A message that is from further in the future is dated by its arrival."""
STANDS_STILL = timedelta(seconds=60)
"""A stamp that is said again after so long is of a clock that stands still."""


@dataclass(slots=True)
class ClockOffset:
    """How far a station's clock is behind ours, s: what its last messages were equally late by."""

    offset_s: float = 0.0
    samples: deque[tuple[datetime, float]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    last_said_at: datetime | None = None
    first_said_so_at: datetime | None = None

    def note(self, said_at: datetime, received_at: datetime) -> None:
        """Learn from one message that may have come at once."""
        if said_at == self.last_said_at:
            return  # a clock that stands still teaches nothing
        self.last_said_at, self.first_said_so_at = said_at, received_at
        late_s = (received_at - said_at).total_seconds()
        if abs(late_s) > MAX_OFFSET_S:
            return
        self.samples.append((received_at, late_s))
        if abs(late_s - self.offset_s) > QUANTUM_S or abs(self.offset_s) > QUANTUM_S:
            self._estimate()

    def _estimate(self) -> None:
        agreeing = self._agreeing()
        late_s = median(agreeing) if agreeing else self.offset_s
        if abs(late_s - self.offset_s) > QUANTUM_S / 2:
            self.offset_s = round(late_s, 1) if abs(late_s) > QUANTUM_S else 0.0

    def _agreeing(self) -> list[float]:
        """What the newest messages are late by, s, where enough of them agree with the last one for long enough."""
        (last_at, last_s), agreeing, strays = self.samples[-1], [], 0
        for received_at, late_s in reversed(self.samples):
            if abs(late_s - last_s) > AGREE_WITHIN_S:
                strays += 1
                continue
            agreeing.append(late_s)
            is_long = len(agreeing) >= FEWEST and last_at - received_at >= FOR_AT_LEAST
            if is_long and strays * PER_STRAY <= len(agreeing):
                return agreeing
        return []

    def forget(self) -> None:
        """The station sets its clock by our answer to its boot: the estimate holds until its messages say otherwise."""
        self.samples.clear()

    def stands_still(self, said_at: datetime, received_at: datetime) -> bool:
        """Whether the clock has not moved since the message before, long ago."""
        first = self.first_said_so_at
        return said_at == self.last_said_at and first is not None and received_at - first >= STANDS_STILL

    def ours(self, said_at: datetime, received_at: datetime) -> datetime:
        """The instant of a station's stamp by our clock; never later than it was received, once it is corrected.

        A stamp of the very moment needs no correction: a clock that was ahead has been set since."""
        late_s = (received_at - said_at).total_seconds()
        if late_s > MAX_OFFSET_S:
            return received_at
        if self.offset_s < 0.0 and abs(late_s) <= QUANTUM_S:
            return min(said_at, received_at)
        if self.offset_s != 0.0:
            corrected = said_at + timedelta(seconds=self.offset_s)
            return received_at if corrected - received_at > FUTURE else min(corrected, received_at)
        return received_at if said_at - received_at > FUTURE else said_at


def dated(fact: StationFact, offset: ClockOffset) -> Any:
    """The fact with its times by our clock, the station's own beside them. The same object while the clocks agree."""
    return _dated_by(fact, offset, learns=True)


def dated_again(fact: StationFact, offset: ClockOffset) -> Any:
    """The same for a fact of long ago, which tells nothing of the clock of now."""
    return _dated_by(fact, offset, learns=False)


def _dated_by(fact: StationFact, offset: ClockOffset, *, learns: bool) -> Any:
    if type(fact) is Heartbeat:
        return fact
    said_at, received_at = _said_at(fact), fact.origin.received_at
    is_still = learns and said_at is not None and offset.stands_still(said_at, received_at)
    if learns and said_at is not None and not getattr(fact, "offline", False):
        offset.note(said_at, received_at)
    if offset.offset_s != 0.0:
        fact = replace(fact, origin=replace(fact.origin, offset_s=offset.offset_s))
    if type(fact) is StatusesReported:
        return replace(fact, statuses=tuple(_dated(one, offset, is_still=is_still) for one in fact.statuses))
    return _dated(fact, offset, is_still=is_still)


KEPT_FOR = timedelta(seconds=30)
"""A message that is later than this has waited at its station."""


def is_late(fact: Any) -> bool:
    """Whether a dated fact comes from a queue."""
    if getattr(fact, "offline", False):
        return True
    if type(fact) is Metered:
        return bool(fact.readings) and fact.origin.received_at - fact.readings[-1].at > KEPT_FOR
    return type(fact) in _STAMPED and fact.origin.received_at - fact.at > KEPT_FOR


def _said_at(fact: Any) -> datetime | None:
    """The newest stamp in a message, where it has one of its own."""
    if type(fact) is Metered:
        readings = fact.readings
        return (readings[-1].device_at or readings[-1].at) if readings else None
    if type(fact) is StatusesReported:
        return fact.statuses[-1].device_at or fact.statuses[-1].at if fact.statuses else None
    if type(fact) in _STAMPED:
        said_at: datetime = fact.device_at or fact.at
        return None if said_at == fact.origin.received_at else said_at  # equal: it gave no time of its own
    return None


_STAMPED = frozenset({StatusReported, TransactionStarted, TransactionStopped, TransactionReported})


def _dated(fact: Any, offset: ClockOffset, *, is_still: bool) -> Any:
    changed: dict[str, Any] = {}
    received_at = fact.origin.received_at
    if type(fact) in _STAMPED and fact.device_at is None:
        at = received_at if is_still else offset.ours(fact.at, received_at)
        if at != fact.at and is_still and type(fact) is StatusReported:
            changed = {"at": at, "stated_at": fact.at}
        elif at != fact.at:
            changed = {"at": at, "device_at": fact.at}
    readings = getattr(fact, "readings", None)
    if readings:
        moved = tuple([_moved(reading, offset, received_at, is_still=is_still) for reading in readings])
        if moved != readings:
            changed["readings"] = moved
    return replace(fact, **changed) if changed else fact


def _moved(reading: Reading, offset: ClockOffset, received_at: datetime, *, is_still: bool) -> Reading:
    if reading.device_at is not None:
        return reading  # decoding found its time to be impossible, and dated it by its arrival
    at = received_at if is_still else offset.ours(reading.at, received_at)
    return reading if at == reading.at else replace(reading, at=at, device_at=reading.at)
