"""What a station is brought to after its boot or its return. V2G-6, V2G-62, field lesson 22."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import Live, StationLive
from csms.control.stations.setup import FAILSAFE_PROFILE, StationSetup, failsafe_limit_w
from csms.domain.commands import Accepted, Configure, InstallFailsafeLimit, Rejected, Trigger, TriggerKind
from csms.domain.ids import EvseRef, SiteId, StationId, TransactionId
from csms.domain.snapshot import Site
from csms.domain.station import BootState, Quirks, Version
from tests.control.kit import START, S, ScriptedStations, SetClock, World, station

TREE = (
    Site(id=SiteId("street"), import_limit_w=40_000),
    Site(id=SiteId("house"), parent=SiteId("street"), import_limit_w=20_000),
    Site(id=SiteId("other"), parent=SiteId("street"), import_limit_w=90_000),
)
SITES = (Site(id=SiteId("default"), import_limit_w=50_000),)


class Scene:
    """One station without a store, and no waiting."""

    def __init__(self, boot_state: BootState = BootState.ACCEPTED, sites: tuple[Site, ...] = SITES) -> None:
        self.live = Live(lambda station: None)
        self.station = self.live.add(station(boot_state=boot_state), Quirks())
        self.station.version = Version.V16
        self.stations = ScriptedStations({S: Version.V16})
        self.tasks: list[asyncio.Task[None]] = []
        self.sites = sites
        self.quirks = Quirks()
        self.changes: list[changes.Change] = []
        self.after: Callable[[], None] = lambda: None
        self.begin()

    def begin(self) -> None:
        store: Any = None  # it writes nothing
        ground = Ground(store, self.live, SetClock(), self._spawn, self._later, self.changes.append)
        self.setup = StationSetup(ground, self.stations, self.sites, 60, lambda version, known: self.quirks)

    def _later(self, seconds: float, begin: Callable[[], None]) -> None:
        assert seconds > 0
        asyncio.get_running_loop().call_soon(self.after)
        asyncio.get_running_loop().call_soon(begin)

    def booted(self, station: StationLive) -> None:
        self.setup.booted(changes.StationBooted(station))

    def returned(self, station: StationLive) -> None:
        self.setup.returned(changes.StationConnected(station))

    def level(self, station: StationLive) -> None:
        self.setup.level(changes.FleetChanged(station))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> object:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))
        return self.tasks[-1]

    def sent(self, *steps: Callable[[StationLive], None], after: Callable[[], None] = lambda: None) -> list[object]:
        """What is sent when these happen one after another; ``after`` happens while the first of them wait."""

        self.after = after

        async def run() -> None:
            for step in steps:
                step(self.station)
            for _ in range(5):
                await asyncio.sleep(0)
            if not self.stations.gate.is_set():
                after()
            await asyncio.gather(*self.tasks)

        asyncio.run(run())
        return [type(one) for one in self.stations.sent]


def test_a_booted_station_is_set_up_from_the_start() -> None:
    """V2G-6, V2G-25: metering, then the failsafe limit, then the statuses."""
    scene = Scene()
    assert scene.sent(scene.booted) == [Configure, InstallFailsafeLimit, Trigger]
    configure, floor, trigger = scene.stations.sent
    assert configure == Configure(station=S, sample_interval_s=60)
    assert isinstance(floor, InstallFailsafeLimit)
    assert (floor.evse, floor.limit_w, floor.profile) == (EvseRef(S, 0), 7360, FAILSAFE_PROFILE)
    assert trigger == Trigger(evse=EvseRef(S, 0), kind=TriggerKind.STATUS)


def test_a_station_that_was_accepted_before_goes_on_where_it_was() -> None:
    """V2G-61, V2G-62: floor and statuses, no configuration."""
    scene = Scene()
    assert scene.sent(scene.returned) == [InstallFailsafeLimit, Trigger]


def test_a_station_that_boots_right_after_it_came_back_is_set_up_once() -> None:
    """Field lesson 22: nothing before its boot, and nothing twice."""
    scene = Scene()
    assert scene.sent(scene.returned, scene.booted) == [
        Configure,
        InstallFailsafeLimit,
        Trigger,
    ]


def test_a_station_that_came_back_and_left_again_is_told_nothing() -> None:
    scene = Scene()

    def leave() -> None:
        scene.station.version = None

    assert scene.sent(scene.returned, after=leave) == []


def test_a_station_that_never_booted_is_asked_to_after_a_while_and_told_nothing_before() -> None:
    """Field lesson 22."""
    scene = Scene(BootState.NEVER)
    scene.sent(scene.returned)
    assert scene.stations.sent == [Trigger(evse=EvseRef(S, 0), kind=TriggerKind.BOOT)]


@pytest.mark.parametrize("why", ["booted", "left"])
def test_a_station_that_boots_or_leaves_meanwhile_is_not_asked(why: str) -> None:
    """Field lesson 22."""
    scene = Scene(BootState.NEVER)

    def meanwhile() -> None:
        if why == "left":
            scene.station.version = None
        else:
            scene.station.station = replace(scene.station.station, boot_state=BootState.ACCEPTED)

    assert scene.sent(scene.returned, after=meanwhile) == []


def test_the_same_step_is_never_underway_twice() -> None:
    """Field lesson 25: stations that reconnect in a loop."""
    scene = Scene()
    scene.stations.gate.clear()
    steps = scene.returned, scene.returned
    assert scene.sent(*steps, after=scene.stations.gate.set) == [InstallFailsafeLimit, Trigger]


def test_a_refused_floor_does_not_stop_the_rest() -> None:
    scene = Scene()
    scene.stations.answer = lambda command: Rejected("no")
    assert scene.sent(scene.booted) == [Configure, InstallFailsafeLimit, Trigger]


@pytest.mark.parametrize("how", ["returned", "booted"])
async def test_what_a_station_was_told_before_it_went_away_is_told_again(w: World, how: str) -> None:
    """V2G-12: it may have forgotten."""
    w.evse.told.sent_at, w.evse.told.dynamic_transaction = START, TransactionId("tx-1")
    if how == "booted":
        await w.take(w.boot())
    else:
        w.system.rooms.intake.connected(S, Version.V21)
    assert (w.evse.told.setpoint, w.evse.told.sent_at, w.evse.told.dynamic_transaction) == (None, None, None)


def test_its_quirks_are_looked_up_again_when_a_station_returns() -> None:
    """Version and firmware may be others."""
    scene = Scene()
    scene.quirks = Quirks(name="looked up")
    scene.sent(scene.returned)
    assert scene.station.quirks.name == "looked up"


def fleet(*places: tuple[str, int]) -> Live:
    live = Live(lambda station: None)
    for n, (site, evses) in enumerate(places):
        live.add(station(StationId(f"s{n}"), evses, site=site), Quirks())
    return live


@pytest.mark.parametrize(
    ("places", "limit_w"),
    [
        ([("house", 1)], 7360),
        ([("house", 2), ("house", 2)], 5000),
        ([("house", 2), ("other", 8)], 4000),
        ([("house", 1), ("other", 39)], 0),
        ([("removed", 1)], 0),
    ],
    ids=["its rating", "its site", "the site above", "below the least power", "no known fuse"],
)
def test_the_floor_is_an_even_share_of_the_tightest_limit_above(places: list[tuple[str, int]], limit_w: int) -> None:
    """Must hold 1: with nobody steering, every site stays inside its fuse."""
    live = fleet(*places)
    assert failsafe_limit_w(TREE, live, live.stations[StationId("s0")]) == limit_w


def test_the_floors_make_room_for_an_evse_that_comes_later() -> None:
    """Must hold 1: 50 kW for 6 EVSEs at 7.36 kW, then for 8; whoever draws less is told, once, the others nothing."""
    scene = Scene()
    scene.live.add(station(StationId("CS-6"), 5), Quirks())
    scene.stations.answer = lambda command: Accepted()
    assert scene.sent(scene.booted) == [Configure, InstallFailsafeLimit, Trigger]
    del scene.stations.sent[:], scene.tasks[:]
    scene.live.add(station(StationId("CS-8"), 2), Quirks())
    assert scene.sent(scene.level, scene.level) == [InstallFailsafeLimit]
    (floor,) = scene.stations.of(InstallFailsafeLimit)
    assert floor.limit_w == 50_000 // 8
    del scene.stations.sent[:], scene.tasks[:]
    assert scene.sent(scene.level) == []


def test_whoever_has_to_draw_less_is_told_first() -> None:
    """Must hold 1: the sum never grows on the way."""
    scene = Scene(sites=TREE)
    scene.live = fleet(("house", 1), ("house", 1), ("house", 1))
    scene.begin()
    for (id_, one), limit_w in zip(scene.live.stations.items(), (1000, 9000, 7360), strict=True):
        one.version, one.failsafe_limit_w = Version.V16, limit_w
        scene.stations.versions[id_] = Version.V16
    scene.sent(scene.level)
    assert [(sent.evse.station, sent.limit_w) for sent in scene.stations.of(InstallFailsafeLimit)] == [
        (StationId("s1"), 20_000 // 3),
        (StationId("s2"), 20_000 // 3),
        (StationId("s0"), 20_000 // 3),
    ]


def test_all_floors_together_stay_inside_every_limit() -> None:
    """Must hold 1."""
    live = fleet(("house", 3), ("house", 2), ("other", 4), ("street", 1))
    floors = {id_: failsafe_limit_w(TREE, live, one) * len(one.evses) for id_, one in live.stations.items()}
    assert floors[StationId("s0")] + floors[StationId("s1")] <= 20_000
    assert sum(floors.values()) <= 40_000
