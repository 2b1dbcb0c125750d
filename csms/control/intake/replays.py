"""A message of long ago that is taken in again: what it says is of then, and it comes now. B9, V2G-39."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from csms.control.intake.cables import held_at
from csms.control.state.live import Live
from csms.domain.facts import (
    Metered,
    StatusesReported,
    StatusReported,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)

_DATED: Final = (Metered, StatusReported, TransactionReported, TransactionStarted, TransactionStopped)


def come_now(fact: Any, now: datetime) -> Any:
    """The fact as one that has waited until now: else it would be taken for the present, which it was once."""
    if isinstance(fact, StatusesReported):
        return replace(fact, statuses=tuple(come_now(one, now) for one in fact.statuses))
    return replace(fact, origin=replace(fact.origin, received_at=now)) if isinstance(fact, _DATED) else fact


def still_told(live: Live, fact: Any) -> Any:
    """What of a fact still says something of the present; None = nothing. A status that its connector has changed since
    says nothing, whatever it is about: nobody sets the clock of a station back by a replay."""
    if isinstance(fact, StatusReported):
        return None if _is_superseded(live, fact) else fact
    if isinstance(fact, StatusesReported):
        return replace(fact, statuses=tuple(one for one in fact.statuses if not _is_superseded(live, one)))
    return fact


def _is_superseded(live: Live, status: StatusReported) -> bool:
    evse = live.find(status.evse)
    if evse is None:
        return False
    known = evse.cable.statuses.get(status.connector)
    plugged = evse.cable.plugged
    is_of_before = plugged is not None and status.at < plugged.plugged_at
    return is_of_before or (known is not None and status.at < held_at(known))
