"""All connected stations: the listener, who holds which socket, how they are commanded. Implements ports.Stations."""

import asyncio
import errno
import logging
import secrets
import ssl
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from typing import Any, Final

import handlers
from csms.domain.commands import (
    CallFailed,
    CallOutcome,
    CallResult,
    Command,
    Configure,
    Offline,
    Outcome,
    Rejected,
    station_of,
)
from csms.domain.errors import BadRequest, BadSettings, PortBusy
from csms.domain.ids import StationId
from csms.domain.ports import Admission, Admitted, Clock, Intake
from csms.domain.station import Version
from csms.edge.calls import Outgoing
from csms.edge.desk import Desk
from csms.edge.framelog import Direction
from csms.edge.ocppj import Connection
from csms.edge.peer import Counters, Peer
from csms.edge.schemas import Schemas
from csms.edge.session import Session
from csms.edge.translation import Translation
from csms.settings import Ocpp

_log = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""A fleet that reconnects after a restart comes within seconds (field lesson 25); the kernel's somaxconn caps this."""

RESUME_CHECK_S: Final = 0.02
"""While the write queue is full: how often it is looked at."""

CLOSE_WAIT_S: Final = 2.0

_REFUSED: Final[Mapping[str, Any]] = {"status": "Rejected"}


def _cannot_listen(host: str, port: int, error: OSError) -> PortBusy | BadSettings:
    if error.errno == errno.EADDRINUSE:
        return PortBusy(f"{host}:{port} is in use by another program; choose another [ocpp] port")
    return BadSettings(f"[ocpp] host, port: {host}:{port} cannot be opened ({error.strerror}); correct one of them")


class Hub:
    """The OCPP side of the server. Make it on the loop that serves it."""

    def __init__(
        self,
        intake: Intake,
        admission: Admission,
        clock: Clock,
        settings: Ocpp,
        translation: Translation = handlers,
    ) -> None:
        self.settings = settings
        self.admission = admission
        self._intake = intake
        schemas = {v: Schemas(v, strict_formats=settings.strict_formats) for v in Version}
        self._desk = Desk(intake, clock, translation, schemas, translation.load_registry(), self._released)
        self._peers: dict[StationId, Peer] = {}
        self._connections: set[Connection] = set()
        self._paused: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._resume_timer: asyncio.TimerHandle | None = None
        self._all_gone: asyncio.Event | None = None
        # Unique over restarts, so that an answer to a call of an earlier life is never taken for one of this.
        self._id_prefix = secrets.token_hex(5)
        self._numbers = count(1)

    # Serving

    async def serve(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; returns when the port is open. Raises PortBusy, or BadSettings for an address that is not ours."""
        loop = asyncio.get_running_loop()
        host, port = self.settings.host, self.settings.port
        try:
            self._server = await loop.create_server(
                lambda: Connection(self, loop), host, port, backlog=BACKLOG, ssl=tls
            )
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        self._ping_timer = loop.call_later(self._sweep_s, self._sweep, loop)

    @property
    def port(self) -> int:
        """The port that is open."""
        if self._server is None:
            raise RuntimeError("the hub does not serve")
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and hang up on all with 1012, which tells stations to come back."""
        if self._server is not None:
            self._server.close()
        for timer in (self._ping_timer, self._resume_timer):
            if timer is not None:
                timer.cancel()
        self._all_gone = asyncio.Event()
        for connection in tuple(self._connections):
            connection.resume()
            connection.close(1012, "the central system restarts")
        await self._wait_until_gone(self._all_gone)

    async def _wait_until_gone(self, gone: asyncio.Event) -> None:
        for _ in range(2):  # the second time after the TCP connections have been cut
            if not self._connections:
                return
            try:
                async with asyncio.timeout(CLOSE_WAIT_S):
                    await gone.wait()
            except TimeoutError:
                for connection in tuple(self._connections):
                    connection.drop()

    @property
    def _sweep_s(self) -> float:
        return min(self.settings.ping_interval_s, self.settings.pong_timeout_s) / 5

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self._connections):
            connection.tick(now)
        self._ping_timer = loop.call_later(self._sweep_s, self._sweep, loop)

    # The connections' side

    def joined(self, connection: Connection) -> None:
        self._connections.add(connection)

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._paused.discard(connection)
        if not self._connections and self._all_gone is not None:
            self._all_gone.set()

    def opened(self, connection: Connection, admitted: Admitted, version: Version) -> Session:
        """The newest authenticated socket takes the station over (V2G-50)."""
        peer = self._peers.get(admitted.station)
        if peer is None:
            peer = self._peers[admitted.station] = Peer(admitted.station)
        older = peer.session
        peer.epoch += 1
        session = Session(self._desk, peer, connection, admitted, version)
        peer.session = session
        if older is not None:
            older.supersede()
        try:
            self._intake.connected(admitted.station, version)
        except Exception:
            _log.exception("station %s is online, but what follows from it failed", admitted.station)
        return session

    def _released(self, session: Session) -> None:
        peer = session.peer
        if peer.epoch != session.epoch or peer.session is not session:
            return
        peer.session = None
        self._intake.disconnected(peer.station)

    def throttle(self, connection: Connection) -> None:
        """Stop reading this connection while the write queue is full."""
        if not self._intake.is_full:
            return
        connection.pause()
        self._paused.add(connection)
        if self._resume_timer is None:
            self._resume_timer = asyncio.get_running_loop().call_later(RESUME_CHECK_S, self._resume)

    def _resume(self) -> None:
        self._resume_timer = None
        if self._intake.is_full:
            self._resume_timer = asyncio.get_running_loop().call_later(RESUME_CHECK_S, self._resume)
            return
        paused, self._paused = self._paused, set()
        for connection in paused:
            connection.resume()

    # ports.Stations

    def version_of(self, station: StationId) -> Version | None:
        session = self._session(station)
        return session.version if session else None

    async def send(self, command: Command) -> Outcome:
        """All calls of the command are encoded and checked before the first goes out."""
        session = self._session(station_of(command))
        if session is None:
            return Offline()
        calls = self._desk.translation.encode(session.version, command)
        if not calls:
            return Rejected("NotSupported")
        schemas = self._desk.schemas[session.version]
        for call in calls:
            if fault := schemas.request_fault(call.action, call.payload):
                _log.error("our %s does not fit its schema: %s", call.action, fault)
                return Rejected(f"{call.action} was not sent: {fault}")
        return await self._run(session, command, [self._outgoing(call.action, call.payload) for call in calls])

    async def _run(self, session: Session, command: Command, calls: list[Outgoing]) -> Outcome:
        payloads: list[Mapping[str, Any]] = []
        for call in calls:
            outcome = await session.call(call, self.settings.call_timeout_s)
            if isinstance(outcome, CallResult):
                payloads.append(outcome.payload)
            elif isinstance(outcome, CallFailed) and isinstance(command, Configure):
                payloads.append(_REFUSED)  # one key the station does not know says nothing of the others
            else:
                return outcome
        try:
            return self._desk.translation.outcome(session.version, command, payloads)
        except (ValueError, LookupError, TypeError) as error:
            return Rejected(f"the answer cannot be understood: {error}")

    async def call(self, station: StationId, action: str, payload: Mapping[str, Any], timeout_s: float) -> CallOutcome:
        session = self._session(station)
        if session is None:
            return Offline()
        schemas = self._desk.schemas[session.version]
        if not schemas.knows(action):
            raise BadRequest(f"OCPP {session.version.number} has no action {action!r}", field="action")
        if fault := schemas.request_fault(action, payload):
            raise BadRequest(str(fault), field=f"payload.{fault.field}".rstrip("."))
        return await session.call(self._outgoing(action, payload), timeout_s)

    def _session(self, station: StationId) -> Session | None:
        peer = self._peers.get(station)
        return peer.session if peer else None

    def _outgoing(self, action: str, payload: Mapping[str, Any]) -> Outgoing:
        return Outgoing(f"{self._id_prefix}-{next(self._numbers)}", action, payload)

    # For people

    def frames(self, station: StationId) -> list[tuple[datetime, Direction, str]]:
        """The station's last frames, oldest first."""
        peer = self._peers.get(station)
        return peer.frames() if peer else []

    def counters(self, station: StationId) -> Counters:
        """What the edge has counted of the station; all zero for one that never connected."""
        peer = self._peers.get(station)
        return peer.counters() if peer else Counters()

    def connected(self) -> list[StationId]:
        """The stations that are online."""
        return [station for station, peer in self._peers.items() if peer.session is not None]
