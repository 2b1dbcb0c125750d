"""What a station is brought to after its boot or its return: metering, failsafe limit, statuses. V2G-6, V2G-62.

After a boot and never before it (field lesson 22).
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

import structlog

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import Live, StationLive
from csms.control.state.profiles import FAILSAFE_PROFILE
from csms.domain.commands import Accepted, Configure, InstallFailsafeLimit, Trigger, TriggerKind
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.ports import Stations
from csms.domain.snapshot import Site
from csms.domain.station import BootState, Quirks, Ratings, Station, Version

log = structlog.get_logger()

BOOT_FOLLOWS_S = 2.0
"""A station that was accepted before is only told to go on if it does not boot within this."""

BOOT_AWAITED_S = 5.0
"""A station that connects without a boot is asked for one after this, unless it was accepted before."""

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
        self._sites = sites
        self._sample_interval_s = sample_interval_s
        self._quirks_for = quirks_for
        self._underway: set[tuple[StationId, str]] = set()
        self._queue: deque[tuple[StationLive, Step]] = deque()
        self._workers = 0
        self._booted: set[StationId] = set()
        self._is_uneven = self._is_levelling = False

    def booted(self, change: changes.StationBooted) -> None:
        """A boot was accepted: set the station up from the start."""
        station = change.station
        self._booted.add(station.station.id)
        self._renew(station)
        self._take_up(station, self._set_up, 0.0)

    def returned(self, change: changes.StationConnected) -> None:
        """A socket is there again. An accepted station goes on where it was; another is asked to boot (lesson 22)."""
        station = change.station
        self._booted.discard(station.station.id)
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
        configured = await self._stations.send(Configure(station=id_, sample_interval_s=self._sample_interval_s))
        floor = await self._install_failsafe(station)
        await self._stations.send(Trigger(evse=EvseRef(id_, 0), kind=TriggerKind.STATUS))
        log.info("station.set_up", station=id_, configured=repr(configured), floor=floor)

    async def _reconcile(self, station: StationLive) -> None:
        if station.station.id in self._booted or station.version is None:
            return  # it has been set up from the start, or has left again
        await self._install_failsafe(station)
        await self._stations.send(Trigger(evse=EvseRef(station.station.id, 0), kind=TriggerKind.STATUS))

    async def _ask_to_boot(self, station: StationLive) -> None:
        if station.station.boot_state is BootState.NEVER and station.version is not None:
            await self._stations.send(Trigger(evse=EvseRef(station.station.id, 0), kind=TriggerKind.BOOT))

    def level(self, _change: changes.FleetChanged | changes.EvseDiscovered) -> None:
        """There are more EVSEs, or fewer, than the floors were made for: the connected stations get new ones."""
        self._is_uneven = True
        if not self._is_levelling:
            self._is_levelling = True
            self._spawn(self._level())

    async def _level(self) -> None:
        try:
            while self._is_uneven:
                self._is_uneven = False
                await self._tell_changed(floors(self._sites, self._live))
        finally:
            self._is_levelling = False

    async def _tell_changed(self, wanted: Mapping[StationId, int]) -> None:
        """Who has to draw less comes first: the sum never grows on the way."""
        known = [
            (live, limit_w)
            for id_, live in self._live.stations.items()
            if live.version is not None and (limit_w := live.failsafe_limit_w) is not None and wanted[id_] != limit_w
        ]
        less = [live for live, limit_w in known if wanted[live.station.id] < limit_w]
        more = [live for live, limit_w in known if wanted[live.station.id] > limit_w]
        for changed in (less, more):
            await asyncio.gather(*(self._tell_failsafe(live, wanted[live.station.id]) for live in changed))

    async def _install_failsafe(self, station: StationLive) -> bool:
        return await self._tell_failsafe(station, failsafe_limit_w(self._sites, self._live, station))

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
        station.failsafe_limit_w = limit_w
        return True


def floors(sites: Iterable[Site], live: Live) -> dict[StationId, int]:
    """The floor of every station, W."""
    by_id = {site.id: site for site in sites}
    below = _evses_below(by_id, live)
    return {id_: _failsafe_limit_w(by_id, below, station) for id_, station in live.stations.items()}


def failsafe_limit_w(sites: Iterable[Site], live: Live, station: StationLive) -> int:
    """What every EVSE may draw at once with nobody steering: an even share of the tightest limit above."""
    by_id = {site.id: site for site in sites}
    return _failsafe_limit_w(by_id, _evses_below(by_id, live), station)


def _failsafe_limit_w(by_id: Mapping[SiteId, Site], below: Mapping[SiteId, int], station: StationLive) -> int:
    shares = [by_id[id_].import_limit_w // max(below[id_], 1) for id_ in _ancestry(by_id, station.station.site)]
    ratings = [evse.evse.ratings for evse in station.evses.values()]
    if not shares:
        return 0  # a site that the configuration does not name has no known fuse
    share = min([*shares, *(rating.max_charge_w for rating in ratings)], default=0)
    least = max((rating.min_charge_w for rating in ratings), default=0)
    return share if share >= least else 0


def _evses_below(by_id: Mapping[SiteId, Site], live: Live) -> Counter[SiteId]:
    return Counter(above for _, evse in live.evses() for above in _ancestry(by_id, evse.evse.site))


def _ancestry(by_id: Mapping[SiteId, Site], site: SiteId) -> list[SiteId]:
    path: list[SiteId] = []
    node: SiteId | None = site
    while node is not None and node in by_id:
        path.append(node)
        node = by_id[node].parent
    return path


def _weakest(ratings: Iterable[Ratings]) -> Ratings:
    return min(ratings, key=lambda rating: rating.max_charge_w, default=Ratings())
