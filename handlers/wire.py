"""The shapes in which frames and the domain meet. Payloads stay camelCase, as parsed (design §2)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from csms.domain.answers import Answer
from csms.domain.facts import Origin, StationFact
from csms.domain.ids import EvseRef, StationId
from csms.domain.station import Quirks, Version

Payload = Mapping[str, Any]


MOST_EVSES: Final = 9_999
MOST_WHOLE: Final = 2**53
"""Integers that every JSON parser and every database keep exactly. Registers in Wh are far below."""
MOST_COUNT: Final = 2**31 - 1


def within(name: str, number: int, least: int, most: int) -> int:
    """The number. ValueError when it cannot be meant (C12)."""
    if not least <= number <= most:
        raise ValueError(f"{name} {number} is not within {least} and {most}")
    return number


class Context(NamedTuple):
    """What decoding may know of the connection a frame came in on."""

    station: StationId
    version: Version
    quirks: Quirks
    received_at: datetime

    def origin(self, message_id: str) -> Origin:
        return Origin(station=self.station, message_id=message_id, received_at=self.received_at)

    def evse(self, number: int) -> EvseRef:
        """ValueError for a number that no EVSE has; 0 is the station."""
        return EvseRef(self.station, within("EVSE", number, 0, MOST_EVSES))


class Route(NamedTuple):
    """How one action is understood and answered.

    ``decode(payload, context, message_id)`` takes a payload that fits the schema (as sent, or after ``tolerate``).
    ``reply(answer, request payload)`` gives the CALLRESULT's payload; TypeError when the answer is of the wrong kind.
    """

    decode: Callable[[Payload, Context, str], StationFact]
    reply: Callable[[Answer, Payload], dict[str, Any]]


class WireCall(NamedTuple):
    """One CALL to a station."""

    action: str
    payload: dict[str, Any]


Kind = TypeVar("Kind")


def expect(kind: type[Kind], answer: object) -> Kind:
    """The answer, of the kind its message needs. TypeError otherwise: the control answered the wrong question."""
    if not isinstance(answer, kind):
        raise TypeError(f"this message is answered by {kind.__name__}, not by {type(answer).__name__}")
    return answer


def acknowledge(answer: Answer, request: Payload) -> dict[str, Any]:
    """The empty confirmation."""
    return {}
