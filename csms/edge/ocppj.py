"""One station's socket: ``websockets`` as a parser inside an asyncio.Protocol. Design §2, V2G-49, 50, 51.

It owns what a WebSocket server must: handshake and its time limit, authentication before the 101, joining of fragments,
size limit, back-pressure, liveness, close handshake. What the frames say is the session's business.
"""

import asyncio
import http
import logging
from collections.abc import Sequence
from typing import Final, Protocol, cast

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from csms.domain.ports import Admission, Admitted, Refused
from csms.domain.station import Version
from csms.edge import handshake
from csms.edge.session import Session
from csms.settings import Ocpp

MAX_UNSENT_BYTES: Final = 1024 * 1024
"""A station that reads so slowly that more than this waits to be sent is dropped."""

CLOSE_TIMEOUT_S: Final = 5.0

_log = logging.getLogger(__name__)
# The library reports every connection at INFO; a fleet that reconnects would write thousands of lines.
_quiet = logging.getLogger(f"{__name__}.websockets")
_quiet.setLevel(logging.WARNING)

# Without context takeover a connection keeps no (de)compressor between messages; 10 bits = 1 kB windows while one runs.
_DEFLATE: Final = (
    ServerPerMessageDeflateFactory(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=10,
        client_max_window_bits=10,
        compress_settings={"memLevel": 3},
    ),
)


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    version = handshake.choose_version(offered)
    return Subprotocol(version.value) if version else None


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

    def throttle(self, connection: "Connection") -> None:
        """Called after each read: pauses the connection when no more may be read now."""
        ...


class Connection(asyncio.Protocol):
    """From the TCP connection to its end. Used by the event loop and the hub only."""

    __slots__ = (
        "_admitting",
        "_heard_at",
        "_host",
        "_loop",
        "_parts",
        "_pinged_at",
        "_session",
        "_timer",
        "_transport",
        "_websocket",
        "is_paused",
    )

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._websocket = ServerProtocol(
            extensions=_DEFLATE,
            select_subprotocol=_select,
            max_size=host.settings.max_frame_bytes,
            logger=_quiet,
        )
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._admitting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parts: bytearray | None = None
        self._heard_at = loop.time()
        self._pinged_at: float | None = None
        self.is_paused = False

    # The event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._timer = self._loop.call_later(self._host.settings.handshake_timeout_s, self.drop)
        self._host.joined(self)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._pinged_at = None
        websocket = self._websocket
        websocket.receive_data(data)
        for event in websocket.events_received():
            if self._session is not None:
                self._take(event)
            elif isinstance(event, Request):
                self._begin_admission(event)
            elif websocket.state is State.CONNECTING:
                self.drop()  # frames before the 101: no WebSocket client does that
        self._flush()
        if websocket.state is not State.OPEN:
            self._leave_session()
        self._host.throttle(self)

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
        if self._websocket.state is State.OPEN:
            self._websocket.send_text(text)
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
        if self._session is None or self.is_paused or self._websocket.state is not State.OPEN:
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
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self.is_paused:
            self.is_paused = False
            self._pinged_at = None
            self._transport.resume_reading()

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
            admitted = await self._judge(request)
            self._admitting = None
            if isinstance(admitted, Refused):
                self._refuse(admitted.http_status)
            else:
                self._welcome(request, response, admitted)
        except Exception:
            _log.exception("a station could not be let in")
            self.drop()

    def _welcome(self, request: Request, response: Response, admitted: Admitted) -> None:
        self._respond(response)
        offers_none = "Sec-WebSocket-Protocol" not in request.headers
        version = self._negotiated() or (admitted.quirks.assume_version if offers_none else None)
        if version is None:
            # 2.x part 4 §3.3: finish the handshake without the header, then close.
            self.close(CloseCode.PROTOCOL_ERROR, "offer one of ocpp2.1, ocpp2.0.1, ocpp1.6")
            return
        self._set_timer(None)
        self._forget_handshake()
        self._session = self._host.opened(self, admitted, version)

    async def _judge(self, request: Request) -> Admitted | Refused:
        identity = handshake.identity_of(request.path)
        if identity is None:
            return Refused(http.HTTPStatus.NOT_FOUND)
        credentials = handshake.basic_credentials(", ".join(request.headers.get_all("Authorization")))
        user, password = credentials or (None, None)
        if user is not None and user != identity:
            return Refused(http.HTTPStatus.UNAUTHORIZED)
        return await self._host.admission.admit(identity, user, password)

    def _negotiated(self) -> Version | None:
        subprotocol = self._websocket.subprotocol
        return Version(subprotocol) if subprotocol else None

    def _refuse(self, http_status: int) -> None:
        response = self._websocket.reject(http_status, f"{http.HTTPStatus(http_status).phrase}\n")
        if http_status == http.HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
        if http_status == http.HTTPStatus.TOO_MANY_REQUESTS:
            response.headers["Retry-After"] = "60"
        self._respond(response)

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
