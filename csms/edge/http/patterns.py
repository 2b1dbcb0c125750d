"""The prepared patterns of conditions that every driver is offered. P10; names are catalogue keys of the page."""

from datetime import time

from csms.domain.conditions import Conditions, Pattern

MINE = "mine"
"""The name under which a user's own conditions are stored and used again."""

PREPARED: tuple[Pattern, ...] = (
    Pattern(name="commuter", prepared=True, conditions=Conditions(required_soc_percent=70.0, depart_at=time(7, 30))),
    Pattern(name="entrust", prepared=True, conditions=Conditions(required_soc_percent=50.0, entrust=True)),
    Pattern(name="always-80", prepared=True, conditions=Conditions(required_soc_percent=80.0)),
)


def conditions_of(patterns: tuple[Pattern, ...]) -> Conditions | None:
    """The user's own conditions, when they ever saved some."""
    return next((pattern.conditions for pattern in patterns if pattern.name == MINE), None)
