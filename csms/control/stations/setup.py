"""What a station is brought to after its boot or its return: metering, failsafe limit, statuses. V2G-6, V2G-62.

After a boot and never before it (field lesson 22).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.profiles import FAILSAFE_PROFILE
from csms.control.stations.rate_units import other_unit
from csms.control.stations.shares import Shares
from csms.control.stations.wanted_configuration import WantedConfiguration
from csms.domain.commands import Accepted, InstallFailsafeLimit, ReadTransaction, Trigger, TriggerKind
from csms.domain.ids import EvseRef, StationId
from csms.domain.ports import Stations
from csms.domain.snapshot import Site
from csms.domain.station import BootState, Quirks, RateUnit, Ratings, Station, Version
from csms.store import writes

log = structlog.get_logger()

BOOT_FOLLOWS_S = 2.0
"""A station that was accepted before is only told to go on if it does not boot within this."""

STATUS_FOLLOWS_S = 2.0
"""After a boot a station tells its statuses; one that has not by then is asked."""

BOOT_AWAITED_S = 5.0
"""A station that connects without a boot is asked for one after this, unless it was accepted before."""

SETTLES_WITHIN_S = 60.0
"""A station that still sends old messages this long after its return is taken to have a slow clock, not a queue."""

MISSED_SAMPLES = 3
"""So many sample intervals without a value in a running transaction, and the station is asked for one."""

STATIONS_AT_ONCE = 100
"""So many are talked to at a time when a whole fleet comes back (field lesson 25)."""

SILENT_AFTER_S = 2.0
"""A station that is not through after this makes room for the next, and goes on beside: behind a hundred that do not
answer, the others would get their failsafe limit minutes late (must hold 1)."""

SET_UP = "1"
"""Of what a station is configured to: another number, and every station is told anew at its next boot."""

Step = Callable[[StationLive], Coroutine[Any, Any, None]]

Key = tuple[StationId, str]
"""A step of a station, by its name."""

QuirksFor = Callable[[Version | None, Station], Quirks]
"""How a station of this version and model behaves, as far as the registry knows it."""


class StationSetup:
    """Talks to each station after it booted or came back."""

    def __init__(
        self, ground: Ground, stations: Stations, sites: tuple[Site, ...], sample_interval_s: int, quirks_for: QuirksFor
    ) -> None:
        self._ground = ground
        self._live = ground.live
        self._spawn = ground.spawn
        self._stations = stations
        self._wanted = WantedConfiguration(ground, stations, sample_interval_s)
        self._shares = Shares(sites, ground.live)
        self._sample_interval_s = sample_interval_s
        self._quirks_for = quirks_for
        self._underway: set[Key] = set()
        self._running: set[Key] = set()
        self._again: dict[Key, float] = {}
        self._queue: deque[tuple[StationLive, Step]] = deque()
        self._places: set[object] = set()
        self._booted: set[StationId] = set()
        self._doubted: set[StationId] = set()
        self._returned_at: dict[StationId, datetime] = {}
        self._is_uneven = self._is_levelling = False

    def booted(self, change: changes.StationBooted) -> None:
        """A boot was accepted: set the station up from the start."""
        station = change.station
        self._booted.add(station.station.id)
        station.is_settled = False
        self._renew(station)
        self._take_up(station, self._set_up, 0.0)

    def returned(self, change: changes.StationConnected) -> None:
        """A socket is there again. An accepted station goes on where it was; another is asked to boot (lesson 22)."""
        station = change.station
        self._booted.discard(station.station.id)
        self._doubted.discard(station.station.id)
        self._returned_at[station.station.id] = self._ground.clock.now()
        station.is_settled = False
        self._renew(station)
        if station.station.boot_state is BootState.ACCEPTED:
            self._take_up(station, self._reconcile, BOOT_FOLLOWS_S)
        else:
            self._take_up(station, self._ask_to_boot, BOOT_AWAITED_S)

    def _renew(self, station: StationLive) -> None:
        """Its quirks follow from what it is by now. V2G-62: what it was told is told again (see ``Dispatch.renew``)."""
        before, station.quirks = station.quirks, self._quirks_for(station.version, station.station)
        if before.driver is not station.quirks.driver:
            self._ground.emit(changes.DriverChanged(station))

    def _take_up(self, station: StationLive, step: Step, seconds: float) -> None:
        """Do a step after some time, once; one that runs is done anew after it, for what it said may have gone to the
        socket before. What waits is a timer, no task: a fleet comes back at the same moment."""
        key = (station.station.id, step.__name__)
        if key in self._running:
            self._again[key] = seconds
        if key in self._underway:
            return
        self._underway.add(key)
        if seconds:
            self._ground.later(seconds, partial(self._enqueue, station, step))
        else:
            self._enqueue(station, step)

    def _enqueue(self, station: StationLive, step: Step) -> None:
        self._queue.append((station, step))
        self._begin()

    def _begin(self) -> None:
        while self._queue and len(self._places) < STATIONS_AT_ONCE:
            place = object()
            self._places.add(place)
            self._spawn(self._do(place, *self._queue.popleft()))

    def _leave(self, place: object) -> None:
        self._places.discard(place)
        self._begin()

    async def _do(self, place: object, station: StationLive, step: Step) -> None:
        key = (station.station.id, step.__name__)
        self._running.add(key)
        silent = asyncio.get_running_loop().call_later(SILENT_AFTER_S, self._leave, place)
        try:
            await step(station)
        except Exception:  # one station's trouble is not the next one's
            log.exception("station.not_set_up", station=station.station.id)
        finally:
            silent.cancel()
            self._end(key)
            self._leave(place)
        if (seconds := self._again.pop(key, None)) is not None:
            self._take_up(station, step, seconds)

    def _end(self, key: Key) -> None:
        self._running.discard(key)
        self._underway.discard(key)

    async def _set_up(self, station: StationLive) -> None:
        id_ = station.station.id
        try:
            is_known = self._is_configured(station) and not self._wanted.may_have_caused_boot(id_)
            configured = is_known or await self._configure(station)
            floor = await self._install_failsafe(station)
            if is_known:  # it tells its statuses by itself, as it did before: it is asked for those that do not come
                self._ground.later(STATUS_FOLLOWS_S, partial(self._take_up, station, self._look_after_boot, 0.0))
            else:
                await self._look_after_boot(station)
            log.info("station.set_up", station=id_, configured=configured, floor=floor)
        finally:
            self._settle(station)

    async def _look_after_boot(self, station: StationLive) -> None:
        if station.version is not None:
            await self._look_around(station, station.booted_at)

    async def _configure(self, station: StationLive) -> bool:
        """What it took is kept: it holds through reconnects and boots, as long as it is the same station (C9)."""
        set_up_as = self._set_up_as(station)
        is_configured = await self._wanted.bring(station)
        self._note_set_up(station, set_up_as if is_configured else None)
        return is_configured

    def _note_set_up(self, station: StationLive, set_up_as: str | None) -> None:
        if station.set_up_as != set_up_as:
            self._ground.put(writes.save_set_up, station=station.station.id, set_up_as=set_up_as)
        station.set_up_as = set_up_as

    def _is_configured(self, station: StationLive) -> bool:
        return station.set_up_as == self._set_up_as(station)

    def _set_up_as(self, station: StationLive) -> str:
        """What we would tell it, and what it is: its hardware, its firmware, its version of OCPP."""
        known, version = station.station, station.version.value if station.version else ""
        said = (version, known.vendor, known.model, known.serial, known.firmware)
        return "|".join((SET_UP, str(self._sample_interval_s), station.quirks.hold.value, *said))

    async def _reconcile(self, station: StationLive) -> None:
        if station.station.id in self._booted or station.version is None:
            return  # it has been set up from the start, or has left again
        if self._is_replaying(station):
            self._ground.later(BOOT_FOLLOWS_S, partial(self._take_up, station, self._reconcile, 0.0))
            return
        try:
            await self._install_failsafe(station)  # some lose their profiles with the socket (scenario 17, V2G-62)
            await self._look_around(station, self._returned_at.get(station.station.id))
        finally:
            self._settle(station)

    def _is_replaying(self, station: StationLive) -> bool:
        """It still sends what it kept while it was away: what is true now is not known before it is through (F8)."""
        now, returned_at = self._ground.clock.now(), self._returned_at.get(station.station.id)
        if station.replayed_at is None or returned_at is None:
            return False
        is_new = now - returned_at < timedelta(seconds=SETTLES_WITHIN_S)
        return is_new and now - station.replayed_at < timedelta(seconds=BOOT_FOLLOWS_S)

    def _settle(self, station: StationLive) -> None:
        """From now on it may be told setpoints, and is held to them (F8); one that has booted meanwhile, after that."""
        is_anew = (station.station.id, "_set_up") in self._again
        if station.version is not None and not station.is_settled and not is_anew:
            station.is_settled = True
            self._ground.emit(changes.StationSettled(station))

    async def _look_around(self, station: StationLive, since: datetime | None) -> None:
        """Ask what is true now: the statuses that it has not told by itself ``since`` it was back, and whether what ran
        still runs (F6). 2.x tells a status by EVSE (F7)."""
        id_, is_16 = station.station.id, station.version is Version.V16
        unheard = [number for number, evse in sorted(station.evses.items()) if not _is_heard(evse, since)]
        station_itself = [0] if unheard else []
        for number in station_itself if is_16 else unheard:
            await self._stations.send(Trigger(evse=EvseRef(id_, number), kind=TriggerKind.STATUS))
        running = [] if is_16 else [evse for evse in station.evses.values() if evse.run.transaction is not None]
        for evse in running:
            await self._ask_for(evse)

    async def _ask_for(self, evse: EvseLive) -> None:
        transaction = evse.run.transaction
        if transaction is None:
            return
        outcome = await self._stations.send(ReadTransaction(station=evse.ref.station, transaction=transaction))
        if isinstance(outcome, Accepted) and outcome.details.get("ongoing") is False:
            self._ground.emit(changes.Denied(evse, transaction))

    def sweep(self, station: StationLive, evse: EvseLive, now: datetime) -> None:
        """Ask for the values of a running transaction that have stopped coming (F9)."""
        heard_at = evse.meter.heard_at
        if evse.run.transaction is None or not station.is_settled or station.version is None or heard_at is None:
            return
        if now - heard_at >= timedelta(seconds=MISSED_SAMPLES * self._sample_interval_s):
            evse.meter.heard_at = now  # asked once in so many intervals
            self._spawn(self._ask_for_values(evse.ref))

    async def _ask_for_values(self, evse: EvseRef) -> None:
        outcome = await self._stations.send(Trigger(evse=evse, kind=TriggerKind.METER))
        log.info("meter.asked_for", evse=str(evse), outcome=repr(outcome))
        station = self._live.stations[evse.station]
        if station.set_up_as is not None and station.version is not None and evse.station not in self._doubted:
            self._doubted.add(evse.station)
            log.info("station.set_up_doubted", station=evse.station)
            await self._configure(station)  # values that stop may be a configuration that was lost: once a connection

    async def _ask_to_boot(self, station: StationLive) -> None:
        if station.station.boot_state is BootState.NEVER and station.version is not None:
            await self._stations.send(Trigger(evse=EvseRef(station.station.id, 0), kind=TriggerKind.BOOT))

    def level(self, change: changes.FleetChanged | changes.EvseDiscovered) -> None:
        """There are more EVSEs, or fewer, than the floors were made for: the connected stations get new ones."""
        self._shares.recount(change.station)
        self._is_uneven = True
        if not self._is_levelling:
            self._is_levelling = True
            self._spawn(self._level())

    async def _level(self) -> None:
        try:
            while self._is_uneven:
                self._is_uneven = False
                await self._tell_changed()
        finally:
            self._is_levelling = False

    async def _tell_changed(self) -> None:
        """Who has to draw less comes first: the sum never grows on the way."""
        known = [
            (live, limit_w, self._shares.limit_w(live))
            for live in self._live.stations.values()
            if live.version is not None and (limit_w := live.failsafe_limit_w) is not None
        ]
        less = [(live, wanted_w) for live, limit_w, wanted_w in known if wanted_w < limit_w]
        more = [(live, wanted_w) for live, limit_w, wanted_w in known if wanted_w > limit_w]
        for changed in (less, more):
            telling = (self._tell_failsafe(live, wanted_w) for live, wanted_w in changed)
            await asyncio.gather(*telling, return_exceptions=True)  # one station's trouble is not the next one's

    def _learn(self, station: StationLive, unit: RateUnit) -> None:
        """It takes limits in this unit only (F11); its setpoints come in it from now on."""
        learnt = {**station.station.learnt, "rate_unit": unit.value}
        station.station = replace(station.station, learnt=learnt)
        station.quirks = replace(station.quirks, rate_unit=unit)
        self._ground.put(writes.save_learnt, station=station.station.id, learnt=learnt)
        log.info("station.learnt", station=station.station.id, **learnt)

    async def _install_failsafe(self, station: StationLive) -> bool:
        return await self._tell_failsafe(station, self._shares.limit_w(station))

    async def _tell_failsafe(self, station: StationLive, limit_w: int) -> bool:
        ratings = _weakest(evse.evse.ratings for evse in station.evses.values())
        command = InstallFailsafeLimit(
            evse=EvseRef(station.station.id, 0),
            limit_w=limit_w,
            rate_unit=station.quirks.rate_unit,
            ratings=ratings,
            profile=FAILSAFE_PROFILE,
        )
        outcome = await self._stations.send(command)
        in_amperes = other_unit(command, outcome)
        if in_amperes is not None and isinstance(await self._stations.send(in_amperes), Accepted):
            outcome = Accepted()
            self._learn(station, RateUnit.A)
        if not isinstance(outcome, Accepted):
            log.warning("floor.refused", station=station.station.id, outcome=repr(outcome))
            return False
        if station.failsafe_limit_w != limit_w:
            self._ground.put(writes.save_failsafe_limit, station=station.station.id, limit_w=limit_w)
        station.failsafe_limit_w = limit_w
        return True


def _is_heard(evse: EvseLive, since: datetime | None) -> bool:
    """Its station has told each of its connectors' status since."""
    told_at = [status.received_at for status in evse.cable.statuses.values()]
    return since is not None and bool(told_at) and all(at is not None and at >= since for at in told_at)


def _weakest(ratings: Iterable[Ratings]) -> Ratings:
    return min(ratings, key=lambda rating: rating.max_charge_w, default=Ratings())
