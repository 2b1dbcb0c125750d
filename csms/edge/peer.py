"""What the edge keeps of one station over all its connections: counters, last frames, the socket that holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from csms.domain.ids import StationId
from csms.edge.framelog import Direction, FrameLog

if TYPE_CHECKING:
    from csms.edge.session import Session


@dataclass(frozen=True, slots=True)
class Counters:
    """Since this process started. ``errors`` = CALLERRORs in either direction; the mappings count by name."""

    frames_in: int = 0
    frames_out: int = 0
    errors: int = 0
    late_answers: int = 0
    coercions: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)


class Peer:
    """One station. Small: nothing is made before it is needed."""

    __slots__ = ("_coercions", "_dropped", "_log", "epoch", "errors", "frames_in", "frames_out", "session", "station")

    def __init__(self, station: StationId) -> None:
        self.station = station
        self.session: Session | None = None
        self.epoch = 0
        self.frames_in = 0
        self.frames_out = 0
        self.errors = 0
        self._log: FrameLog | None = None
        self._coercions: dict[str, int] | None = None
        self._dropped: dict[str, int] | None = None

    def log(self, at: datetime, direction: Direction, raw: bytes, action: str = "") -> None:
        """Keep a frame for people to read."""
        if self._log is None:
            self._log = FrameLog()
        self._log.add(at, direction, raw, action)

    def frames(self) -> list[tuple[datetime, Direction, str]]:
        """The last frames, oldest first."""
        return self._log.frames() if self._log else []

    def count_coercion(self, name: str) -> None:
        """The tolerant reader mended something (V2G-58)."""
        if self._coercions is None:
            self._coercions = {}
        self._coercions[name] = self._coercions.get(name, 0) + 1

    def count_dropped(self, why: str) -> None:
        """A frame led to nothing."""
        if self._dropped is None:
            self._dropped = {}
        self._dropped[why] = self._dropped.get(why, 0) + 1

    def counters(self) -> Counters:
        """The counters as a value."""
        dropped = dict(self._dropped or {})
        late = dropped.pop("late_answer", 0)
        return Counters(self.frames_in, self.frames_out, self.errors, late, dict(self._coercions or {}), dropped)
