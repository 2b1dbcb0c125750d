"""Frames that money or permission rests on, kept as they were on the wire (design §3, M2)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from csms.domain.ids import StationId


class SentCall(NamedTuple):
    """What is known of a CALL of ours beside its frame. ``evse`` None = the whole station, or it does not say;
    ``setpoint``: the one it tells."""

    message_id: str
    action: str
    evse: int | None = None
    setpoint: str | None = None


Frame = tuple[StationId, datetime, bool, bytes, SentCall | None]
"""Station, our time, whether it went out, the text; of a CALL of ours and of what answers it also which one it is."""

Keep = Callable[[Frame], None]
"""Takes a frame to be kept. On the event loop only; the next commit has it, and everything that follows from it."""


def keep_none(_frame: Frame) -> None:
    """Nothing is kept."""


class Purpose(StrEnum):
    """What of a ledger entry came from a frame."""

    READING = "reading"
    TRANSACTION = "transaction"
    PERMISSION = "permission"
    SETPOINT = "setpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """One frame. ``id`` sorts as they went; ``direction``: "in" = from the station; ``raw``: as it was on the wire;
    ``purposes`` of the CALL, also where this is what answers it."""

    id: str
    at: datetime
    station: StationId
    direction: str
    message_id: str
    purposes: tuple[Purpose, ...]
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFrame:
    """A frame that should be there. ``at``, ``message_id``: as far as they are known; ``why`` it is not."""

    purposes: tuple[Purpose, ...]
    what: str
    message_id: str | None = None
    at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFrames:
    """All that is kept of one ledger entry, in order."""

    frames: tuple[KeptFrame, ...]
    missing: tuple[MissingFrame, ...]
