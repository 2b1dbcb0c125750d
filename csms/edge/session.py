"""One connection's conversation: frames become facts, answers become frames, and our calls go out one at a time.

The path of a message has no task and no future: received → rpc → route.decode → intake.receive → its answer →
route.reply → send. Outgoing calls wait in a queue of their own and never hold it up (V2G-53).
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from csms.domain.answers import Acknowledged, Answer, BootAnswer, StartAnswer, TransactionAnswer
from csms.domain.commands import CallFailed, CallOutcome, CallResult
from csms.domain.facts import EVIDENCE, Booted, Metered, Origin, StatusReported, Unintelligible
from csms.domain.ports import Admitted
from csms.domain.station import BootState, Quirks, Version
from csms.edge import frames, rpc
from csms.edge.calls import Calls, Outgoing
from csms.edge.desk import Desk, Wire, is_gated
from csms.edge.peer import Peer
from csms.edge.schemas import Fault
from csms.edge.translation import Route

_log = logging.getLogger(__name__)

NOTHING: Final[Mapping[str, Any]] = {}

ANSWERED_PLAINLY: Final = frozenset({Metered, StatusReported})
"""Facts whose reply reads nothing of the request: of hundreds that wait for a commit no parsed payload is held."""

MAX_RAW_CHARACTERS: Final = 131_072
"""A message that is quarantined is kept up to here."""


class Session:
    """A station's live conversation over one connection, in the version it negotiated."""

    __slots__ = (
        "_asked_w",
        "_boot_state",
        "_calls",
        "_desk",
        "_is_over",
        "_own_ways",
        "_peer",
        "_quirks",
        "_read_quickly",
        "_routes",
        "_rpc",
        "_wire",
        "epoch",
    )

    def __init__(self, desk: Desk, peer: Peer, wire: Wire, admitted: Admitted, version: Version) -> None:
        self._desk = desk
        self._peer = peer
        self._wire = wire
        self._quirks: Quirks = admitted.quirks
        self._own_ways = admitted.own_ways
        self._boot_state = admitted.boot_state
        self._rpc = rpc.Rpc(version, desk.schemas[version])
        self._routes = desk.translation.ROUTES[version]
        self._read_quickly = desk.readers.get(version)
        self._calls = Calls(self._rpc, self._send_call)
        self._asked_w: dict[int, int] | None = None
        self._is_over = False
        self.epoch = peer.epoch

    @property
    def version(self) -> Version:
        return self._rpc.version

    @property
    def peer(self) -> Peer:
        return self._peer

    # Frames in

    def received(self, raw: bytes) -> None:
        """Take one text message. Never raises; a bad one is this station's own affair."""
        if self._is_over:
            return
        now = self._desk.clock.now()
        self._peer.frames_in += 1
        if self._take_quickly(raw, now):
            return
        action = self._rpc.receive(raw)
        try:
            if type(action) is rpc.Request:
                self._peer.log(now, "in", raw, "" if action.fault else action.action)
                self._on_request(action, raw, now)
            else:
                self._peer.log(now, "in", raw)
                self._on_rare(action, raw, now)
        except Exception:
            # Ours, not the station's: no answer, so that it sends again what was not stored.
            _log.exception("a frame of station %s could not be handled", self._peer.station)

    def _take_quickly(self, raw: bytes, now: datetime) -> bool:
        """Take a frame that the quick way reads, and False for any other: nothing has happened then."""
        read = self._read_quickly
        if read is None or self._boot_state is not BootState.ACCEPTED:
            return False
        peer = self._peer
        try:
            found = read(raw, self._desk.translation.Context(peer.station, self._rpc.version, self._quirks, now))
        except Exception:
            _log.exception("a frame of station %s could not be read quickly", peer.station)
            return False
        if found is None:
            return False
        message_id, action, fact = found
        peer.log(now, "in", raw, action)
        self._desk.keep((peer.station, now, False, raw, None))
        try:
            self._desk.intake.receive(fact, partial(self._answer_quickly, message_id, action))
        except Exception:
            _log.exception("a frame of station %s could not be handled", peer.station)
        return True

    def _answer_quickly(self, message_id: bytes, action: str, answer: Answer) -> None:
        """Most answers say nothing; any other is spelt as that of its route."""
        says_nothing = type(answer) is Acknowledged or (type(answer) is TransactionAnswer and answer.token is None)
        if not says_nothing:
            self._answer(self._routes[action], message_id.decode(), action, NOTHING, answer, is_kept=True)
        elif not self._is_over:
            self._send(b'[3,"%b",{}]' % message_id, action, is_kept=True)

    def _on_rare(self, action: rpc.Action, raw: bytes, now: datetime) -> None:
        match action:
            case rpc.Result():
                self._keep_answer(raw, now)
                self._on_result(action)
            case rpc.Failure():
                self._keep_answer(raw, now)
                self._peer.errors += 1
                self._calls.answered(CallFailed(action.code, action.description, action.details))
            case rpc.Reply():
                self._send_error(action.text)
            case rpc.Garbled():
                self._on_garbled(action, raw, now)
            case rpc.Dropped():
                self._peer.count_dropped(action.why)
            case _:
                # No SEND of 2.1 carries anything that is used yet; it is in the log of frames.
                self._peer.count_dropped("send")

    def _on_request(self, request: rpc.Request, raw: bytes, now: datetime) -> None:
        if self._is_gated(request.action):
            self._refuse(request.message_id, self._rpc.codes.security, "Not accepted yet: send BootNotification")
            return
        route = self._routes.get(request.action)
        if route is None:
            self._refuse(request.message_id, self._rpc.codes.not_supported, f"{request.action} is not supported")
            return
        if request.fault is not None:
            request = self._mended(request)
        if request.fault is not None:
            self._on_unfit(request.message_id, request.action, request.fault, raw, now)
            return
        self._decode(route, request, raw, now)

    def _is_gated(self, action: str) -> bool:
        return self._boot_state is not BootState.ACCEPTED and is_gated(self.version, self._boot_state, action)

    def _mended(self, request: rpc.Request) -> rpc.Request:
        """The request after the tolerant reader, with what is still wrong with it."""
        said = {} if request.payload is None else request.payload
        if not isinstance(said, dict):
            return request
        payload, names = self._desk.translation.tolerate(self.version, request.action, said)
        if request.payload is None:
            self._peer.count_coercion("null_payload")
        for name in names:
            self._peer.count_coercion(name)
        fault = self._rpc.schemas.request_fault(request.action, payload)
        return rpc.Request(request.message_id, request.action, payload, fault)

    def _decode(self, route: Route, request: rpc.Request, raw: bytes, now: datetime) -> None:
        context = self._desk.translation.Context(self._peer.station, self._rpc.version, self._quirks, now)
        try:
            fact = route.decode(request.payload, context, request.message_id)
        except (ValueError, LookupError, ArithmeticError) as error:
            fault = Fault(self._rpc.codes.property, request.action, f"cannot be understood: {str(error)[:100]}")
            self._on_unfit(request.message_id, request.action, fault, raw, now)
            return
        except Exception:
            _log.exception("decoding %s of station %s failed", request.action, self._peer.station)
            fault = Fault(self._rpc.codes.internal, request.action, "could not be read")
            self._on_unfit(request.message_id, request.action, fault, raw, now)
            return
        if type(fact) is Booted:
            self._learn_quirks(fact)
        read_again = NOTHING if type(fact) in ANSWERED_PLAINLY else request.payload
        is_kept = type(fact) in EVIDENCE
        if is_kept:
            self._desk.keep((self._peer.station, now, False, raw, None))
        answer = partial(self._answer, route, request.message_id, request.action, read_again, is_kept=is_kept)
        self._desk.intake.receive(fact, answer)

    def _learn_quirks(self, boot: Booted) -> None:
        """The station says what model it is: what follows is read as that model means it (V2G-21)."""
        desk = self._desk
        known = desk.translation.quirks_for(desk.registry, self.version, boot.vendor, boot.model, boot.firmware)
        self._quirks = desk.translation.overridden(known, self._own_ways)

    def _answer(
        self,
        route: Route,
        message_id: str,
        action: str,
        payload: Mapping[str, Any],
        answer: Answer,
        *,
        is_kept: bool,
    ) -> None:
        if type(answer) is BootAnswer:
            self._boot_state = answer.state
        if self._is_over:
            return
        try:
            reply = route.reply(answer, payload)
            fault = self._rpc.schemas.response_fault(action, reply)
        except Exception:
            _log.exception("the reply to %s of station %s failed", action, self._peer.station)
            self._answer_bare(message_id, action)
            return
        if fault is None:
            self._send(frames.call_result(message_id, reply), action, is_kept=is_kept)
        else:
            _log.error("our reply to %s does not fit its schema: %s", action, fault)
            self._answer_bare(message_id, action)

    def _answer_bare(self, message_id: str, action: str) -> None:
        """We failed on a fact that is stored: confirm it where it must be, else say that the fault is ours."""
        if action in self._desk.translation.MUST_CONFIRM:
            self._confirm(message_id, action, Acknowledged())
        else:
            self._refuse(message_id, self._rpc.codes.internal, "The central system failed")

    # What cannot be understood

    def _on_garbled(self, garbled: rpc.Garbled, raw: bytes, now: datetime) -> None:
        if self._is_gated(garbled.action):
            self._refuse(garbled.message_id, self._rpc.codes.security, "Not accepted yet: send BootNotification")
            return
        fault = Fault(self._rpc.codes.format, "", "is no valid JSON")
        self._on_unfit(garbled.message_id, garbled.action, fault, raw, now)

    def _on_unfit(self, message_id: str, action: str, fault: Fault, raw: bytes, now: datetime) -> None:
        """Quarantine what must be confirmed (V2G-39); answer the rest with the fault."""
        if action not in self._desk.translation.MUST_CONFIRM:
            self._refuse(message_id, fault.code, str(fault))
            return
        origin = Origin(station=self._peer.station, message_id=message_id, received_at=now)
        text = raw.decode("utf-8", "replace")[:MAX_RAW_CHARACTERS]
        fact = Unintelligible(origin=origin, action=action, raw=text, why=str(fault))
        self._peer.count_dropped("quarantined")
        self._desk.keep((self._peer.station, now, False, raw, None))
        self._desk.intake.receive(fact, partial(self._confirm, message_id, action))

    def _confirm(self, message_id: str, action: str, answer: Answer) -> None:
        """Confirm what is in quarantine. A 1.6 start needs the id that the intake gave (field lesson 10)."""
        if self._is_over:
            return
        translation = self._desk.translation
        if isinstance(answer, StartAnswer):
            payload = self._routes[action].reply(answer, {})
        elif self.version is Version.V16 and action == "StartTransaction":
            _log.error("a StartTransaction of station %s has no id to be answered with", self._peer.station)
            return  # it will come again
        else:
            payload = translation.quarantine_reply(self.version, action)
        self._send(frames.call_result(message_id, payload), is_kept=True)

    # Frames out

    def _send(self, text: bytes, action: str = "", *, is_kept: bool = False) -> None:
        now = self._desk.clock.now()
        self._peer.frames_out += 1
        self._peer.log(now, "out", text, action)
        if is_kept:
            self._desk.keep((self._peer.station, now, True, text, None))
        self._wire.send(text)

    def _send_call(self, outgoing: Outgoing) -> None:
        if outgoing.kept is not None:
            self._desk.keep((self._peer.station, self._desk.clock.now(), True, outgoing.text, outgoing.kept))
        self._send(outgoing.text)

    def _keep_answer(self, raw: bytes, now: datetime) -> None:
        """What answers a CALL of ours is kept where the CALL is."""
        call = self._calls.open_kept
        if call is not None:
            self._desk.keep((self._peer.station, now, False, raw, call))

    def _send_error(self, text: bytes) -> None:
        self._peer.errors += 1
        self._send(text)

    def _refuse(self, message_id: str, code: str, description: str) -> None:
        self._send_error(frames.call_error(message_id, code, description))

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallOutcome:
        """One of our calls, after those before it."""
        return await self._calls.call(outgoing, timeout_s)

    def asks_less(self, evse: int, setpoint_w: int) -> bool:
        """Whether this is no more power for the EVSE than it was asked for last; remembers it."""
        asked_w = self._asked_w = self._asked_w or {}
        before_w = asked_w.get(evse)
        asked_w[evse] = setpoint_w
        return setpoint_w <= 0 or (before_w is not None and setpoint_w <= before_w)

    def _on_result(self, result: rpc.Result) -> None:
        if result.reply is not None:
            self._send_error(result.reply)
        if result.fault is not None:
            self._peer.count_coercion("answer_beside_schema")
        if isinstance(result.payload, dict):
            self._calls.answered(CallResult(result.payload, str(result.fault or "")))
        else:
            self._calls.answered(CallFailed(self._rpc.codes.format, "The answer's payload is no object"))

    # The end

    def supersede(self) -> None:
        """A newer connection of the same station took over: this one says no more and hears no more."""
        self._end()
        self._wire.close(1000, "replaced by a newer connection")

    def lost(self) -> None:
        """The connection is gone."""
        self._end()
        self._desk.released(self)

    def close(self, code: int, reason: str) -> None:
        """Hang up."""
        self._wire.close(code, reason)

    def _end(self) -> None:
        self._is_over = True
        self._calls.end()
