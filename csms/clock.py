"""The one place that asks the operating system for the time."""

from datetime import UTC, datetime


class SystemClock:
    """UTC, aware."""

    def now(self) -> datetime:
        return datetime.now(UTC)
