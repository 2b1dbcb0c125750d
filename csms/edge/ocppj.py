"""One station's socket: ``websockets`` as a parser inside an asyncio.Protocol. Design §2, V2G-49, 50, 51.

It owns what a WebSocket server must: handshake and its time limit, authentication before the 101, joining of fragments,
size limit, back-pressure, liveness, close handshake. What the frames say is the session's business.
"""

import asyncio
import http
import logging
from typing import Final, Protocol, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from csms.domain.ports import Admission, Admitted, Refused
from csms.domain.station import Version
from csms.edge import reception
from csms.edge.quickframes import text_frame, whole_text
from csms.edge.session import Session
from csms.edge.turns import SLICE_BYTES
from csms.settings import Ocpp

MAX_UNSENT_BYTES: Final = 1024 * 1024
"""A station that reads so slowly that more than this waits to be sent is dropped."""

CLOSE_TIMEOUT_S: Final = 5.0

MAX_REQUEST_BYTES: Final = 16 * 1024
"""Of the opening handshake, by somebody whom nobody knows yet."""

_log = logging.getLogger(__name__)


class Host(Protocol):
    """What a connection needs of the hub."""

    settings: Ocpp
    admission: Admission

    def joined(self, connection: "Connection") -> None:
        """A TCP connection exists."""
        ...

    def left(self, connection: "Connection") -> None:
        """Its TCP connection is gone."""
        ...

    def opened(self, connection: "Connection", admitted: Admitted, version: Version) -> Session:
        """The station is who it says: the session that takes its frames from now on."""
        ...

    def wait_turn(self, connection: "Connection") -> None:
        """It has sent more than a slice: ``take_turn`` is called when the others had theirs."""
        ...

    def throttle(self, connection: "Connection") -> None:
        """Called after each read: pauses the connection when no more may be read now."""
        ...


class Connection(asyncio.Protocol):
    """From the TCP connection to its end. Used by the event loop and the hub only."""

    __slots__ = (
        "_admitting",
        "_behind",
        "_heard_at",
        "_host",
        "_is_reading",
        "_loop",
        "_parts",
        "_pinged_at",
        "_plain_bytes",
        "_request_bytes",
        "_session",
        "_timer",
        "_transport",
        "_websocket",
        "_window_bits",
        "is_paused",
        "source",
    )

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._websocket = reception.parser(host.settings.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._admitting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parts: bytearray | None = None
        self._request_bytes = 0
        self._plain_bytes = self._window_bits = -1
        self._heard_at = loop.time()
        self._pinged_at: float | None = None
        self._behind = bytearray()
        self._is_reading = True
        self.is_paused = False
        self.source = ""

    # The event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self.source = str((transport.get_extra_info("peername") or ("",))[0])
        self._timer = self._loop.call_later(self._host.settings.handshake_timeout_s, self.drop)
        self._host.joined(self)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._pinged_at = None
        if len(data) <= SLICE_BYTES and not self._behind:
            self._read(data)
            return
        is_new = not self._behind
        self._behind += data
        self._regulate()
        if is_new:
            self._host.wait_turn(self)

    def take_turn(self) -> bool:
        """Read a slice of what is behind, or the one message that it is. Whether there is more, and it may be read."""
        behind = self._behind
        if self._transport is None:
            behind.clear()
        if behind and not self.is_paused:
            is_one = len(behind) < 1 << 17 and self._whole_text(bytes(behind)) is not None
            data = bytes(behind if is_one else behind[:SLICE_BYTES])
            del behind[: len(data)]
            self._read(data)
            self._regulate()
        return bool(behind) and not self.is_paused

    def _read(self, data: bytes) -> None:
        text = self._whole_text(data)
        if text is None:
            self._parse(data)
        else:
            self._deliver(text)
        if self._websocket.state is not State.OPEN:
            self._leave_session()
        self._host.throttle(self)

    def _whole_text(self, data: bytes) -> bytes | None:
        """The text in ``data`` when it is one whole message and the parser holds nothing that comes before it."""
        websocket = self._websocket
        is_between = self._window_bits >= 0 and self._parts is None and not websocket.reader.buffer
        if not is_between or websocket.state is not State.OPEN:
            return None
        return whole_text(data, self._host.settings.max_frame_bytes, self._window_bits)

    def _parse(self, data: bytes) -> None:
        websocket = self._websocket
        if websocket.state is State.CONNECTING:
            self._request_bytes += len(data)
            if self._request_bytes > MAX_REQUEST_BYTES:
                self.drop()
                return
        websocket.receive_data(data)
        for event in websocket.events_received():
            if self._session is not None:
                self._take(event)
            elif isinstance(event, Request):
                self._begin_admission(event)
            elif websocket.state is State.CONNECTING:
                self.drop()  # frames before the 101: no WebSocket client does that
        self._flush()

    def eof_received(self) -> bool:
        self._websocket.receive_eof()
        self._flush()
        return False

    def pause_writing(self) -> None:
        _log.warning("a station does not read: its connection is dropped")
        self.drop()

    def resume_writing(self) -> None:
        """Nothing: a connection that paused is dropped."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_timer(None)
        if self._admitting is not None:
            self._admitting.cancel()
        self._transport = None
        self._host.left(self)
        self._leave_session()

    # The hub's side

    def send(self, text: bytes) -> None:
        """Send one text message; nothing when the connection is closing or closed."""
        websocket = self._websocket
        if websocket.state is not State.OPEN:
            return
        frame = text_frame(text) if len(text) <= self._plain_bytes and not websocket.writes else None
        if frame is not None and self._transport is not None:
            self._transport.write(frame)
        else:
            websocket.send_text(text)
            self._flush()

    def close(self, code: int, reason: str) -> None:
        """Begin the close handshake; it ends within CLOSE_TIMEOUT_S, one way or the other."""
        if self._websocket.state is not State.OPEN:
            self.drop()
            return
        self._websocket.send_close(code, reason)
        self._set_timer(CLOSE_TIMEOUT_S)
        self._flush()

    def drop(self) -> None:
        """End the TCP connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def tick(self, now: float) -> None:
        """Called every few seconds: ping a silent station, drop one that does not answer. Any byte counts as life."""
        if self._session is None or not self._is_reading or self._websocket.state is not State.OPEN:
            return
        if self._pinged_at is not None:
            if now - self._pinged_at >= self._host.settings.pong_timeout_s:
                self.drop()
        elif now - self._heard_at >= self._host.settings.ping_interval_s:
            self._pinged_at = now
            self._websocket.send_ping(b"")
            self._flush()

    def pause(self) -> None:
        """Stop reading: what the station sends waits in its own socket."""
        if self._transport is not None and not self.is_paused:
            self.is_paused = True
            self._regulate()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self.is_paused:
            self.is_paused = False
            self._pinged_at = None
            self._regulate()
            if self._behind:
                self._host.wait_turn(self)

    def _regulate(self) -> None:
        """Nothing is read while something waits to be handled."""
        is_wanted = not self.is_paused and not self._behind
        if self._transport is None or is_wanted is self._is_reading:
            return
        self._is_reading = is_wanted
        if is_wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _leave_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.lost()

    # The handshake

    def _begin_admission(self, request: Request) -> None:
        response = self._websocket.accept(request)
        if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            self._respond(response)
            return
        self._admitting = self._loop.create_task(self._admit(request, response))

    async def _admit(self, request: Request, response: Response) -> None:
        try:
            admitted = await reception.judge(request, self._host.admission, self.source)
            self._admitting = None
            if isinstance(admitted, Refused):
                self._respond(reception.refusal(self._websocket, admitted.http_status))
            else:
                self._welcome(request, response, admitted)
        except Exception:
            _log.exception("a station could not be let in")
            self.drop()

    def _welcome(self, request: Request, response: Response, admitted: Admitted) -> None:
        self._respond(response)
        version = reception.version_of(self._websocket, request, admitted.quirks)
        if version is None:
            # 2.x part 4 §3.3: finish the handshake without the header, then close.
            self.close(CloseCode.PROTOCOL_ERROR, "offer one of ocpp2.1, ocpp2.0.1, ocpp1.6")
            return
        self._set_timer(None)
        self._forget_handshake()
        self._plain_bytes, self._window_bits = reception.compression(self._websocket)
        self._session = self._host.opened(self, admitted, version)

    def _respond(self, response: Response) -> None:
        self._websocket.send_response(response)
        self._flush()

    def _forget_handshake(self) -> None:
        self._websocket.available_extensions = None
        self._websocket.origins = None

    # Frames

    def _take(self, event: object) -> None:
        if not isinstance(event, Frame):
            return
        if event.opcode is Opcode.TEXT or event.opcode is Opcode.BINARY:
            if event.fin:
                self._deliver(bytes(event.data))
            else:
                self._parts = bytearray(event.data)
        elif event.opcode is Opcode.CONT and self._parts is not None:
            self._parts += event.data
            if event.fin:
                whole, self._parts = bytes(self._parts), None
                self._deliver(whole)

    def _deliver(self, raw: bytes) -> None:
        if self._session is not None:
            self._session.received(raw)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            self._websocket.data_to_send()
            return
        for data in self._websocket.data_to_send():
            if data:
                transport.write(data)
            else:
                self._end(transport)

    def _end(self, transport: asyncio.Transport) -> None:
        """Say that no more comes and let the station hang up: a close from here, while it still sends, would reset the
        connection and the close frame with its reason would be lost."""
        if transport.can_write_eof():
            transport.write_eof()
            self._set_timer(CLOSE_TIMEOUT_S)
        else:
            transport.close()

    def _set_timer(self, delay_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay_s is None else self._loop.call_later(delay_s, self.drop)
