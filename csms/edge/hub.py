"""All connected stations: the listener, who holds which socket, how they are commanded. Implements ports.Stations."""

import asyncio
import errno
import logging
import secrets
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, Final

import handlers
from csms.domain.commands import (
    ApplySetpoint,
    CallFailed,
    CallOutcome,
    CallResult,
    Command,
    Configure,
    Offline,
    Outcome,
    Rejected,
    UpdateSetpoint,
    station_of,
)
from csms.domain.errors import BadRequest, BadSettings, PortBusy
from csms.domain.ids import StationId
from csms.domain.ports import Admission, Admitted, Clock, Intake
from csms.domain.record import Keep, keep_none
from csms.domain.station import Version
from csms.edge.calls import Outgoing, Urgency
from csms.edge.desk import Desk
from csms.edge.doors import Doors
from csms.edge.framelog import Direction
from csms.edge.ocppj import Connection
from csms.edge.peer import Counters, Peer
from csms.edge.schemas import Schemas
from csms.edge.session import Session
from csms.edge.translation import Translation, WireCall
from csms.edge.turns import Turns
from csms.edge.verdicts import REFUSED, verdict
from csms.settings import Ocpp

_log = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""A fleet that reconnects after a restart comes within seconds (field lesson 25); the kernel's somaxconn caps this."""

RESUME_CHECK_S: Final = 0.02
"""While the write queue is full: how often it is looked at."""

CLOSE_WAIT_S: Final = 2.0


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
        keep: Keep = keep_none,
    ) -> None:
        self.settings = settings
        self.admission = admission
        self._intake = intake
        schemas = {v: Schemas(v, strict_formats=settings.strict_formats) for v in Version}
        readers = {} if settings.strict_formats else {v: translation.reader(v) for v in Version}  # they read no formats
        registry = translation.load_registry()
        self._desk = Desk(intake, clock, translation, schemas, readers, registry, self._released, keep)
        self._peers: dict[StationId, Peer] = {}
        self._connections: set[Connection] = set()
        self._doors = Doors(
            settings.handshakes_per_source, settings.handshakes_at_once, settings.connections_per_source
        )
        self._paused: set[Connection] = set()
        self._turns = Turns(lambda seconds, work: asyncio.get_running_loop().call_later(seconds, work))
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
        self._doors.arrived(connection)

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._doors.left(connection)
        self._paused.discard(connection)
        if not self._connections and self._all_gone is not None:
            self._all_gone.set()

    def opened(self, connection: Connection, admitted: Admitted, version: Version) -> Session:
        """The newest authenticated socket takes the station over (V2G-50)."""
        self._doors.let_in(connection)
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

    def wait_turn(self, connection: Connection) -> None:
        """It has sent more than a slice, and goes on when the others had theirs."""
        self._turns.join(connection)

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
        return await self._run(session, command, calls)

    async def _run(self, session: Session, command: Command, calls: Sequence[WireCall]) -> Outcome:
        answers: list[CallResult] = []
        for call in calls:
            outgoing = self._setting(session, command, call)
            outcome = await session.call(outgoing, self.settings.call_timeout_s)
            if isinstance(outcome, CallFailed) and isinstance(command, Configure):
                outcome = REFUSED  # one key the station does not know says nothing of the others
            if not isinstance(outcome, CallResult):
                if isinstance(command, Configure):
                    break  # it may have rebooted at this key (lesson 22): what was answered and what was not is told
                return outcome
            answers.append(outcome)
        return verdict(self._desk.translation, session.version, command, answers)

    def _setting(self, session: Session, command: Command, call: WireCall) -> Outgoing:
        """A call that knows whose power it sets, and whether it lowers it."""
        message_id = self._next_id()
        if not isinstance(command, ApplySetpoint | UpdateSetpoint):
            return Outgoing(message_id, call.action, call.payload)
        evse = command.evse.evse
        lowers = session.asks_less(evse, command.setpoint_w)
        urgency = Urgency.STOP if lowers else Urgency.START
        return Outgoing(message_id, call.action, call.payload, urgency, evse, command.of)

    async def call(self, station: StationId, action: str, payload: Mapping[str, Any], timeout_s: float) -> CallOutcome:
        session = self._session(station)
        if session is None:
            return Offline()
        schemas = self._desk.schemas[session.version]
        if not schemas.knows(action):
            raise BadRequest(f"OCPP {session.version.number} has no action {action!r}", field="action")
        if action in self._desk.translation.FROM_STATION:
            raise BadRequest(f"{action} is sent by stations, not to them", field="action")
        if fault := schemas.request_fault(action, payload):
            raise BadRequest(str(fault), field=f"payload.{fault.field}".rstrip("."))
        return await session.call(Outgoing(self._next_id(), action, payload), timeout_s)

    def _session(self, station: StationId) -> Session | None:
        peer = self._peers.get(station)
        return peer.session if peer else None

    def _next_id(self) -> str:
        return f"{self._id_prefix}-{next(self._numbers)}"

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
