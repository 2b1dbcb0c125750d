"""The patterns of conditions as every driver is offered them. P10."""

from csms.control.permission.patterns import MINE, PREPARED, offered, used
from csms.domain.conditions import Conditions, Pattern

__all__ = ["MINE", "PREPARED", "conditions_of", "offered"]


def conditions_of(patterns: tuple[Pattern, ...]) -> Conditions | None:
    """The conditions that the user's next plug-in begins with, when they ever saved some."""
    found = used(patterns, None)
    return found.conditions if found else None
