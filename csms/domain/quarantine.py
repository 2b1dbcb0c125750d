"""What was confirmed and could not be understood or stored. V2G-39."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from csms.domain.ids import StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One time that a message was taken in again. ``taken_as``: the kind of fact it was found to be; ``raw``: the frame
    with the corrected payload, None = the message as it came."""

    at: datetime
    by: str
    taken_as: str
    raw: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One message as it came. ``fields``: what could be read of it; ``why``: what was wrong; ``replays``: who had it
    taken in again since, in order."""

    id: int
    station: StationId
    message_id: str
    received_at: datetime | None
    action: str
    raw: str
    why: str
    evse: int | None
    fields: Mapping[str, Any]
    replays: tuple[Replay, ...] = ()
