"""Stations' clocks against ours (reference v2g-over-ocpp §4.3, V2G-60)."""

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from csms.domain.facts import Metered, Reading, TransactionReported, TransactionStopped

SAMPLES = 16
QUANTUM_S = 10.0
"""An estimate moves only by more than this, so that a repeated message is corrected to the same instant again."""

MAX_OFFSET_S = 7 * 86_400.0
"""Nothing is learnt from a message further away than this: it waited in a queue, or the clock was never set."""

EARLIEST_YEAR = 2000
"""Before it the clock was never set (1970): all that can be said of a reading is when it arrived."""


@dataclass(slots=True)
class ClockOffset:
    """How far a station's clock is behind ours, s.

    A message that seems to come late may have waited in a queue, one that seems to come early cannot. So the estimate
    goes down at once; it goes up by the first message of a kind that is never queued, or when the last 16 messages
    agree and came one by one: a queue is sent in one go, and what is in it was said one by one.
    """

    samples: deque[tuple[datetime, float]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    offset_s: float = 0.0
    is_known: bool = False

    def note(self, said_at: datetime, received_at: datetime, *, is_live: bool) -> None:
        """Learn from one message; ``is_live``: its kind is never queued."""
        late_s = (received_at - said_at).total_seconds()
        if abs(late_s) > MAX_OFFSET_S:
            return
        self.samples.append((received_at, late_s))
        if (self.is_known or not is_live) and 0.0 <= late_s - self.offset_s <= QUANTUM_S:
            return  # nearly every message: whatever the last 16 agree on, it is not far enough to move anything
        if late_s < self.offset_s or (is_live and not self.is_known):
            self._move(late_s)
        elif len(self.samples) == SAMPLES:
            self._move_if_agreed()
        self.is_known = self.is_known or is_live

    def _move_if_agreed(self) -> None:
        late = [late_s for _, late_s in self.samples]
        span_s = (self.samples[-1][0] - self.samples[0][0]).total_seconds()
        if max(late) - min(late) <= QUANTUM_S <= span_s:
            self._move(min(late))

    def _move(self, estimate_s: float) -> None:
        if abs(estimate_s - self.offset_s) > QUANTUM_S:
            self.offset_s = round(estimate_s / QUANTUM_S) * QUANTUM_S

    def forget(self) -> None:
        """The station sets its clock by our answer to its boot: the estimate holds until it says something else."""
        self.samples.clear()
        self.is_known = False

    def corrected(self, reading: Reading, received_at: datetime) -> Reading:
        """The reading at our time; the same object while the clocks agree."""
        if reading.at.year < EARLIEST_YEAR:
            return replace(reading, at=received_at)
        if self.offset_s == 0.0:
            return reading
        return replace(reading, at=reading.at + timedelta(seconds=self.offset_s))


_METERED = frozenset({Metered, TransactionReported, TransactionStopped})


def corrected(fact: Any, offset: ClockOffset) -> Any:
    """A fact with its readings at our time."""
    if type(fact) not in _METERED:
        return fact
    readings = tuple([offset.corrected(reading, fact.origin.received_at) for reading in fact.readings])
    return fact if readings == fact.readings else replace(fact, readings=readings)
