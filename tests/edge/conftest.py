"""A hub on a free port between a fake intake and a fake admission; stations are `websockets` clients."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect

import handlers
from csms.domain.answers import Acknowledged, Answer, BootAnswer, StartAnswer, TimeAnswer, TokenAnswer, TokenStatus
from csms.domain.commands import Accepted, Configure, Rejected, Reset, Trigger
from csms.domain.facts import Booted, Heartbeat, Metered, Origin, TransactionStarted, Unintelligible
from csms.domain.ids import EvseRef, StationId
from csms.domain.ports import Admitted, Refused
from csms.domain.station import BootState, Quirks, Version
from csms.edge.hub import Hub
from csms.settings import Ocpp

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW


@dataclass
class FakeIntake:
    """Answers at once, or holds the answers back while `holds`."""

    facts: list[Any] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    held: list[tuple[Any, Callable[[Answer], None]]] = field(default_factory=list)
    holds: bool = False
    is_full: bool = False
    boot_state: BootState = BootState.ACCEPTED
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def receive(self, fact: Any, done: Callable[[Answer], None]) -> None:
        self.facts.append(fact)
        self.changed.set()
        if self.holds:
            self.held.append((fact, done))
        else:
            done(self.answer_to(fact))

    def answer_to(self, fact: Any) -> Answer:
        if isinstance(fact, Booted):
            return BootAnswer(state=self.boot_state, now=NOW, interval_s=300)
        if isinstance(fact, Heartbeat):
            return TimeAnswer(NOW)
        is_start = isinstance(fact, Unintelligible) and fact.action == "StartTransaction"
        if is_start or isinstance(fact, TransactionStarted):
            return StartAnswer(transaction=4711, token=TokenAnswer(status=TokenStatus.INVALID))
        return Acknowledged()

    def connected(self, station: StationId, version: Version) -> None:
        self.events.append(("connected", version.value))
        self.changed.set()

    def disconnected(self, station: StationId) -> None:
        self.events.append(("disconnected", station))
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class FakeAdmission:
    known: dict[str, bytes | None] = field(default_factory=lambda: {"CS1": None, "CS2": None, "AL1000": b"secret:0001"})
    boot_state: BootState = BootState.ACCEPTED
    quirks: Quirks = field(default_factory=Quirks)
    asked: list[tuple[str, str | None, bytes | None]] = field(default_factory=list)
    refusal: int | None = None

    async def admit(self, station: str, user: str | None, password: bytes | None, source: str) -> Admitted | Refused:
        self.asked.append((station, user, password))
        await asyncio.sleep(0)
        if self.refusal:
            return Refused(self.refusal)
        if station not in self.known:
            return Refused(404)
        if self.known[station] != password:
            return Refused(401)
        return Admitted(station=StationId(station), quirks=self.quirks, boot_state=self.boot_state)


class FakeContext(NamedTuple):
    station: StationId
    version: Version
    quirks: Quirks
    received_at: datetime


class FakeRoute(NamedTuple):
    decode: Callable[..., Any]
    reply: Callable[..., dict[str, Any]]


class FakeWireCall(NamedTuple):
    action: str
    payload: dict[str, Any]


def origin_of(context: FakeContext, message_id: str) -> Origin:
    return Origin(station=context.station, message_id=message_id, received_at=context.received_at)


def _boot(payload: Any, context: FakeContext, message_id: str) -> Booted:
    return Booted(origin=origin_of(context, message_id), vendor="v", model="m")


def _boot_reply(answer: Any, payload: Any) -> dict[str, Any]:
    return {"status": answer.state.value.capitalize(), "currentTime": answer.now.isoformat(), "interval": 300}


def _heard(payload: Any, context: FakeContext, message_id: str) -> Heartbeat:
    return Heartbeat(origin=origin_of(context, message_id))


def _metered(payload: Any, context: FakeContext, message_id: str) -> Metered:
    evse = payload["connectorId"] if "connectorId" in payload else payload["evseId"]
    ref = EvseRef(context.station, evse)
    return Metered(origin=origin_of(context, message_id), evse=ref, transaction=None, readings=())


def _started(payload: Any, context: FakeContext, message_id: str) -> Any:
    raise ValueError("timestamp: not a time")


def _start_reply(answer: Any, payload: Any) -> dict[str, Any]:
    return {"transactionId": answer.transaction, "idTagInfo": {"status": answer.token.status.value}}


def _tolerate(version: Version, action: str, payload: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    if isinstance(payload.get("connectorId"), str) and payload["connectorId"].isdigit():
        return {**payload, "connectorId": int(payload["connectorId"])}, ("int_as_text",)
    return dict(payload), ()


def _encode(version: Version, command: Any) -> tuple[FakeWireCall, ...]:
    match command:
        case Reset():
            kind = ("Hard" if command.hard else "Soft") if version is Version.V16 else "Immediate"
            return (FakeWireCall("Reset", {"type": kind}),)
        case Trigger():
            trigger = FakeWireCall("TriggerMessage", {"requestedMessage": command.kind.value})
            return (trigger, trigger)
        case Configure():
            keys = ("MeterValueSampleInterval", "MeterValuesSampledData")
            return tuple(FakeWireCall("ChangeConfiguration", {"key": key, "value": "60"}) for key in keys)
        case _:
            return ()


def _outcome(version: Version, command: Any, results: Any) -> Accepted | Rejected:
    if isinstance(command, Configure):
        return Accepted({"statuses": [result["status"] for result in results]})
    status = results[-1]["status"]
    return Accepted() if status == "Accepted" else Rejected(status)


class FakeTranslation:
    """The smallest `handlers`."""

    Context = FakeContext
    ROUTES: ClassVar = {
        version: {
            "BootNotification": FakeRoute(_boot, _boot_reply),
            "Heartbeat": FakeRoute(_heard, lambda answer, _: {"currentTime": answer.now.isoformat()}),
            "MeterValues": FakeRoute(_metered, lambda answer, _: {}),
            "StartTransaction": FakeRoute(_started, _start_reply),
            "StatusNotification": FakeRoute(_heard, lambda answer, _: {"unwanted": 1}),
            "DataTransfer": FakeRoute(_heard, lambda answer, _: {"status": "no such status"}),
        }
        for version in Version
    }
    FROM_STATION = frozenset({"Heartbeat", "BootNotification"})
    MUST_CONFIRM = frozenset({"StartTransaction", "MeterValues", "StatusNotification"})
    tolerate = staticmethod(_tolerate)
    encode = staticmethod(_encode)
    outcome = staticmethod(_outcome)

    load_registry = staticmethod(tuple)
    overridden = staticmethod(handlers.overridden)
    reader = staticmethod(lambda version: lambda raw, context: None)

    @staticmethod
    def quirks_for(registry: Any, version: Version, vendor: str, model: str, firmware: str) -> Quirks:
        return Quirks(name=f"{vendor} {model}")

    @staticmethod
    def quarantine_reply(version: Version, action: str) -> dict[str, Any]:
        return {}


class Station:
    """A station on the `websockets` client: text out, text in."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, *parts: Any) -> None:
        await self.socket.send(orjson.dumps(parts).decode())

    async def hear(self) -> Any:
        async with asyncio.timeout(5):
            return orjson.loads(await self.socket.recv())

    async def ask(self, *parts: Any) -> Any:
        await self.say(*parts)
        return await self.hear()


class Edge:
    """A serving hub with its fakes."""

    def __init__(self, stack: AsyncExitStack, **settings: Any) -> None:
        self.intake = FakeIntake()
        self.admission = FakeAdmission()
        self.settings = Ocpp(**settings).model_copy(update={"port": 0})
        self.hub = Hub(self.intake, self.admission, FixedClock(), self.settings, FakeTranslation())
        self._stack = stack

    def url(self, path: str = "/ocpp/CS1") -> str:
        return f"ws://127.0.0.1:{self.hub.port}{path}"

    async def connect(
        self, path: str = "/ocpp/CS1", version: str | list[str] | None = "ocpp1.6", **options: Any
    ) -> Station:
        offered = [version] if isinstance(version, str) else version
        options = {"subprotocols": offered, "proxy": None, "ping_interval": None, **options}
        socket = await self._stack.enter_async_context(connect(self.url(path), **options))
        return Station(socket)

    async def online(self, *args: Any, **options: Any) -> Station:
        """Connect, and wait until the hub has taken the station in."""
        before = self.count("connected")
        station = await self.connect(*args, **options)
        await self.intake.until(lambda: self.count("connected") > before)
        return station

    def count(self, kind: str) -> int:
        return sum(1 for name, _ in self.intake.events if name == kind)


@pytest.fixture
async def make_edge() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Edge:
            edge = Edge(stack, **settings)
            await edge.hub.serve()
            stack.push_async_callback(edge.hub.close)
            return edge

        yield make


@pytest.fixture
async def edge(make_edge: Callable[..., Any]) -> Edge:
    return await make_edge()
