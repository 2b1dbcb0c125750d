"""Market intervals by their starts. A9."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from csms.domain.ledger import OPEN_FOR

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Grid:
    """Intervals of one length, one after the other."""

    interval: timedelta

    def floor(self, at: datetime) -> datetime:
        """The start of the interval around an instant."""
        return EPOCH + (at - EPOCH) // self.interval * self.interval

    def starts(self, since: datetime, until: datetime) -> list[datetime]:
        """Of all that have a part in [since, until)."""
        first = self.floor(since)
        return [first + n * self.interval for n in range(max(0, -((first - until) // self.interval)))]

    def around(self, since: datetime, until: datetime, settled_until: datetime) -> list[datetime]:
        """The settled and still open intervals of a time, and one interval on either side of it."""
        oldest = max(since, settled_until - OPEN_FOR) - self.interval
        return self.starts(oldest, min(until, settled_until - self.interval) + self.interval)
