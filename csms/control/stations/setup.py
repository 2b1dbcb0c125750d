"""What a station is brought to after its boot or its return: metering, failsafe limit, statuses. V2G-6, V2G-62.

After a boot and never before it (field lesson 22).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.profiles import FAILSAFE_PROFILE
from csms.control.stations.shares import Shares
from csms.domain.commands import Accepted, Configure, InstallFailsafeLimit, ReadTransaction, Trigger, TriggerKind
from csms.domain.ids import EvseRef, StationId
from csms.domain.ports import Stations
from csms.domain.snapshot import Site
from csms.domain.station import BootState, Quirks, Ratings, Station, Version
from csms.store import writes

log = structlog.get_logger()

BOOT_FOLLOWS_S = 2.0
"""A station that was accepted before is only told to go on if it does not boot within this."""

BOOT_AWAITED_S = 5.0
"""A station that connects without a boot is asked for one after this, unless it was accepted before."""

SETTLES_WITHIN_S = 60.0
"""A station that still sends old messages this long after its return is taken to have a slow clock, not a queue."""

MISSED_SAMPLES = 3
"""So many sample intervals without a value in a running transaction, and the station is asked for one."""

STATIONS_AT_ONCE = 100
"""So many are talked to at a time when a whole fleet comes back (field lesson 25)."""

Step = Callable[[StationLive], Coroutine[Any, Any, None]]

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
        self._shares = Shares(sites, ground.live)
        self._sample_interval_s = sample_interval_s
        self._quirks_for = quirks_for
        self._underway: set[tuple[StationId, str]] = set()
        self._queue: deque[tuple[StationLive, Step]] = deque()
        self._workers = 0
        self._booted: set[StationId] = set()
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
        """Do a step after some time, once. What waits is a timer, no task: a fleet comes back at the same moment."""
        key = (station.station.id, step.__name__)
        if key in self._underway:
            return
        self._underway.add(key)
        if seconds:
            self._ground.later(seconds, partial(self._enqueue, station, step))
        else:
            self._enqueue(station, step)

    def _enqueue(self, station: StationLive, step: Step) -> None:
        self._queue.append((station, step))
        if self._workers < STATIONS_AT_ONCE:
            self._workers += 1
            self._spawn(self._work())

    async def _work(self) -> None:
        try:
            while self._queue:
                station, step = self._queue.popleft()
                await self._do(station, step)
        finally:
            self._workers -= 1

    async def _do(self, station: StationLive, step: Step) -> None:
        try:
            await step(station)
        except Exception:  # one station's trouble is not the next one's
            log.exception("station.not_set_up", station=station.station.id)
        finally:
            self._underway.discard((station.station.id, step.__name__))

    async def _set_up(self, station: StationLive) -> None:
        id_ = station.station.id
        try:
            configured = await self._stations.send(Configure(station=id_, sample_interval_s=self._sample_interval_s))
            floor = await self._install_failsafe(station)
            await self._look_around(station)
            log.info("station.set_up", station=id_, configured=repr(configured), floor=floor)
        finally:
            self._settle(station)

    async def _reconcile(self, station: StationLive) -> None:
        if station.station.id in self._booted or station.version is None:
            return  # it has been set up from the start, or has left again
        if self._is_replaying(station):
            self._ground.later(BOOT_FOLLOWS_S, partial(self._take_up, station, self._reconcile, 0.0))
            return
        try:
            await self._install_failsafe(station)
            await self._look_around(station)
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
        """From now on it may be told setpoints, and is held to them (F8)."""
        if station.version is not None and not station.is_settled:
            station.is_settled = True
            self._ground.emit(changes.StationSettled(station))

    async def _look_around(self, station: StationLive) -> None:
        """Ask what is true now: the statuses, and whether what ran still runs (F6). 2.x tells a status by EVSE (F7)."""
        id_, is_16 = station.station.id, station.version is Version.V16
        for number in [0] if is_16 else sorted(station.evses):
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
        if not isinstance(outcome, Accepted):
            log.warning("floor.refused", station=station.station.id, outcome=repr(outcome))
            return False
        if station.failsafe_limit_w != limit_w:
            self._ground.put(writes.save_failsafe_limit, station=station.station.id, limit_w=limit_w)
        station.failsafe_limit_w = limit_w
        return True


def _weakest(ratings: Iterable[Ratings]) -> Ratings:
    return min(ratings, key=lambda rating: rating.max_charge_w, default=Ratings())
