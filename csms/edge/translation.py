"""What the edge uses of ``handlers``: the package itself is one of these, tests have smaller ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from csms.domain.answers import Answer
from csms.domain.commands import Accepted, Command, Rejected
from csms.domain.facts import StationFact
from csms.domain.station import Quirks, Version


class Route(Protocol):
    """Translation of one action: its payload to a fact, the answer to the response's payload."""

    @property
    def decode(self) -> Callable[[Mapping[str, Any], Any, str], StationFact]: ...

    @property
    def reply(self) -> Callable[[Answer, Mapping[str, Any]], dict[str, Any]]: ...


QuickReader = Callable[[bytes, Any], tuple[bytes, str, StationFact] | None]
"""Frame and context → (id as it stands in the frame, action, fact), or None: read it the general way, from the start.

The payload fits its schema then, formats aside. The reply to an ``Acknowledged`` is empty.
"""


class WireCall(Protocol):
    """One CALL of a command."""

    @property
    def action(self) -> str: ...

    @property
    def payload(self) -> dict[str, Any]: ...


class Translation(Protocol):
    """What the edge uses of ``handlers``."""

    @property
    def ROUTES(self) -> Mapping[Version, Mapping[str, Route]]: ...  # noqa: N802

    @property
    def MUST_CONFIRM(self) -> frozenset[str]: ...  # noqa: N802

    @property
    def FROM_STATION(self) -> frozenset[str]: ...  # noqa: N802

    @property
    def Context(self) -> Callable[..., Any]: ...  # noqa: N802

    @property
    def reader(self) -> Callable[[Version], QuickReader]: ...

    @property
    def load_registry(self) -> Callable[[], Sequence[Any]]: ...

    @property
    def quirks_for(self) -> Callable[[Sequence[Any], Version | None, str, str, str], Quirks]: ...

    @property
    def overridden(self) -> Callable[[Quirks, Mapping[str, Any]], Quirks]: ...

    @property
    def quarantine_reply(self) -> Callable[[Version, str], dict[str, Any]]: ...

    @property
    def tolerate(self) -> Callable[[Version, str, Mapping[str, Any]], tuple[dict[str, Any], tuple[str, ...]]]: ...

    @property
    def encode(self) -> Callable[[Version, Command], Sequence[WireCall]]: ...

    @property
    def outcome(self) -> Callable[[Version, Command, Sequence[Mapping[str, Any]]], Accepted | Rejected]: ...
