"""The control as one thing: its parts wired, its life from start to stop, and what changed passed on."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from csms.control.dispatch.compliance import Compliance
from csms.control.dispatch.dispatch import Dispatch
from csms.control.dispatch.probing import Probing
from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.dispatch.snapshots import Snapshots, sites_of
from csms.control.intake import cables, transactions
from csms.control.intake.intake import Intake
from csms.control.intake.transaction_ids import IDS_PER_BLOCK
from csms.control.permission.people import Links, People, link_secret
from csms.control.permission.permissions import Permissions
from csms.control.permission.remote_start import RemoteStarts
from csms.control.settlement.settlement import Settlement
from csms.control.state import changes
from csms.control.state.events import Events
from csms.control.state.feed import Feed
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import EvseLive, Live, StationLive, restore
from csms.control.state.prices import Prices
from csms.control.state.tasks import nothing
from csms.control.stations.admission import Admission
from csms.control.stations.setup import StationSetup
from csms.control.timetable import Timetable
from csms.domain.commands import Command
from csms.domain.dr import DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import StationId, TransactionId
from csms.domain.ports import Clock, Stations
from csms.domain.station import Quirks, Station, Version
from csms.settings import Settings
from csms.store import Store, Write, reads, writes
from policies.plugs import Policies
from policies.registry import DEFAULT

log = structlog.get_logger()

QuirksFor = Callable[[Version | None, str, str, str], Quirks]

SWEEP_S = 1.0
HEARD_FLUSH_S = 15.0
SUSPECT_GRACE_S = 60.0
SUSPECT_SAMPLES = 2.5
"""Available with a transaction still open is evidence, not proof: it is presumed over after so many sample intervals
without power, and at least a minute (field lesson 14)."""


class System:
    """Everything that waits and decides, wired. The edge sees its ports, everybody else sees the ``Desk``."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, policies: Policies = DEFAULT) -> None:
        self._policies = policies
        self.settings, self.store, self.clock = settings, store, clock
        self.live, self.tokens, self.feed = Live(), IdTokens(), Feed()
        self.timetable = Timetable()
        self.prices = Prices(settings, store, clock)
        self.people = People(store, clock)
        self.intake = Intake(store, self.live, self.tokens, clock, settings.ocpp.heartbeat_interval_s)
        self.admission = Admission(store, self.live, clock, settings.ocpp, settings.security)
        self.permissions = Permissions(store, self.live, self.tokens, self.feed, clock)
        self.events = Events(store, clock, self.prices.areas)
        self.settling = Settlement(store, self.prices, clock, settings)
        self.is_ready = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: dict[StationId, datetime] = {}

    def command(self, stations: Stations, quirks_for: QuirksFor) -> None:
        """Give the control its stations to command, and the registry of quirks (vendor, model, firmware → Quirks)."""
        self.stations = stations
        dispatch = self.settings.dispatch
        self.outbox = SetpointQueue(self.store, self.live, stations, self.clock, self.spawn)
        self.probing = Probing(self.store, self.outbox, self.clock)
        self.present = Snapshots(self.live, self.prices, self.settings, self.clock)
        self.dispatch = Dispatch(self.store, self.present, self.outbox, self.probing, dispatch, self._policies)
        self.starting = RemoteStarts(self.store, self.live, self.tokens, stations, self.clock)
        self.compliance = Compliance(self.outbox, stations, self.clock, dispatch, self.dispatch.wake)
        sites = sites_of(self.settings)
        self.provisioning = StationSetup(self.live, stations, sites, self.settings.metering.sample_interval_s)
        self._quirks_for = quirks_for
        self._wire()

    def _wire(self) -> None:
        """Who hears of what; the whole nervous system is on this page."""
        rules = self.settings.permission
        self.permissions.rules = self.starting.rules = rules
        self.starting.validity = timedelta(seconds=self.settings.dispatch.setpoint_validity_s)
        for part in (self.permissions, self.starting, self.compliance, self.provisioning):
            part.spawn = self.spawn
        self.live.on_discovered = self._discovered
        self.admission.on_registered = self.provisioning.level
        self.provisioning.quirks_for = lambda station: self.quirks_of(station.station, station.version)
        self.permissions.on_decided = lambda evse: self._soon()
        self.permissions.on_matched = lambda plug_in: self.settling.reopen(plug_in.plugged_at)
        self.events.on_change = self._event_changed
        self.prices.on_published = self.settling.reopen
        self.present.events = self.events.open
        self.intake.on_change = self._changed
        self.intake.on_connection = self._connection
        self.intake.on_readings = self.settling.note_readings
        self.intake.on_low_ids = self._more_ids

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside; a failure is logged, never lost and never fatal."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def ask(self, command: Command) -> None:
        """Send a command whose outcome shows in what the station says next."""
        log.info("station.asked", outcome=repr(await self.stations.send(command)))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task.failed", error=repr(error), exc_info=error)

    async def start(self) -> None:
        """Rebuild the live state from the store and begin to keep time."""
        for station in await self.store.read(reads.stations):
            self.live.add(station, self.quirks_of(station, station.version))
        self.tokens.load(await self.store.read(reads.id_tokens))
        await self.prices.load()
        state = await self.store.read(partial(reads.live_state, now=self.clock.now()))
        restore(self.live, state, self.tokens.accepts)
        self.events.load(state.events)
        await self._find_vehicles()
        await self._reserve_ids()
        self.links = Links(await link_secret(self.store, self.settings.security.link_secret), self.settings)
        self.timetable.every(SWEEP_S, "sweep", self.sweep)
        self.timetable.every(HEARD_FLUSH_S, "heard", self._flush_heard)
        self.timetable.every(3600.0, "tokens", self._forget_tokens)
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
        first = await self.store.writer.run(partial(writes.reserve_transaction_ids, count=IDS_PER_BLOCK))
        self.intake.ids.feed(first, IDS_PER_BLOCK)

    async def _forget_tokens(self) -> None:
        self.tokens.purge(self.clock.now())

    async def _flush_heard(self) -> None:
        heard = {
            id_: live.last_heard_at
            for id_, live in self.live.stations.items()
            if live.last_heard_at and live.last_heard_at != self._heard.get(id_)
        }
        if heard:
            self._heard.update(heard)
            await self.store.writer.run(partial(writes.touch_stations, heard=heard))

    def quirks_of(self, station: Station, version: Version | None) -> Quirks:
        """How this station behaves, as far as the registry knows its model."""
        return self._quirks_for(version, station.vendor, station.model, station.firmware)

    def _soon(self) -> None:
        self.spawn(self.sweep())
        self.dispatch.wake()

    def _event_changed(self, event: DrEvent) -> None:
        self.settling.reopen(event.cancelled_at or event.starts_at)
        self.dispatch.wake()
        for _, evse in self.live.evses():
            self.feed.changed(evse.plug_in.user if evse.plug_in else None)

    def _discovered(self, station: StationLive) -> None:
        """A station spoke of an EVSE that nobody provisioned: it is kept, and the others make room for it."""
        log.info("evse.discovered", station=station.station.id, evses=sorted(station.evses))
        keep = partial(writes.upsert_station, station=station.station, password_hash=None)
        self.store.writer.put(Write((), keep, nothing))
        self.provisioning.level()

    def _connection(self, station: StationLive, online: bool) -> None:  # noqa: FBT001  a state, not a switch
        log.info("station.online" if online else "station.offline", station=station.station.id)
        if online:
            self.provisioning.returned(station)
        self.dispatch.wake()

    def _changed(self, change: changes.Change) -> None:
        if type(change) is changes.Sampled:  # before all others: four changes of five are these
            self._sampled(change.evse, change.reading)
            return
        match change:
            case changes.StationBooted(station):
                self.provisioning.booted(station)
            case changes.PluggedIn(evse):
                self.permissions.plugged_in(evse)
                self._soon()
            case changes.Unplugged(_, plug_in):
                self.permissions.ended(plug_in)
                self.settling.reopen(plug_in.unplugged_at or self.clock.now())
                self.dispatch.wake()
            case changes.ForeignSeen(evse, transaction):
                self._consider_foreign(evse, transaction)
            case changes.SocKnown(evse):
                self.permissions.noted(evse)
            case changes.TokenShown(evse, token):
                self.permissions.token_shown(evse, token)
            case changes.TransactionBegan() | changes.TransactionOver() | changes.NeedsKnown():
                self.permissions.noted(change.evse)
                self.dispatch.wake()
                self.feed.changed(change.evse.plug_in.user if change.evse.plug_in else None)

    def _consider_foreign(self, evse: EvseLive, transaction: TransactionId) -> None:
        """Adopt it once it is kept, unless it is known to have ended."""

        def kept(runs: bool) -> None:  # noqa: FBT001  the work's result
            now = self.clock.now()
            for change in tuple(transactions.adopt(evse, transaction, now)) if runs else ():
                self._changed(change)

        work = partial(writes.adopt_transaction, evse=evse.ref, transaction=transaction, at=self.clock.now())
        self.store.writer.put(Write((), work, kept))

    def _sampled(self, evse: EvseLive, reading: Reading) -> None:
        if evse.plug_in is None and evse.probe is None:
            return  # nobody to tell, and nothing was asked of the EVSE
        if self.probing.judge(self.live.stations[evse.ref.station], evse, reading):
            self.dispatch.wake()
        self.compliance.sampled(evse, reading)
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
                for change in cables.unplug(evse, now):
                    self._changed(change)

    def _is_gone(self, since: datetime | None, in_transaction: bool, now: datetime) -> bool:  # noqa: FBT001
        suspect_s = max(SUSPECT_GRACE_S, SUSPECT_SAMPLES * self.settings.metering.sample_interval_s)
        grace_s = suspect_s if in_transaction else self.settings.permission.debounce_s
        return since is not None and now - since >= timedelta(seconds=grace_s)
