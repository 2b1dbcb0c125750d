"""OCPP-J as a pure state machine: a frame in, what to do out. One of these per connection. Design §2, V2G-52, 57, 58.

The state is the one CALL of ours that may be open. Incoming CALLs have no state here: each is answered by its own id,
so the two directions never wait for each other (V2G-53). What differs between the versions is a table.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from csms.domain.station import Version
from csms.edge import frames
from csms.edge.schemas import CODES, Fault, Schemas


class Request(NamedTuple):
    """A CALL to be answered. ``fault`` says what the schema finds wrong with it."""

    message_id: str
    action: str
    payload: Any
    fault: Fault | None


class Garbled(NamedTuple):
    """A CALL whose head can be read and whose payload is no JSON: still to be answered (field lesson 20)."""

    message_id: str
    action: str


class Streamed(NamedTuple):
    """A SEND (2.1), which is never answered."""

    message_id: str
    action: str
    payload: Any
    fault: Fault | None


class Result(NamedTuple):
    """The answer to our open CALL. ``fault``: it does not fit the schema; it may be of use all the same.

    ``reply``: the CALLRESULTERROR to send back (2.1) for one that is no object at all.
    """

    payload: Any
    fault: Fault | None
    reply: bytes | None


class Failure(NamedTuple):
    """CALLERROR on our open CALL."""

    code: str
    description: str
    details: Mapping[str, Any]


class Reply(NamedTuple):
    """Send this back; nothing else happens."""

    text: bytes


class Dropped(NamedTuple):
    """Nothing to do but to count ``why``."""

    why: str


Action = Request | Garbled | Streamed | Result | Failure | Reply | Dropped


class Rpc:
    """The RPC of one connection."""

    __slots__ = ("_open_action", "_open_id", "codes", "schemas", "version")

    def __init__(self, version: Version, schemas: Schemas) -> None:
        self.version = version
        self.schemas = schemas
        self.codes = CODES[version]
        self._open_id: str | None = None
        self._open_action = ""

    @property
    def is_busy(self) -> bool:
        """A CALL of ours waits for its answer."""
        return self._open_id is not None

    def open(self, message_id: str, action: str) -> None:
        """Our next CALL goes out. ValueError when another is open: one at a time (2.x part 4 §4.1.1)."""
        if self._open_id is not None:
            raise ValueError("a CALL is open already")
        self._open_id, self._open_action = message_id, action

    def give_up(self) -> None:
        """Forget our open CALL: its answer, should it come, is late and will be dropped."""
        self._open_id = None

    def receive(self, raw: bytes) -> Action:
        """Take one frame in. Never raises."""
        frame = frames.read(raw, self.version)
        if type(frame) is frames.Call:
            return self._request(frame)
        if type(frame) is frames.CallResult:
            return self._result(frame)
        return self._receive_rare(frame)

    def _receive_rare(self, frame: frames.Frame) -> Action:
        match frame:
            case frames.CallError():
                return self._failure(frame)
            case frames.Send():
                return self._streamed(frame)
            case frames.CallResultError():
                return Dropped("call_result_error")
            case frames.Broken():
                return self._broken(frame)
            case frames.Misshapen():
                return self._misshapen(frame)
            case _:
                return Dropped("unknown_type")

    def _request(self, call: frames.Call) -> Action:
        if not self.schemas.knows(call.action):
            return Reply(frames.call_error(call.message_id, self.codes.not_implemented, "This action is not known"))
        return Request(
            call.message_id, call.action, call.payload, self.schemas.request_fault(call.action, call.payload)
        )

    def _streamed(self, send: frames.Send) -> Action:
        try:
            fault = self.schemas.request_fault(send.action, send.payload)
        except KeyError:
            return Dropped("unknown_send")
        return Streamed(send.message_id, send.action, send.payload, fault)

    def _close_open(self, message_id: str) -> str | None:
        """The action of our open CALL if this id is its, else None. The slot is free afterwards."""
        if message_id != self._open_id or self._open_id is None:
            return None
        self._open_id = None
        return self._open_action

    def _result(self, result: frames.CallResult) -> Action:
        action = self._close_open(result.message_id)
        if action is None:
            return Dropped("late_answer")
        fault = self.schemas.response_fault(action, result.payload)
        reply = None
        if not isinstance(result.payload, dict) and fault is not None and self.version is Version.V21:
            reply = frames.call_result_error(result.message_id, fault.code, str(fault))
        return Result(result.payload, fault, reply)

    def _failure(self, error: frames.CallError) -> Action:
        if self._close_open(error.message_id) is None:
            return Dropped("late_answer")
        return Failure(error.code, error.description, error.details)

    def _broken(self, frame: frames.Broken) -> Action:
        if frame.type == frames.CALL and frame.action and self.schemas.knows(frame.action):
            return Garbled(frame.message_id, frame.action)
        return self._unusable(frame.type, frame.message_id, self.codes.format, "The message is no valid JSON")

    def _misshapen(self, frame: frames.Misshapen) -> Action:
        return self._unusable(frame.type, frame.message_id, self.codes.frame, frame.why)

    def _unusable(self, kind: int, message_id: str, code: str, why: str) -> Action:
        if kind in (frames.CALL_RESULT, frames.CALL_ERROR, frames.CALL_RESULT_ERROR):
            return Failure(code, why, {}) if self._close_open(message_id) else Dropped("unreadable_answer")
        if kind == frames.SEND:
            return Dropped("unreadable_send")
        return Reply(frames.call_error(message_id, code, why))
