"""Where the rooms meet: handlers and the control never import each other, they share these Protocols."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from csms.domain.answers import Answer
from csms.domain.commands import CallOutcome, Command, Outcome
from csms.domain.facts import StationFact
from csms.domain.ids import StationId
from csms.domain.station import BootState, Quirks, Version


class Clock(Protocol):
    """The time, always aware and in UTC."""

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The station may connect. ``quirks`` of its last known model; ``boot_state`` of its last boot; ``own_ways``: what
    is known of this one beyond any model."""

    station: StationId
    quirks: Quirks
    boot_state: BootState
    own_ways: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """HTTP status of the refusal: 404 unknown station, 401 wrong or missing credentials, 429 too many tries."""

    http_status: int


class Admission(Protocol):
    """Who may connect; asked before the 101 (design §2)."""

    async def admit(self, station: str, user: str | None, password: bytes | None, source: str) -> Admitted | Refused:
        """``user`` and ``password`` come from Basic auth, raw; None when absent. ``source``: the address it calls
        from."""
        ...


class Intake(Protocol):
    """Takes facts in. Called on the event loop; must not block."""

    def receive(self, fact: StationFact, done: Callable[[Answer], None]) -> None:
        """Store the fact; call ``done`` once, on the loop, after its commit; never for a write that failed."""
        ...

    def connected(self, station: StationId, version: Version) -> None:
        """A new socket took over the station."""
        ...

    def disconnected(self, station: StationId) -> None:
        """The station's current socket is gone (never called for one that was replaced)."""
        ...

    @property
    def is_full(self) -> bool:
        """The write queue is above its bound: sockets should not be read now."""
        ...


class Stations(Protocol):
    """The connected stations, to be commanded. One CALL at a time per station; calls wait in a queue."""

    def version_of(self, station: StationId) -> Version | None:
        """Version of the live connection; None = offline."""
        ...

    async def send(self, command: Command) -> Outcome:
        """Encode, send, await the answer. A version that cannot express the command gives Rejected("NotSupported")."""
        ...

    async def call(self, station: StationId, action: str, payload: Mapping[str, Any], timeout_s: float) -> CallOutcome:
        """A call by hand. The payload goes out with its keys in the order given.

        Raises BadRequest when the payload does not fit the schema or the version has no such action.
        """
        ...
