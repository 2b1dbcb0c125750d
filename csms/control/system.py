"""The control as one thing: its parts wired, what changed passed on, and what the outside may ask of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import structlog

from csms.control import changes, performance, reports, summary, tracking
from csms.control.admission import Admission, hash_password
from csms.control.dispatch import Dispatch
from csms.control.events import Events
from csms.control.feed import Feed, Wakeups
from csms.control.following import Following
from csms.control.intake import IDS_PER_BLOCK, Intake
from csms.control.live import Live, StationLive, restore
from csms.control.outbox import Outbox
from csms.control.people import Links, People, link_secret
from csms.control.permissions import Permissions
from csms.control.prices import Prices
from csms.control.probing import Probing
from csms.control.provisioning import Provisioning
from csms.control.settling import Settling
from csms.control.snapshots import Present, sites_of
from csms.control.starting import Starting
from csms.control.timetable import Timetable
from csms.control.tokens import Tokens
from csms.control.views import DriverState, DrReport, Registered, StationView
from csms.domain.conditions import Conditions, Pattern
from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import Conflict, NotFound
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, StationId, UserId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.domain.permission import Channel, PlugIn
from csms.domain.ports import Clock, Stations
from csms.domain.station import Quirks, Station, Version
from csms.domain.tariff import PriceStep
from csms.settings import Settings
from csms.store import Store, reads, works

log = structlog.get_logger()

QuirksFor = Callable[[Version | None, str, str, str], Quirks]

SWEEP_S = 1.0
HEARD_FLUSH_S = 15.0
SUSPECT_GRACE = timedelta(seconds=60)
"""Available with a transaction still open is evidence, not proof: it is presumed over after this (field lesson 14)."""


class Control:
    """Everything that waits and decides. Made by ``open_control``; the only thing that edge and API see of it."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self.settings, self.store, self.clock = settings, store, clock
        self.live, self.tokens, self.feed = Live(), Tokens(), Feed()
        self.timetable = Timetable()
        self.prices = Prices(settings, store, clock)
        self.people = People(store, clock)
        self.intake = Intake(store, self.live, self.tokens, clock, settings.ocpp.heartbeat_interval_s)
        self.admission = Admission(store, self.live, clock, settings.ocpp, settings.security)
        self.permissions = Permissions(store, self.live, self.tokens, self.feed, clock)
        self.events = Events(store, clock, self.prices.areas)
        self.settling = Settling(store, self.prices, clock, settings)
        self.is_ready = False
        self.frames: Callable[[StationId], Sequence[tuple[datetime, str, str]]] = lambda station: ()
        self.counters: Callable[[StationId], Mapping[str, int]] = lambda station: {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: dict[StationId, datetime] = {}

    def command(self, stations: Stations, quirks_for: QuirksFor) -> None:
        """Give the control its stations to command, and the registry of quirks (vendor, model, firmware → Quirks)."""
        self.stations = stations
        dispatch = self.settings.dispatch
        self.outbox = Outbox(self.store, self.live, stations, self.clock, self.spawn)
        self.probing = Probing(self.store, self.outbox, self.clock)
        self.present = Present(self.live, self.prices, self.settings, self.clock)
        self.dispatch = Dispatch(self.store, self.present, self.outbox, self.probing, dispatch)
        self.starting = Starting(self.store, self.live, self.tokens, stations, self.clock)
        self.following = Following(self.outbox, stations, self.clock, dispatch, self.dispatch.wake)
        sites = sites_of(self.settings)
        self.provisioning = Provisioning(self.live, stations, sites, self.settings.metering.sample_interval_s)
        self._quirks_for = quirks_for
        self._wire()

    def _wire(self) -> None:
        """Who hears of what; the whole nervous system is on this page."""
        rules = self.settings.permission
        self.permissions.rules = self.starting.rules = rules
        for part in (self.permissions, self.starting, self.following, self.provisioning):
            part.spawn = self.spawn
        self.provisioning.quirks_for = self._quirks_of
        self.permissions.on_decided = lambda evse: self._soon()
        self.events.on_change = self._event_changed
        self.present.events = self.events.open
        self.intake.on_change = self._changed
        self.intake.on_connection = self._connection
        self.intake.on_readings = self.settling.note_reading
        self.intake.on_low_ids = self._more_ids

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside; a failure is logged, never lost and never fatal."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task.failed", error=repr(error), exc_info=error)

    async def start(self) -> None:
        """Rebuild the live state from the store and begin to keep time."""
        for station in await self.store.read(reads.stations):
            self.live.add(station, self._quirks_of_station(station, station.version))
        self.tokens.load(await self.store.read(reads.id_tokens))
        await self.prices.load()
        state = await self.store.read(reads.live_state)
        restore(self.live, state)
        self.events.load(state.events)
        await self._find_vehicles()
        await self._reserve_ids()
        self._links = Links(await link_secret(self.store, self.settings.security.link_secret), self.settings)
        self.timetable.every(SWEEP_S, "sweep", self.sweep)
        self.timetable.every(HEARD_FLUSH_S, "heard", self._flush_heard)
        self.timetable.every(self._settle_every_s(), "settle", self.settling.run)
        self.timetable.start()
        self.spawn(self.dispatch.run())
        self.is_ready = True

    def _settle_every_s(self) -> float:
        return min(60.0, self.settings.settlement.interval.total_seconds())

    async def _find_vehicles(self) -> None:
        for _, evse in self.live.evses():
            if evse.plug_in and evse.plug_in.user:
                vehicles = await self.store.read(partial(reads.vehicles, user=evse.plug_in.user))
                evse.vehicle = next((v for v in vehicles if v.id == evse.plug_in.vehicle), None)

    async def stop(self) -> None:
        """End every task; what was taken in is still written by the store's own close."""
        self.is_ready = False
        self.timetable.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._flush_heard()

    def _more_ids(self) -> None:
        self.spawn(self._reserve_ids())

    async def _reserve_ids(self) -> None:
        first = await self.store.writer.run(partial(works.reserve_transaction_ids, count=IDS_PER_BLOCK))
        self.intake.ids.feed(first, IDS_PER_BLOCK)

    async def _flush_heard(self) -> None:
        heard = {
            id_: live.last_heard_at
            for id_, live in self.live.stations.items()
            if live.last_heard_at and live.last_heard_at != self._heard.get(id_)
        }
        if heard:
            self._heard.update(heard)
            await self.store.writer.run(partial(works.touch_stations, heard=heard))

    def _quirks_of(self, station: StationLive) -> Quirks:
        return self._quirks_of_station(station.station, station.version)

    def _quirks_of_station(self, station: Station, version: Version | None) -> Quirks:
        return self._quirks_for(version, station.vendor, station.model, station.firmware)

    def _soon(self) -> None:
        self.spawn(self.sweep())
        self.dispatch.wake()

    def _event_changed(self) -> None:
        self.dispatch.wake()
        for _, evse in self.live.evses():
            self.feed.changed(evse.plug_in.user if evse.plug_in else None)

    def _connection(self, station: StationLive, online: bool) -> None:  # noqa: FBT001  a state, not a switch
        log.info("station.online" if online else "station.offline", station=station.station.id)
        if online:
            self.provisioning.returned(station)
        self.dispatch.wake()

    def _changed(self, change: changes.Change) -> None:
        match change:
            case changes.StationBooted(station):
                self.provisioning.booted(station)
            case changes.PluggedIn(evse):
                self.permissions.plugged_in(evse)
                self._soon()
            case changes.Unplugged(_, plug_in):
                self.permissions.ended(plug_in)
                self.dispatch.wake()
            case changes.TokenShown(evse, token):
                self.permissions.token_shown(evse, token)
            case changes.TransactionBegan() | changes.TransactionOver() | changes.NeedsKnown():
                self.dispatch.wake()
                self.feed.changed(change.evse.plug_in.user if change.evse.plug_in else None)
            case changes.Sampled(evse, reading):
                station = self.live.stations[evse.ref.station]
                if self.probing.judge(station, evse, reading):
                    self.dispatch.wake()
                self.following.sampled(evse, reading)
                self.feed.changed(evse.plug_in.user if evse.plug_in else None)

    async def sweep(self) -> None:
        """What follows from time alone: questions lapse, starts are repeated, probes and presumed ends run out."""
        now = self.clock.now()
        for station, evse in tuple(self.live.evses()):
            self.permissions.sweep(evse, now)
            self.starting.sweep(station, evse, now)
            if evse.probe is not None and self.probing.judge(station, evse, None):
                self.dispatch.wake()
            if self._is_gone(evse.available_since, evse.transaction is not None, now):
                for change in tracking.unplug(evse, now):
                    self._changed(change)

    def _is_gone(self, since: datetime | None, in_transaction: bool, now: datetime) -> bool:  # noqa: FBT001
        grace = SUSPECT_GRACE if in_transaction else timedelta(seconds=self.settings.permission.debounce_s)
        return since is not None and now - since >= grace

    def station_view(self, station: StationId) -> StationView | None:
        live = self.live.station(station)
        return None if live is None else reports.station_view(live, self.counters(station))

    def station_views(self) -> list[StationView]:
        return [reports.station_view(live, self.counters(id_)) for id_, live in self.live.stations.items()]

    async def add_station(self, station: Station, password: str) -> None:
        """Provision a station. Conflict: it exists; NotFound: unknown site; BadRequest: the password."""
        if station.id in self.live.stations:
            raise Conflict(f"station {station.id} exists already", field="id")
        if station.site not in {site.id for site in self.settings.site}:
            raise NotFound(f"site: there is no [[site]] {station.site}", field="site")
        hashed = hash_password(password)
        await self.store.writer.run(partial(works.upsert_station, station=station, password_hash=hashed))
        self.live.add(station, self._quirks_of_station(station, None))

    async def register_driver(self, evse: EvseRef, name: str, vehicle: Any, language: str) -> Registered:
        """P1: a driver at this EVSE signs up in one form; a plug-in that waits there becomes theirs."""
        wanted = Vehicle(id=vehicle.get("id", ""), user=UserId(""), **{k: v for k, v in vehicle.items() if k != "id"})
        registered = await self.people.register(name, wanted, language)
        await self.permissions.claim(registered.user.id, evse)
        return registered

    async def user_of_terminal(self, token: str) -> User | None:
        return await self.people.of_terminal(token)

    async def claim(self, user: UserId, evse: EvseRef) -> PlugIn | None:
        return await self.permissions.claim(user, evse)

    async def answer(
        self,
        plug_in: PlugInId,
        user: UserId,
        granted: bool,  # noqa: FBT001  the user's yes or no
        conditions: Conditions | None,
        channel: Channel,
    ) -> PlugIn:
        return await self.permissions.answer(plug_in, user, conditions, channel, granted=granted)

    async def save_pattern(self, user: UserId, pattern: Pattern) -> None:
        await self.permissions.keep(user, pattern)

    async def create_event(self, event: DrEvent) -> DrEvent:
        return await self.events.create(event)

    async def cancel_event(self, event: DrEventId) -> DrEvent:
        return await self.events.cancel(event)

    async def event_report(self, event: DrEventId) -> DrReport:
        return await performance.event_report(self.store, self.settling, await self.events.get(event), self.clock.now())

    async def audit(self) -> summary.Audit:
        """What must be zero, from the store."""
        return await summary.audit(self.store, self.clock)

    async def put_prices(self, area: AreaId, steps: Sequence[PriceStep], until: datetime | None) -> None:
        await self.prices.put(area, steps, until)
        self.dispatch.wake()

    def price_now(self, area: AreaId) -> tuple[Decimal, str]:
        """Tariff per kWh in force, and its currency."""
        now = self.clock.now()
        series = self.prices.series(area, now)
        return series.at(now), series.currency

    async def put_id_token(self, record: IdTokenRecord) -> None:
        await self.store.writer.run(partial(works.upsert_id_token, record=record))
        self.tokens.put(record)

    def driver_state(self, user: UserId) -> DriverState:
        """What a user's terminal shows now."""
        evse = self.live.of_user(user)
        now = self.clock.now()
        site = evse.evse.site if evse else None
        area = AreaId(next((s.area for s in self.settings.site if s.id == site), "default"))
        tariff, currency = self.price_now(area) if evse else (None, self.settings.settlement.currency)
        active = [e for e in self.events.open() if e.is_active(now) and e.covers(area)]
        down = next((e for e in active if e.direction is Direction.DOWN), None)
        return reports.driver_state(evse, tariff, down, currency, event_active=bool(active))

    @asynccontextmanager
    async def subscribe(self, user: UserId) -> AsyncIterator[Wakeups]:
        with self.feed.subscribe(user) as wakeups:
            yield wakeups

    def links(self, evse: EvseRef) -> str:
        return self._links.of(evse)

    def evse_of_link(self, station: str, evse: int, signature: str) -> EvseRef | None:
        return self._links.evse(station, evse, signature)
