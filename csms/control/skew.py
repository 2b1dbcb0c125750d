"""Stations' clocks against ours (reference v2g-over-ocpp §4.3, V2G-60)."""

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from csms.domain.facts import Metered, Reading, TransactionReported, TransactionStopped

SAMPLES = 16
QUANTUM_S = 10.0
"""An estimate moves only by more than this, so that a repeated message is corrected to the same instant again."""

MAX_SKEW_S = 7 * 86_400.0
"""Beyond a week the clock was never set (1970): what comes live is dated by its arrival."""


@dataclass(slots=True)
class ClockSkew:
    """How far a station's clock is behind ours, s: the least of the last samples, as a queue only adds to it."""

    samples: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    offset_s: float = 0.0

    def note(self, said_at: datetime, received_at: datetime) -> None:
        """Learn from one message of the station."""
        self.samples.append((received_at - said_at).total_seconds())
        estimate = min(self.samples)
        if abs(estimate - self.offset_s) > QUANTUM_S:
            self.offset_s = round(estimate / QUANTUM_S) * QUANTUM_S

    def corrected(self, reading: Reading) -> Reading:
        """The reading at our time; the same object while the clocks agree."""
        if self.offset_s == 0.0 or abs(self.offset_s) > MAX_SKEW_S:
            return reading
        return replace(reading, at=reading.at + timedelta(seconds=self.offset_s))


_METERED = (Metered, TransactionReported, TransactionStopped)


def corrected(fact: Any, skew: ClockSkew) -> Any:
    """A fact with its readings at our time."""
    if skew.offset_s == 0.0 or not isinstance(fact, _METERED) or not fact.readings:
        return fact
    return replace(fact, readings=tuple(skew.corrected(reading) for reading in fact.readings))
