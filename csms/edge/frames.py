"""The shapes of OCPP-J frames: bytes to a named tuple and back. OCPP-J 1.6 §4, 2.0.1 part 4 §4, 2.1 part 4 §4.

A frame is read as it is: whether its action exists and its payload fits is the RPC's question.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from csms.domain.station import Version
from csms.edge.nesting import is_too_deep

CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND = 2, 3, 4, 5, 6

UNREADABLE_ID: Final = "-1"
"""The message id of an error about a frame whose own id cannot be read (2.0.1 part 4 §4.2.3; V2G-57)."""

MAX_ID_LENGTH: Final = 255
"""The standard says 36; stations with longer ones exist and are answered."""

MAX_DESCRIPTION_LENGTH: Final = 255

_NUL: Final = rb"\u0000"

_HEAD = re.compile(rb'\s*\[\s*(\d)\s*,\s*"([^"\\\x00-\x1f]{0,255})"\s*(?:,\s*"(\w{1,60})"\s*,)?')


class Call(NamedTuple):
    """[2, id, action, payload]. The payload of a frame that was read may be of any type."""

    message_id: str
    action: str
    payload: Any


class CallResult(NamedTuple):
    """[3, id, payload]."""

    message_id: str
    payload: Any


class CallError(NamedTuple):
    """[4, id, code, description, details]; ``code`` as the station spells it."""

    message_id: str
    code: str
    description: str
    details: Mapping[str, Any]


class CallResultError(NamedTuple):
    """[5, id, code, description, details] (2.1): our answer could not be used."""

    message_id: str
    code: str
    description: str


class Send(NamedTuple):
    """[6, id, action, payload] (2.1): never answered."""

    message_id: str
    action: str
    payload: Any


class Broken(NamedTuple):
    """No JSON. ``type``, ``message_id`` and ``action`` are what its head still tells, else 0, "-1" and ""."""

    type: int
    message_id: str
    action: str


class Misshapen(NamedTuple):
    """JSON, but no frame. ``type`` is 0 where it has none. ``why`` names what is wrong."""

    type: int
    message_id: str
    why: str


class UnknownType(NamedTuple):
    """A message type that this version does not have: ignored (1.6 §4.1.3, 2.x part 4 §4.1.3)."""

    type: int


Frame = Call | CallResult | CallError | CallResultError | Send | Broken | Misshapen | UnknownType


def read(raw: bytes, version: Version) -> Frame:
    """Read one WebSocket message. Never raises, whatever the bytes."""
    if is_too_deep(raw):
        return _salvage(raw[:512])
    if _NUL in raw:  # no database keeps it, and no station means it (C5)
        raw = raw.replace(_NUL, rb"\ufffd")
    try:
        parts = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _salvage(raw[:512])
    if type(parts) is not list or not parts:
        return Misshapen(0, UNREADABLE_ID, "a frame is a JSON array with at least 3 elements")
    kind = parts[0]
    message_id = parts[1] if len(parts) > 1 else None
    if type(message_id) is not str or len(message_id) > MAX_ID_LENGTH:
        return _without_id(kind, version)
    return _read_parts(kind, message_id, parts, version)


def _read_parts(kind: Any, message_id: str, parts: list[Any], version: Version) -> Frame:
    if kind == CALL and type(kind) is int:
        if len(parts) < 4 or type(parts[2]) is not str:
            return Misshapen(CALL, message_id, "a CALL is [2, id, action, payload]")
        return Call(message_id, parts[2], parts[3])
    if kind == CALL_RESULT and len(parts) > 2:
        return CallResult(message_id, parts[2])
    if kind == CALL_ERROR:
        return CallError(message_id, _text(parts, 2), _text(parts, 3), _details(parts))
    return _read_rare(kind, message_id, parts, version)


def _read_rare(kind: Any, message_id: str, parts: list[Any], version: Version) -> Frame:
    if version is Version.V21 and kind == CALL_RESULT_ERROR:
        return CallResultError(message_id, _text(parts, 2), _text(parts, 3))
    if version is Version.V21 and kind == SEND:
        if len(parts) < 4 or type(parts[2]) is not str:
            return Misshapen(SEND, message_id, "a SEND is [6, id, action, payload]")
        return Send(message_id, parts[2], parts[3])
    if kind == CALL_RESULT and type(kind) is int:
        return Misshapen(CALL_RESULT, message_id, "a CALLRESULT is [3, id, payload]")
    if type(kind) is int:
        return UnknownType(kind)
    return Misshapen(0, message_id, "the message type is a number")


def _without_id(kind: Any, version: Version) -> Frame:
    known = (CALL, CALL_RESULT, CALL_ERROR) if version is not Version.V21 else range(CALL, SEND + 1)
    if type(kind) is int and kind not in known:
        return UnknownType(kind)
    return Misshapen(kind if type(kind) is int else 0, UNREADABLE_ID, "the message id is no string of at most 36 signs")


def _salvage(head: bytes) -> Broken:
    found = _HEAD.match(head)
    if found is None:
        return Broken(0, UNREADABLE_ID, "")
    kind, message_id, action = found.groups()
    return Broken(int(kind), message_id.decode("utf-8", "replace"), (action or b"").decode("utf-8", "replace"))


def _text(parts: list[Any], index: int) -> str:
    value = parts[index] if len(parts) > index else ""
    return value[:1000] if isinstance(value, str) else ""


def _details(parts: list[Any]) -> Mapping[str, Any]:
    value = parts[4] if len(parts) > 4 else None
    return value if isinstance(value, dict) else {}


def call(message_id: str, action: str, payload: Mapping[str, Any]) -> bytes:
    """A CALL in compact JSON, the payload's keys in the order given. Raises TypeError for what JSON cannot say."""
    return orjson.dumps((CALL, message_id, action, payload))


def call_result(message_id: str, payload: Mapping[str, Any]) -> bytes:
    """A CALLRESULT in compact JSON."""
    return orjson.dumps((CALL_RESULT, message_id, payload))


def call_error(message_id: str, code: str, description: str) -> bytes:
    """A CALLERROR; the description is cut to what the standard allows, the details are empty (V2G-57)."""
    return orjson.dumps((CALL_ERROR, message_id, code, description[:MAX_DESCRIPTION_LENGTH], {}))


def call_result_error(message_id: str, code: str, description: str) -> bytes:
    """A CALLRESULTERROR (2.1)."""
    return orjson.dumps((CALL_RESULT_ERROR, message_id, code, description[:MAX_DESCRIPTION_LENGTH], {}))
