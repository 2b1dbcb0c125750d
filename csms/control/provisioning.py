"""What a station is brought to after its boot or its return: metering, safe floor, statuses. V2G-6, V2G-62.

After a boot and never before it (field lesson 22).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from csms.control.live import Live, StationLive
from csms.control.outbox import Spawn
from csms.domain.commands import Accepted, Configure, InstallFloor, Trigger, TriggerKind
from csms.domain.ids import EvseRef, SiteId
from csms.domain.ports import Stations
from csms.domain.snapshot import Site
from csms.domain.station import BootState, Electrics, ProbeState, Quirks

log = structlog.get_logger()

FLOOR_PROFILE = 1
BOOT_AWAITED_S = 5.0
"""A station that connects without a boot is asked for one after this, unless it was accepted before."""


class Provisioning:
    """Talks to each station after it booted or came back."""

    def __init__(self, live: Live, stations: Stations, sites: tuple[Site, ...], sample_interval_s: int) -> None:
        self._live = live
        self._stations = stations
        self._sites = sites
        self._sample_interval_s = sample_interval_s
        self.quirks_for: Callable[[StationLive], Quirks] = lambda station: station.quirks
        self.spawn: Spawn = lambda coroutine: coroutine.close()
        self.pause: Callable[[float], Awaitable[object]] = asyncio.sleep
        self._underway: set[str] = set()

    def booted(self, station: StationLive) -> None:
        """A boot was accepted: set the station up from the start."""
        self._renew(station)
        self.spawn(self._once(station, self._set_up))

    def returned(self, station: StationLive) -> None:
        """A socket is there again. An accepted station goes on where it was; another is asked to boot (lesson 22)."""
        self._renew(station)
        is_accepted = station.station.boot_state is BootState.ACCEPTED
        self.spawn(self._once(station, self._reconcile if is_accepted else self._ask_to_boot))

    def _renew(self, station: StationLive) -> None:
        """V2G-62: the station may have missed or forgotten anything; what it is told is told again (V2G-12).

        A discharge proven through one driver is not proven through another (V2G-8).
        """
        before, station.quirks = station.quirks, self.quirks_for(station)
        for evse in station.evses.values():
            evse.forget_setpoint()
            if before.driver is not station.quirks.driver and evse.probe_state is not ProbeState.UNSAFE:
                evse.probe_state = ProbeState.UNTRIED

    async def _once(self, station: StationLive, step: Callable[[StationLive], object]) -> None:
        key = f"{station.station.id}:{getattr(step, '__name__', '')}"
        if key in self._underway:
            return
        self._underway.add(key)
        try:
            await step(station)  # type: ignore[misc]  # every step is a coroutine function
        finally:
            self._underway.discard(key)

    async def _set_up(self, station: StationLive) -> None:
        id_ = station.station.id
        configured = await self._stations.send(Configure(station=id_, sample_interval_s=self._sample_interval_s))
        floor = await self._install_floor(station)
        await self._stations.send(Trigger(evse=EvseRef(id_, 0), kind=TriggerKind.STATUS))
        log.info("station.set_up", station=id_, configured=repr(configured), floor=floor)

    async def _reconcile(self, station: StationLive) -> None:
        await self._install_floor(station)
        await self._stations.send(Trigger(evse=EvseRef(station.station.id, 0), kind=TriggerKind.STATUS))

    async def _ask_to_boot(self, station: StationLive) -> None:
        await self.pause(BOOT_AWAITED_S)
        if station.station.boot_state is BootState.NEVER and station.version is not None:
            await self._stations.send(Trigger(evse=EvseRef(station.station.id, 0), kind=TriggerKind.BOOT))

    async def _install_floor(self, station: StationLive) -> bool:
        limit_w = floor_w(self._sites, self._live, station)
        electrics = _weakest(evse.evse.electrics for evse in station.evses.values())
        command = InstallFloor(
            evse=EvseRef(station.station.id, 0),
            limit_w=limit_w,
            rate_unit=station.quirks.rate_unit,
            electrics=electrics,
            profile=FLOOR_PROFILE,
        )
        outcome = await self._stations.send(command)
        if not isinstance(outcome, Accepted):
            log.warning("floor.refused", station=station.station.id, outcome=repr(outcome))
        return isinstance(outcome, Accepted)


def floor_w(sites: Iterable[Site], live: Live, station: StationLive) -> int:
    """What every EVSE may draw at once with nobody steering: an even share of the tightest limit above."""
    by_id = {site.id: site for site in sites}
    shares = []
    node = by_id.get(station.station.site)
    while node is not None:
        below = _evses_below(by_id, live, node.id)
        shares.append(node.import_limit_w // max(below, 1))
        node = by_id.get(node.parent) if node.parent else None
    ratings = [evse.evse.electrics for evse in station.evses.values()]
    if not shares:
        return 0  # a site that the configuration does not name has no known fuse
    share = min([*shares, *(rating.max_charge_w for rating in ratings)], default=0)
    least = max((rating.min_charge_w for rating in ratings), default=0)
    return share if share >= least else 0


def _evses_below(by_id: dict[SiteId, Site], live: Live, ancestor: SiteId) -> int:
    return sum(1 for _, evse in live.evses() if ancestor in _ancestry(by_id, evse.evse.site))


def _ancestry(by_id: dict[SiteId, Site], site: SiteId) -> list[SiteId]:
    path: list[SiteId] = []
    node: SiteId | None = site
    while node is not None and node in by_id:
        path.append(node)
        node = by_id[node].parent
    return path


def _weakest(ratings: Iterable[Electrics]) -> Electrics:
    return min(ratings, key=lambda rating: rating.max_charge_w, default=Electrics())
