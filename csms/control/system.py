"""The control as one thing: built in one pass, loaded from the store, run, stopped."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from csms.control.dispatch.compliance import ComplianceCheck
from csms.control.dispatch.dispatch import Dispatch
from csms.control.dispatch.energy import Energy
from csms.control.dispatch.probing import Probing
from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.dispatch.snapshots import Snapshots, sites_of
from csms.control.intake.intake import Intake
from csms.control.permission.driver_view import DriverView
from csms.control.permission.kept import Savings
from csms.control.permission.matching import Matching
from csms.control.permission.people import Links, People, link_secret
from csms.control.permission.permissions import Permissions
from csms.control.permission.remote_start import RemoteStarts
from csms.control.reactions import Reactions, Rooms
from csms.control.retention.retention import Retention
from csms.control.settlement.reports import Reports
from csms.control.settlement.settlement import Settlement
from csms.control.state import changes
from csms.control.state.events import Events
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import Live
from csms.control.state.prices import Prices
from csms.control.state.restore import restore
from csms.control.state.tasks import Tasks
from csms.control.stations.admission import Admission
from csms.control.stations.credentials import Passwords, server_key
from csms.control.stations.heartbeats import Heartbeats
from csms.control.stations.registry import Registry
from csms.control.stations.setup import QuirksFor, StationSetup
from csms.control.timetable import Timetable
from csms.domain.errors import CsmsError
from csms.domain.ids import SiteId
from csms.domain.ports import Clock, Stations
from csms.settings import Settings
from csms.store import Store, reads
from policies.plugs import Policies
from policies.registry import DEFAULT

SWEEP_S = 1.0
HEARTBEAT_FLUSH_S = 15.0
TOKEN_PURGE_S = 3600.0
RETENTION_S = 3600.0

Edge = TypeVar("Edge", bound=Stations)
"""The edge: what comes back from it are the stations, to be commanded."""


def call_later(seconds: float, callback: Callable[[], None]) -> object:
    """A timer of the running loop."""
    return asyncio.get_running_loop().call_later(seconds, callback)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Everything that waits and decides. Routes and the command line use the rooms they need."""

    settings: Settings
    ground: Ground
    tasks: Tasks
    timetable: Timetable
    tokens: IdTokens
    prices: Prices
    events: Events
    feed: Feed
    stations: Stations
    admission: Admission
    heartbeats: Heartbeats
    registry: Registry
    people: People
    links: Links
    driver_view: DriverView
    reports: Reports
    retention: Retention
    rooms: Rooms
    reactions: Reactions
    quirks_for: QuirksFor

    @property
    def store(self) -> Store:
        return self.ground.store

    @property
    def clock(self) -> Clock:
        return self.ground.clock

    @property
    def live(self) -> Live:
        return self.ground.live

    async def load(self) -> None:
        """Rebuild the live state from the store."""
        store, now = self.store, self.clock.now()
        for station in await store.read(reads.stations):
            self.live.add(station, self.quirks_for(station.version, station))
        for id_, limit_w in (await store.read(reads.failsafe_limits)).items():
            self.live.stations[id_].failsafe_limit_w = limit_w
        await self.admission.load()
        for id_, set_up_as in (await store.read(reads.set_ups)).items():
            self.live.stations[id_].set_up_as = set_up_as
        self.tokens.load(await store.read(reads.id_tokens))
        await self.prices.load()
        state = await store.read(partial(reads.live_state, now=now))
        owned = [plug_in.vehicle for plug_in in state.plug_ins if plug_in.vehicle is not None]
        vehicles = await store.read(partial(reads.vehicles_by_id, ids=owned))
        restore(self.live, state, vehicles, self.tokens, now)
        self.events.load(state.events)
        await self.rooms.energy.load()
        await self.rooms.dispatch.load()
        await self.rooms.settlement.load()
        await self.rooms.intake.load()
        await self.rooms.intake.endings.catch_up()

    def run(self) -> None:
        """Begin to keep time and to decide."""
        settle_s = min(60.0, self.settings.settlement.interval.total_seconds())
        self.timetable.every(SWEEP_S, "sweep", self.reactions.sweep)
        self.timetable.every(HEARTBEAT_FLUSH_S, "heartbeats", self.heartbeats.flush)
        self.timetable.every(TOKEN_PURGE_S, "tokens", self._purge_tokens)
        self.timetable.every(RETENTION_S, "retention", self.retention.run)
        self.timetable.every(settle_s, "settle", self.rooms.settlement.run)
        self.timetable.start()
        self.tasks.spawn(self.rooms.dispatch.run())

    @property
    def is_ready(self) -> bool:
        """Between run and stop."""
        return self.timetable.is_running

    async def stop(self) -> None:
        """End every task; what was taken in is still written by the store's own close."""
        self.timetable.stop()
        await self.tasks.stop()
        with suppress(CsmsError):  # when they were heard last is lost with a database that takes nothing
            await self.heartbeats.flush()

    async def _purge_tokens(self) -> None:
        self.tokens.purge(self.clock.now())


async def build(
    settings: Settings,
    store: Store,
    clock: Clock,
    connect: Callable[[Admission, Intake], Edge],
    quirks_for: QuirksFor,
    policies: Policies = DEFAULT,
) -> tuple[System, Edge]:
    """A control that is complete, and its edge: every part gets what it needs when it is made. Nothing runs yet.

    ``connect`` makes the edge from what it asks and what it tells.
    """
    tasks, feed, tokens = Tasks(), Feed(), IdTokens()

    def emit(change: changes.Change) -> None:
        reactions.react(change)  # made last, below: nothing changes while the parts are made

    live = Live(lambda station: emit(changes.EvseDiscovered(station)), approves=settings.ocpp.auto_register)
    ground = Ground(store, live, clock, tasks.spawn, call_later, emit)
    prices = Prices(settings, ground)
    events = Events(ground, prices.areas)
    intake = Intake(ground, tokens, settings.ocpp.heartbeat_interval_s)
    passwords = Passwords(await server_key(store))
    admission = Admission(ground, settings.ocpp, settings.security, passwords)
    stations = connect(admission, intake)
    shared = Shared(tokens=tokens, feed=feed, prices=prices, events=events)
    rooms = _rooms(settings, ground, shared, intake, stations, quirks_for, policies)
    reactions = Reactions(ground, rooms, feed, settings)
    site_ids = [SiteId(each.id) for each in settings.site]
    system = System(
        settings=settings,
        ground=ground,
        tasks=tasks,
        timetable=Timetable(),
        tokens=tokens,
        prices=prices,
        events=events,
        feed=feed,
        stations=stations,
        admission=admission,
        heartbeats=Heartbeats(ground),
        registry=Registry(ground, stations, admission, passwords, quirks_for, site_ids),
        people=People(ground, tokens, feed),
        links=Links(await link_secret(store, settings.security.link_secret), settings),
        driver_view=DriverView(ground, events, prices, settings, rooms.matching),
        reports=Reports(ground, events, rooms.settlement, settings.retention.frames_days),
        retention=Retention(store, clock, settings.retention),
        rooms=rooms,
        reactions=reactions,
        quirks_for=quirks_for,
    )
    return system, stations


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What several rooms read and none owns."""

    tokens: IdTokens
    feed: Feed
    prices: Prices
    events: Events


def _rooms(  # noqa: PLR0913, PLR0917  all that the rooms are made from
    settings: Settings,
    ground: Ground,
    shared: Shared,
    intake: Intake,
    stations: Stations,
    quirks_for: QuirksFor,
    policies: Policies,
) -> Rooms:
    """The rooms that react, each with what it needs."""
    queue = SetpointQueue(ground, stations)
    snapshots = Snapshots(ground, shared.prices, shared.events, settings)
    probing = Probing(ground, queue, stations, settings.dispatch)
    validity = timedelta(seconds=settings.dispatch.setpoint_validity_s)
    savings = Savings()
    return Rooms(
        intake=intake,
        setup=StationSetup(ground, stations, sites_of(settings), settings.metering.sample_interval_s, quirks_for),
        matching=Matching(ground, shared.tokens, shared.feed, settings.permission, savings),
        permissions=Permissions(ground, shared.feed, settings.permission, savings),
        remote_starts=RemoteStarts(ground, shared.tokens, stations, settings.permission, validity, shared.feed),
        dispatch=Dispatch(ground, snapshots, queue, probing, settings.dispatch, policies),
        energy=Energy(ground),
        compliance=ComplianceCheck(ground, queue, stations, settings.dispatch),
        probing=probing,
        settlement=Settlement(ground, shared.prices, settings, policies.benefits),
    )
