"""The control on a real store, with a clock that is set by hand and stations that answer by a script."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from csms.control.dispatch.snapshots import Snapshots
from csms.control.intake import cables
from csms.control.permission.answers import Said
from csms.control.state.live import EvseLive, StationLive
from csms.control.system import System, build
from csms.domain.answers import Answer
from csms.domain.commands import Accepted, CallOutcome, CallResult, Command, Offline, Outcome, station_of
from csms.domain.conditions import Conditions
from csms.domain.facts import (
    AuthorizeAsked,
    Booted,
    IdToken,
    Metered,
    Origin,
    Reading,
    StationFact,
    StatusReported,
    TransactionPhase,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.ids import EvseRef, SiteId, StationId, TransactionId, UserId, VehicleId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.domain.permission import PermissionState, PlugIn
from csms.domain.snapshot import EvseState
from csms.domain.station import (
    BootState,
    ConnectorStatus,
    Evse,
    ProbeState,
    Quirks,
    Ratings,
    SetpointDriver,
    Station,
    Version,
)
from csms.settings import Settings
from csms.store import Store, open_store, writes
from policies.plugs import Policies
from policies.registry import DEFAULT

START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
S = StationId("CS-1")
E1 = EvseRef(S, 1)
E2 = EvseRef(S, 2)
AOI = UserId("u-aoi")
KEN = UserId("u-ken")
LEAF = VehicleId("v-leaf")
CARD = IdToken("CARD-AOI")
STRANGER = IdToken("STRANGER")

V2G = Quirks(name="v2g", driver=SetpointDriver.OCPP21_SETPOINT)
RATED = Ratings(max_charge_w=7360, max_discharge_w=6000)
ACCEPTED = Accepted()
LOW = Conditions(required_soc_percent=30, max_buy_per_kwh=Decimal(1))
"""Nothing is bought at the tariff of 30: what flows is an event's doing."""


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def pass_(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at


@dataclass
class ScriptedStations:
    """Records what is sent. ``answer`` says how a command ends; ``gate`` holds all answers back while it is closed."""

    versions: dict[StationId, Version] = field(default_factory=dict)
    sent: list[Command] = field(default_factory=list)
    answer: Callable[[Command], Outcome] = lambda command: ACCEPTED
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    by_hand: list[tuple[str, str, list[str], float]] = field(default_factory=list)
    """Calls by hand: station, action, the payload's keys in their order, seconds to wait."""
    called: Callable[[Mapping[str, Any]], CallOutcome] = CallResult

    def __post_init__(self) -> None:
        self.gate.set()

    def version_of(self, station: StationId) -> Version | None:
        return self.versions.get(station)

    async def send(self, command: Command) -> Outcome:
        if station_of(command) not in self.versions:
            return Offline()
        self.sent.append(command)
        await self.gate.wait()
        return self.answer(command)

    async def call(self, station: StationId, action: str, payload: Mapping[str, Any], timeout_s: float) -> CallOutcome:
        self.by_hand.append((station, action, list(payload), timeout_s))
        return self.called(payload)

    def of(self, kind: type) -> list[Any]:
        return [command for command in self.sent if isinstance(command, kind)]


def station(id_: StationId = S, evses: int = 1, *, site: str = "default", **changed: Any) -> Station:
    """An accepted station of ``evses`` EVSEs with 7.36 kW in, 6 kW out."""
    made = Station(
        id=id_,
        site=SiteId(site),
        evses=tuple(Evse(ref=EvseRef(id_, n + 1), site=SiteId(site), ratings=RATED) for n in range(evses)),
        boot_state=BootState.ACCEPTED,
        version=Version.V21,
    )
    return replace(made, **changed)


class World:
    """One control and what surrounds it."""

    def __init__(self, store: Store, settings: Settings, quirks: Quirks, policies: Policies = DEFAULT) -> None:
        self.store, self.settings, self.quirks, self.policies = store, settings, quirks, policies
        self.clock = SetClock()
        self.stations = ScriptedStations()
        self.counter = 0
        self.system: System

    async def begin(self) -> None:
        self.system, _ = await build(
            self.settings,
            self.store,
            self.clock,
            lambda admission, intake: self.stations,
            lambda version, station: self.quirks,
            self.policies,
        )
        await self.system.load()

    async def restart(self) -> None:
        """Everything in memory is gone; stations are offline until they connect again."""
        await self.quiet()
        self.stations.versions.clear()
        await self.begin()

    @property
    def evse(self) -> EvseLive:
        return self.at(E1)

    def at(self, ref: EvseRef) -> EvseLive:
        found = self.system.live.find(ref)
        assert found is not None
        return found

    @property
    def station(self) -> StationLive:
        return self.system.live.stations[S]

    def seen(self, ref: EvseRef = E1) -> EvseState:
        """An EVSE as the next decision sees it."""
        system = self.system
        snapshot = Snapshots(system.ground, system.prices, system.events, self.settings).snapshot()
        return next(state for state in snapshot.evses if state.ref == ref)

    @property
    def plug_in(self) -> PlugIn:
        assert self.evse.plug_in is not None
        return self.evse.plug_in

    async def quiet(self) -> None:
        """Until all that was begun has ended: writes are committed, tasks are done."""
        for _ in range(100):
            await self.store.writer.run(lambda _conn: None)
            tasks = tuple(self.system.tasks.running)
            if not tasks and self.store.writer._unfinished == 0:
                return
            if tasks:
                _, hanging = await asyncio.wait(tasks, timeout=60)
                assert not hanging, f"these never end: {hanging}"
        raise AssertionError("it does not come to rest")

    async def add(self, known: Station, *, online: bool = True) -> None:
        await self.store.writer.run(partial(writes.upsert_station, station=known, password_hash=None))
        live = self.system.live.add(known, self.quirks)
        if online:
            live.version, live.is_settled = Version.V21, True
            self.stations.versions[known.id] = Version.V21

    async def person(self, user: UserId = AOI, vehicle: VehicleId | None = LEAF, card: IdToken | None = CARD) -> None:
        """A user, with a 40 kWh vehicle and a card where they are given."""
        added = User(id=user, name=user, created_at=START)
        await self.store.writer.run(partial(writes.add_user, user=added))
        if vehicle:
            owned = Vehicle(id=vehicle, user=user, name="Leaf")
            await self.store.writer.run(partial(writes.add_vehicle, vehicle=owned))
        if card:
            await self.token(IdTokenRecord(token=card.value, user=user, vehicle=vehicle))

    async def token(self, record: IdTokenRecord) -> None:
        await self.store.writer.run(partial(writes.upsert_id_token, record=record))
        self.system.tokens.put(record)

    async def take(self, *facts: StationFact) -> list[Answer]:
        """Facts come in one after another and all their consequences are waited for."""
        answers: list[Answer] = []
        for fact in facts:
            self.system.rooms.intake.receive(fact, answers.append)
            await self.quiet()
        return answers

    async def plug(self, user: UserId | None = AOI, ref: EvseRef = E1) -> None:
        """A cable goes in; the user, when there is one, opens the EVSE's link."""
        await self.take(self.status(ConnectorStatus.PREPARING, ref))
        if user:
            await self.system.rooms.matching.claim(user, ref)
            await self.quiet()

    async def say(self, *, granted: bool = True, conditions: Conditions | None = None, ref: EvseRef = E1) -> None:
        plug_in = self.at(ref).plug_in
        assert plug_in is not None
        assert plug_in.user is not None
        said = Said(granted=granted, conditions=conditions)
        await self.system.rooms.permissions.answer(plug_in.id, plug_in.user, said)
        await self.quiet()

    async def resource(self, conditions: Conditions = LOW) -> None:
        """A permitted vehicle at 80 % in a running transaction at EVSE 1, its discharge proven."""
        await self.plug()
        await self.say(conditions=conditions)
        self.evse.told.probe_state = ProbeState.PASSED
        await self.take(
            self.event(0, token=CARD, charging_state="EVConnected"), self.metered(soc_percent=80.0, power_import_w=0.0)
        )
        await self.quiet()

    def leave(self, ref: EvseRef = E1) -> None:
        """The cable goes out, now and with nothing else."""
        for change in tuple(cables.unplug(self.at(ref), self.clock.now())):
            self.system.ground.emit(change)

    def origin(self, id_: StationId = S) -> Origin:
        self.counter += 1
        return Origin(station=id_, message_id=f"m-{self.counter}", received_at=self.clock.now())

    def status(self, status: ConnectorStatus, ref: EvseRef = E1, connector: int = 1, **changed: Any) -> StatusReported:
        values: dict[str, Any] = {"at": self.clock.now()}
        return StatusReported(
            origin=self.origin(ref.station), evse=ref, connector=connector, status=status, **values | changed
        )

    def boot(self, firmware: str = "1.0") -> Booted:
        return Booted(origin=self.origin(), vendor="V", model="M", firmware=firmware)

    def authorize(self, token: IdToken = CARD) -> AuthorizeAsked:
        return AuthorizeAsked(origin=self.origin(), token=token)

    def started(self, token: IdToken = CARD, ref: EvseRef = E1, **changed: Any) -> TransactionStarted:
        values: dict[str, Any] = {"at": self.clock.now(), "meter_start_wh": 0}
        return TransactionStarted(origin=self.origin(ref.station), evse=ref, token=token, **values | changed)

    def stopped(self, transaction: object, **changed: Any) -> TransactionStopped:
        values: dict[str, Any] = {"at": self.clock.now(), "meter_stop_wh": 1000, "reason": "Local"}
        return TransactionStopped(origin=self.origin(), transaction=TransactionId(str(transaction)), **values | changed)

    def event(self, seq_no: int, transaction: str = "tx-1", ref: EvseRef = E1, **changed: Any) -> TransactionReported:
        phase = TransactionPhase.STARTED if seq_no == 0 else TransactionPhase.UPDATED
        values: dict[str, Any] = {"phase": phase, "trigger": "Other", "at": self.clock.now(), "evse": ref}
        return TransactionReported(
            origin=self.origin(ref.station), transaction=TransactionId(transaction), seq_no=seq_no, **values | changed
        )

    def ended(self, seq_no: int, transaction: str = "tx-1", **changed: Any) -> TransactionReported:
        return self.event(seq_no, transaction, phase=TransactionPhase.ENDED, **changed)

    def metered(
        self, *, ref: EvseRef = E1, transaction: object = None, at: datetime | None = None, **values: Any
    ) -> Metered:
        reading = Reading(at=at or self.clock.now(), **values)
        named = None if transaction is None else TransactionId(str(transaction))
        return Metered(origin=self.origin(ref.station), evse=ref, transaction=named, readings=(reading,))


@asynccontextmanager
async def world(
    folder: Path, *stations: Station, quirks: Quirks = V2G, policies: Policies = DEFAULT, **sections: Any
) -> AsyncIterator[World]:
    """A control on a new SQLite file, with these stations (one by default) connected. ``sections`` of the settings."""
    store = open_store(f"sqlite:///{folder / 'control.db'}", spacing_s=0)
    try:
        made = World(store, Settings(**sections), quirks, policies)
        await made.begin()
        for known in stations or (station(),):
            await made.add(known)
        yield made
        await made.quiet()
    finally:
        await store.close()


async def until(is_so: Callable[[], bool]) -> None:
    """Until it has happened, with nothing else being waited for. First turn by turn; a writer may take longer."""
    for turn in range(20_000):
        if is_so():
            return
        await asyncio.sleep(0 if turn < 10_000 else 0.005)
    raise AssertionError("it does not come about")


def state_of(made: World, ref: EvseRef = E1) -> PermissionState:
    plug_in = made.at(ref).plug_in
    assert plug_in is not None
    return plug_in.permission.state
