"""What a session stands on: its connection, what all sessions share, and the gate before the boot is accepted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from csms.domain.ports import Clock, Intake
from csms.domain.record import Keep, keep_none
from csms.domain.station import BootState, Version
from csms.edge.schemas import Schemas
from csms.edge.translation import QuickReader, Translation

if TYPE_CHECKING:
    from csms.edge.session import Session

WHILE_PENDING: Final = frozenset({"BootNotification", "NotifyReport", "NotifyMonitoringReport"})
"""What a 2.x station may send before it is accepted: its boot, and reports that we asked for (B02)."""


def is_gated(version: Version, state: BootState, action: str) -> bool:
    """Whether a CALL is refused with SecurityError for want of an accepted boot (2.x B02.FR.09, B03.FR.07; V2G-61).

    1.6 stations are let through: wrong boot orders are common there (field lessons §8a).
    """
    if version is Version.V16 or state is BootState.ACCEPTED or action == "BootNotification":
        return False
    return state is not BootState.PENDING or action not in WHILE_PENDING


class Wire(Protocol):
    """The connection that a session speaks through."""

    def send(self, text: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What all sessions of one hub share."""

    intake: Intake
    clock: Clock
    translation: Translation
    schemas: Mapping[Version, Schemas]
    readers: Mapping[Version, QuickReader]
    registry: Sequence[Any]
    released: Callable[["Session"], None]
    keep: Keep = keep_none
