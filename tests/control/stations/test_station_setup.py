"""What a station is brought to after its boot or its return. V2G-6, V2G-62, field lesson 22."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import Live, StationLive
from csms.control.stations import setup
from csms.control.stations.setup import FAILSAFE_PROFILE, StationSetup
from csms.control.stations.shares import Shares
from csms.domain.commands import (
    Accepted,
    Command,
    Configure,
    InstallFailsafeLimit,
    Outcome,
    ReadConfiguration,
    ReadTransaction,
    Rejected,
    TimedOut,
    Trigger,
    TriggerKind,
    station_of,
)
from csms.domain.ids import EvseRef, SiteId, StationId, TransactionId
from csms.domain.live import StoredStatus
from csms.domain.snapshot import Site
from csms.domain.station import BootState, ConnectorStatus, HoldMethod, Quirks, Version
from csms.store import Write, reads
from tests.control.kit import AOI, CARD, START, S, ScriptedStations, SetClock, World, station, until

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
        self.clock = SetClock()
        self.written: list[Write] = []
        self.quirks = Quirks()
        self.changes: list[changes.Change] = []
        self.after: Callable[[], None] = lambda: None
        self.begin()

    def begin(self) -> None:
        store: Any = SimpleNamespace(writer=SimpleNamespace(put=self.written.append))
        ground = Ground(store, self.live, self.clock, self._spawn, self._later, self.changes.append)
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

    def tell_status(self, received_at: datetime) -> None:
        evse = self.station.evses[1]
        evse.cable.statuses[1] = StoredStatus(
            evse=evse.ref, connector=1, status=ConnectorStatus.AVAILABLE, at=received_at, received_at=received_at
        )

    def again(self, *steps: Callable[[StationLive], None]) -> list[object]:
        """What is sent for these alone, an hour later."""
        self.stations.sent.clear()
        self.tasks.clear()
        self.clock.pass_(3600)
        self.station.booted_at = self.clock.now() - timedelta(hours=1)
        return self.sent(*steps)

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
    assert scene.sent(scene.booted) == [ReadConfiguration, Configure, InstallFailsafeLimit, Trigger]
    _, configure, floor, trigger = scene.stations.sent
    assert configure == Configure(station=S, sample_interval_s=60)
    assert isinstance(floor, InstallFailsafeLimit)
    assert (floor.evse, floor.limit_w, floor.profile) == (EvseRef(S, 0), 7360, FAILSAFE_PROFILE)
    assert trigger == Trigger(evse=EvseRef(S, 0), kind=TriggerKind.STATUS)


def test_a_station_that_was_accepted_before_goes_on_where_it_was() -> None:
    """V2G-61, V2G-62: floor and statuses, no configuration."""
    scene = Scene()
    assert scene.sent(scene.returned) == [InstallFailsafeLimit, Trigger]


def test_what_a_station_kept_over_a_reconnect_is_not_sent_again_but_for_its_failsafe_limit() -> None:
    """C9: 38,000 calls went out to 5,000 stations that had kept all of it. Scenario 17: some lose their profiles with
    the socket, and the fuse rests on this one."""
    scene = Scene()
    scene.sent(scene.booted)
    assert scene.again(scene.returned) == [InstallFailsafeLimit, Trigger]


def test_a_station_that_boots_as_the_same_is_told_its_failsafe_limit_and_nothing_else() -> None:
    """C9, must hold 1: one call makes sure that the limit is there; the configuration outlives a boot."""
    scene = Scene()
    scene.sent(scene.booted)
    assert scene.again(scene.booted) == [InstallFailsafeLimit, Trigger]


@pytest.mark.parametrize("field", ["vendor", "model", "serial", "firmware"])
def test_another_station_behind_the_same_name_is_set_up_from_the_start(field: str) -> None:
    """C9: what it kept was kept by that hardware with that firmware."""
    scene = Scene()
    scene.sent(scene.booted)
    scene.station.station = replace(scene.station.station, **{field: "other"})
    assert scene.again(scene.booted) == [ReadConfiguration, Configure, InstallFailsafeLimit, Trigger]
    scene.station.station = replace(scene.station.station, **{field: "third"})
    assert scene.again(scene.returned) == [InstallFailsafeLimit, Trigger]


def test_a_set_up_that_was_not_answered_is_sent_again() -> None:
    """C9, must hold 1: only what is known to hold is left out."""
    scene = Scene()
    scene.stations.answer = lambda command: TimedOut()
    scene.sent(scene.booted)
    assert scene.again(scene.returned) == [InstallFailsafeLimit, Trigger]
    assert scene.again(scene.booted) == [ReadConfiguration, Configure, InstallFailsafeLimit, Trigger]


def test_another_failsafe_limit_is_told_on_return() -> None:
    """Must hold 1: what it kept is not what it may draw by now."""
    scene = Scene()
    scene.sent(scene.booted)
    scene.station.failsafe_limit_w = 8000
    assert scene.again(scene.returned) == [InstallFailsafeLimit, Trigger]


def test_a_station_that_told_its_statuses_since_its_boot_is_not_asked_for_them() -> None:
    """C9: stations tell them by themselves after a boot; one told before it says nothing."""
    scene = Scene()
    scene.station.booted_at = scene.clock.now()
    scene.tell_status(scene.clock.now() - timedelta(seconds=1))
    assert scene.sent(scene.booted) == [ReadConfiguration, Configure, InstallFailsafeLimit, Trigger]
    scene.tell_status(scene.clock.now())
    assert scene.again(scene.booted) == [InstallFailsafeLimit]


async def test_what_a_station_took_is_known_after_a_restart(w: World) -> None:
    """C9: a server that starts anew does not tell its whole fleet again."""
    await w.take(w.boot(), w.status(ConnectorStatus.AVAILABLE))
    await w.restart()
    w.stations.versions[S] = w.station.version = Version.V21
    w.stations.sent.clear()
    await w.take(w.boot())
    assert w.stations.of(ReadConfiguration) == w.stations.of(Configure) == []
    assert len(w.stations.of(InstallFailsafeLimit)) == 1


async def test_a_configuration_is_doubted_once_where_values_stop_coming(w: World) -> None:
    """C9, F9: a station that forgot its interval is told it again."""
    await w.take(w.boot(), w.event(0, token=CARD, charging_state="Charging"), w.metered(power_import_w=1000.0))
    w.station.is_settled = True
    w.stations.sent.clear()
    for _ in range(7):
        w.clock.pass_(60)
        await w.system.reactions.sweep()
        await w.quiet()
    assert len(w.stations.of(Configure)) == 1


def test_a_station_that_boots_right_after_it_came_back_is_set_up_once() -> None:
    """Field lesson 22: nothing before its boot, and nothing twice."""
    scene = Scene()
    assert scene.sent(scene.returned, scene.booted) == [
        ReadConfiguration,
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
    in_each_unit = [InstallFailsafeLimit] * 2
    assert scene.sent(scene.booted) == [ReadConfiguration, Configure, *in_each_unit, Trigger]


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
    assert Shares(TREE, live).limit_w(live.stations[StationId("s0")]) == limit_w


def test_the_floors_make_room_for_an_evse_that_comes_later() -> None:
    """Must hold 1: 50 kW for 6 EVSEs at 7.36 kW, then for 8; whoever draws less is told, once, the others nothing."""
    scene = Scene()
    scene.live.add(station(StationId("CS-6"), 5), Quirks())
    scene.stations.answer = lambda command: Accepted()
    assert scene.sent(scene.booted) == [ReadConfiguration, Configure, InstallFailsafeLimit, Trigger]
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
    shares = Shares(TREE, live)
    floors = {id_: shares.limit_w(one) * len(one.evses) for id_, one in live.stations.items()}
    assert floors[StationId("s0")] + floors[StationId("s1")] <= 20_000
    assert sum(floors.values()) <= 40_000


def test_what_is_done_for_one_station_looks_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: the failsafe limit of one station cost a walk over the fleet."""
    live = fleet(*[("house", 2)] * 50)
    shares = Shares(TREE, live)
    shares.limit_w(live.stations[StationId("s0")])
    looked_at: list[str] = []
    ancestry = shares._ancestry
    monkeypatch.setattr(shares, "_ancestry", lambda site: looked_at.append(site) or ancestry(site))
    for number in range(10):
        shares.limit_w(live.stations[StationId(f"s{number}")])
    assert len(looked_at) == 10
    shares.recount(live.stations[StationId("s0")])
    assert len(looked_at) == 12, "its own two EVSEs"


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["street", "house", "other", "nowhere"]), st.integers(0, 6)))
)
def test_sums_that_are_kept_are_those_that_would_be_counted(steps: list[tuple[int, str, int]]) -> None:
    """C9, must hold 1: after any order of stations that come and change."""
    live = fleet(("house", 1))
    shares = Shares(TREE, live)
    for number, site, evses in steps:
        changed = station(StationId(f"s{number}"), evses, site=site)
        one = live.add(changed, Quirks())
        for gone in [known for known in one.evses if known > evses]:
            del one.evses[gone]
        shares.recount(one)
        fresh = Shares(TREE, live)
        every = live.stations.values()
        assert [shares.limit_w(each) for each in every] == [fresh.limit_w(each) for each in every]


def test_shares_follow_a_station_that_gets_or_loses_evses() -> None:
    """Must hold 1: counted again, not twice."""
    live = fleet(("house", 2))
    shares = Shares(TREE, live)
    one = live.stations[StationId("s0")]
    assert shares.limit_w(one) == 7360
    live.add(station(StationId("s0"), 8, site="house"), Quirks())
    shares.recount(one)
    shares.recount(one)
    assert shares.limit_w(one) == 20_000 // 8


@pytest.mark.parametrize("version", [Version.V201, Version.V21])
def test_a_2_x_station_is_asked_for_the_status_of_each_evse(version: Version) -> None:
    """C5, F7: it rejects the question for the whole station."""
    scene = Scene()
    scene.live.add(station(evses=2), Quirks())
    scene.station.version = version
    scene.sent(scene.booted)
    asked = [trigger.evse for trigger in scene.stations.of(Trigger) if trigger.kind is TriggerKind.STATUS]
    assert asked == [EvseRef(S, 1), EvseRef(S, 2)]


@pytest.mark.parametrize(("ongoing", "denied"), [(True, False), (False, True), (None, False)])
def test_a_station_that_comes_back_is_asked_whether_its_transaction_still_runs(
    ongoing: bool | None,
    denied: bool,
) -> None:
    """F6, B6: GetTransactionStatus, 2.x."""
    scene = Scene()
    scene.station.version = Version.V201
    scene.station.evses[1].run.transaction = TransactionId("tx-1")
    scene.stations.answer = lambda command: Accepted({"ongoing": ongoing, "queued": False})
    scene.sent(scene.booted)
    assert [asked.transaction for asked in scene.stations.of(ReadTransaction)] == ["tx-1"]
    said_no = changes.Denied(scene.station.evses[1], TransactionId("tx-1"))
    assert (said_no in scene.changes) is denied


@pytest.mark.parametrize("how", ["booted", "returned"])
def test_a_station_is_quiet_until_it_has_booted_or_gone_on(how: str) -> None:
    """F8: setpoints and probes that leave before are read as inability."""
    scene = Scene()
    scene.station.is_settled = True
    scene.stations.gate.clear()
    before: list[bool] = []

    def meanwhile() -> None:
        before.append(scene.station.is_settled)
        scene.stations.gate.set()

    scene.sent(getattr(scene, how), after=meanwhile)
    assert before
    assert not any(before)
    assert scene.station.is_settled
    assert changes.StationSettled(scene.station) in scene.changes


def test_a_boot_while_the_set_up_of_the_boot_before_is_under_way_is_followed_by_a_set_up_of_its_own() -> None:
    """V2G-6, V2G-62, must hold 1: the new socket may be there before the calls of the old one have failed."""
    scene = Scene()
    scene.stations.gate.clear()
    limits: list[bool] = []

    def answer(command: Command) -> Outcome:
        if not isinstance(command, InstallFailsafeLimit):
            return Accepted()
        limits.append(scene.station.is_settled)
        return Accepted() if len(limits) > 1 else TimedOut()

    scene.stations.answer = answer

    async def run() -> None:
        scene.booted(scene.station)
        await until(lambda: bool(scene.stations.sent))
        scene.booted(scene.station)
        scene.stations.gate.set()
        await until(lambda: scene.station.is_settled)

    asyncio.run(run())
    assert scene.station.failsafe_limit_w == 7360
    assert limits == [False, False]


async def test_a_failsafe_limit_does_not_wait_behind_stations_that_do_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Must hold 1: a hundred silent stations were as many calls' time limits of waiting for all the others."""
    monkeypatch.setattr(setup, "SILENT_AFTER_S", 0.0)
    scene = Scene()
    silent = [scene.live.add(station(StationId(f"silent-{n}")), Quirks()) for n in range(2 * setup.STATIONS_AT_ONCE)]
    answered = scene.stations.send

    async def send(command: Command) -> Outcome:
        if station_of(command) != S:
            await asyncio.Event().wait()
        return await answered(command)

    monkeypatch.setattr(scene.stations, "send", send)
    for each in silent:
        each.version = Version.V16
        scene.booted(each)
    scene.booted(scene.station)
    await until(lambda: scene.station.failsafe_limit_w is not None)
    for task in scene.tasks:
        task.cancel()


async def test_no_more_stations_are_talked_to_at_a_time_than_answer_soon() -> None:
    """Field lesson 25: a whole fleet comes back."""
    scene = Scene()
    scene.stations.gate.clear()
    fleet = [scene.live.add(station(StationId(f"of-{n}")), Quirks()) for n in range(setup.STATIONS_AT_ONCE + 20)]
    for each in fleet:
        each.version = scene.stations.versions[each.station.id] = Version.V16
        scene.booted(each)
    await until(lambda: len(scene.stations.sent) >= setup.STATIONS_AT_ONCE)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(scene.stations.sent) == setup.STATIONS_AT_ONCE
    scene.stations.gate.set()
    await until(lambda: all(each.failsafe_limit_w is not None for each in fleet))


def test_a_station_that_still_replays_is_waited_for_but_not_for_ever() -> None:
    """F8: a queue, and a clock that is merely slow."""
    scene = Scene()
    scene.station.replayed_at = scene.clock.now()
    waits: list[float] = []
    later = scene._later

    def counted(seconds: float, begin: Callable[[], None]) -> None:
        waits.append(seconds)
        scene.clock.pass_(seconds)
        scene.station.replayed_at = scene.clock.now()
        later(seconds, begin)

    scene.setup._ground = replace(scene.setup._ground, later=counted)

    async def run() -> None:
        scene.returned(scene.station)
        for _ in range(400):
            await asyncio.sleep(0)
        await asyncio.gather(*scene.tasks)

    asyncio.run(run())
    assert scene.station.is_settled
    assert 60.0 <= sum(waits) <= 66.0


async def test_the_failsafe_limit_of_a_station_survives_a_restart(w: World) -> None:
    """A3: what an unreachable station may draw is known at once."""
    await w.take(w.boot())
    known = w.station.failsafe_limit_w
    assert known == 7360
    assert await w.store.read(reads.failsafe_limits) == {S: known}
    await w.restart()
    assert w.station.failsafe_limit_w == known


async def test_a_transaction_whose_values_stop_is_asked_for_them(w: World) -> None:
    """F9: after three missed intervals, once in so many."""
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(power_import_w=1000.0))
    w.station.is_settled = True
    asked = []
    for _ in range(7):
        w.clock.pass_(60)
        await w.system.reactions.sweep()
        await w.quiet()
        asked.append(len([one for one in w.stations.of(Trigger) if one.kind is TriggerKind.METER]))
    assert asked == [0, 0, 1, 1, 1, 2, 2]


async def test_a_transaction_of_before_the_power_cycle_is_over_where_the_station_waits_for_a_start(w: World) -> None:
    """F6, 1.6: Boot, Preparing; the cable was never out, and the vehicle may be started again."""
    await w.plug()
    await w.say()
    await w.take(w.started())
    w.clock.pass_(60)
    await w.take(w.boot())
    w.clock.pass_(2)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert w.evse.run.transaction is None
    assert w.evse.user == AOI
    assert not w.evse.is_over
    (record,) = await w.store.read(reads.transactions)
    assert (record.ended_at, record.incomplete) == (w.clock.now(), True)


async def test_a_transaction_that_the_station_denies_is_over_on_evidence(w: World) -> None:
    """F6, B6: 2.x; its Ended still replaces that."""
    await w.plug()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    w.stations.answer = lambda command: (
        Accepted({"ongoing": False, "queued": False}) if isinstance(command, ReadTransaction) else Accepted()
    )
    w.station.version = Version.V201
    w.clock.pass_(60)
    await w.take(w.boot())
    assert w.evse.run.transaction is None
    (record,) = await w.store.read(reads.transactions)
    assert (record.incomplete, record.stopped_reason) == (True, "presumed: the station says that it does not run")


def configured(scene: Scene) -> Configure:
    """What the station is told now that it boots, and nothing is known of what it took before."""
    scene.station.set_up_as = None
    scene.stations.sent.clear()
    scene.tasks.clear()
    scene.sent(scene.booted)
    return next(one for one in scene.stations.sent if isinstance(one, Configure))


def answering(
    values: dict[str, str], *, fixed: tuple[str, ...] = (), **taken: list[str]
) -> Callable[[Command], Outcome]:
    """A station that says what it has set, and what it makes of what it is told."""

    def answer(command: Command) -> Outcome:
        if isinstance(command, ReadConfiguration):
            return Accepted({"values": values, "fixed": list(fixed)})
        return Accepted(taken if isinstance(command, Configure) else {})

    return answer


def test_what_a_station_has_set_is_read_before_anything_is_written() -> None:
    """F5, lesson 22: what it cannot be told is not tried."""
    scene = Scene()
    scene.stations.answer = answering({"MeterValueSampleInterval": "30"}, fixed=("StopTxnSampledData",))
    command = configured(scene)
    assert (command.known, command.avoid) == ({"MeterValueSampleInterval": "30"}, {"StopTxnSampledData"})
    assert not command.starts_at_cable


def test_the_start_point_is_changed_where_a_quirk_asks_for_it_only() -> None:
    """F5: a station that begins its transaction with the cable rejected the remote start in it."""
    scene = Scene()
    scene.quirks = Quirks(hold=HoldMethod.UNAUTHORIZED)
    assert configured(scene).starts_at_cable


def test_what_a_station_refused_is_not_written_again_until_its_firmware_is_another() -> None:
    """Lesson 22: remember what it did not take."""
    scene = Scene()
    scene.stations.answer = answering({}, refused=["ConnectionTimeOut"])
    assert configured(scene).avoid == frozenset()
    assert configured(scene).avoid == {"ConnectionTimeOut"}
    scene.station.station = replace(scene.station.station, firmware="2.0")
    assert configured(scene).avoid == frozenset()


def test_a_station_that_boots_whenever_it_is_configured_is_left_alone() -> None:
    """Lesson 22: the loop is broken at its second turn; a boot long afterwards proves nothing."""
    scene = Scene()
    scene.stations.answer = answering({}, taken=["MeterValuesSampledData"])
    assert configured(scene).avoid == frozenset()
    scene.clock.pass_(3600)
    assert configured(scene).avoid == frozenset()
    scene.clock.pass_(40)
    assert configured(scene).avoid == {"MeterValuesSampledData"}
    scene.clock.pass_(3600)
    assert configured(scene).avoid == {"MeterValuesSampledData"}


def test_c5_a_station_that_shows_forty_connectors_takes_nothing_from_its_neighbour() -> None:
    """C5: the neighbour's failsafe limit fell to 0. Those that nobody approved share with their own station."""
    live = fleet(("house", 2), ("house", 2))
    shares = Shares(TREE, live)
    showing, neighbour = live.stations[StationId("s0")], live.stations[StationId("s1")]
    before_w = shares.limit_w(neighbour)
    for number in range(1, 41):
        live.discover(EvseRef(StationId("s0"), number))
    shares.recount(showing)
    assert len(showing.evses) == 40
    assert shares.limit_w(neighbour) == before_w == 5000
    assert shares.limit_w(showing) == 0, "its 10 kW are not enough for 40 at once"


def test_c5_one_evse_more_shares_with_its_own_station_until_it_is_approved() -> None:
    """Must hold 1: the sum of all failsafe limits stays within the fuse before and after."""
    live = fleet(("house", 2), ("house", 2))
    shares = Shares(TREE, live)
    showing, neighbour = live.stations[StationId("s0")], live.stations[StationId("s1")]
    live.discover(EvseRef(StationId("s0"), 3))
    shares.recount(showing)
    assert (shares.limit_w(showing), shares.limit_w(neighbour)) == (10_000 // 3, 5000)
    approved = tuple(replace(evse, approved=True) for evse in showing.station.evses)
    live.add(replace(showing.station, evses=approved), Quirks())
    shares.recount(showing)
    assert (shares.limit_w(showing), shares.limit_w(neighbour)) == (4000, 4000)


def test_a_station_that_boots_at_a_key_it_was_told_is_not_told_it_again() -> None:
    """Lesson 22: it left without an answer to that key, and would boot at it for ever."""
    scene = Scene()
    scene.stations.answer = answering({}, unanswered=["ConnectionTimeOut"])
    assert configured(scene).avoid == frozenset()
    scene.clock.pass_(40)
    assert configured(scene).avoid == {"ConnectionTimeOut"}
