"""How long a profile lives."""

from datetime import datetime
from math import ceil


def seconds_between(start: datetime, end: datetime) -> int:
    """Whole seconds, rounded up, at least 1: a duration of 0 would be a profile without one to some stations."""
    return max(1, ceil((end - start).total_seconds()))
