"""The control as one thing: what follows from time alone, and a start from the store."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from csms.control.dispatch.dispatch import Dispatch
from csms.control.state import changes
from csms.control.state.events import new_event_id
from csms.control.state.feed import Feed
from csms.control.timetable import Timetable
from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import BadRequest, Conflict, NotFound
from csms.domain.ids import AreaId
from csms.domain.permission import PermissionState
from csms.domain.station import ConnectorStatus, Version
from csms.domain.tariff import PriceStep
from csms.store import reads
from tests.control.kit import AOI, CARD, E2, KEN, START, S, World, station, world

AREA = AreaId("default")


def event(**changed: object) -> DrEvent:
    made = DrEvent(
        id=new_event_id(),
        direction=Direction.DOWN,
        requested_w=1000,
        starts_at=START,
        ends_at=START + timedelta(hours=1),
        created_at=START,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "is_there"), [(2.9, True), (3.0, False)])
async def test_a_free_connector_ends_the_plug_in_after_the_bounce_time(
    w: World, seconds: float, is_there: bool
) -> None:
    """V2G-24: 3 s."""
    await w.plug()
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(seconds)
    await w.system.reactions.sweep()
    assert (w.evse.plug_in is not None) is is_there


@pytest.mark.parametrize(("seconds", "is_there"), [(149.9, True), (150.0, False)])
async def test_a_free_connector_with_an_open_transaction_is_only_suspect_for_some_samples(
    w: World, seconds: float, is_there: bool
) -> None:
    """Field lessons 13 and 14: 2.5 intervals of 60 s; and its late stop then changes nothing for the next vehicle."""
    await w.plug()
    (started,) = await w.take(w.started())
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(seconds)
    await w.system.reactions.sweep()
    await w.quiet()
    assert (w.evse.plug_in is not None) is is_there
    if not is_there:
        await w.plug(None)
        before = w.plug_in
        await w.take(w.stopped(started.transaction))  # type: ignore[union-attr]
        assert w.evse.plug_in == before


async def test_what_ended_is_kept_with_its_last_state_of_charge(w: World) -> None:
    """P13."""
    await w.resource()
    id_ = w.plug_in.id
    await w.take(w.metered(soc_percent=81.0), w.ended(1, stopped_reason="EVDisconnected"))
    kept = await w.store.read(partial(reads.plug_in, id=id_))
    assert kept is not None
    assert (kept.soc_at_start_percent, kept.soc_percent, kept.unplugged_at) == (80.0, 81.0, w.clock.now())


@pytest.mark.parametrize(("interval_s", "grace_s"), [(1, 60), (24, 60), (60, 150), (900, 2250)])
async def test_how_long_a_free_connector_is_suspect_depends_on_how_often_it_is_metered(
    tmp_path: Path, interval_s: int, grace_s: int
) -> None:
    """Field lesson 14: power that flows must have had time to show."""
    async with world(tmp_path, metering={"sample_interval_s": interval_s}) as w:
        await w.take(w.started(), w.status(ConnectorStatus.AVAILABLE))
        w.clock.pass_(grace_s - 0.1)
        await w.system.reactions.sweep()
        assert w.evse.plug_in is not None
        w.clock.pass_(0.1)
        await w.system.reactions.sweep()
        assert w.evse.plug_in is None


async def test_a_restarted_server_knows_what_it_knew(tmp_path: Path) -> None:
    """Must hold 3: through the real start and stop."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.resource()
        made = await w.system.events.create(event())
        await w.system.prices.put(AREA, [PriceStep(START, Decimal(99))], None)
        before = w.plug_in
        await w.restart()
        again = w.system
        assert not again.is_ready
        again.run()
        try:
            assert again.is_ready
            evse = again.live.find(before.evse)
            assert evse is not None
            assert (evse.plug_in, evse.run.transaction, evse.run.authorized) == (before, "tx-1", True)
            assert [known.id for known in again.events.open()] == [made.id]
            assert again.prices.series(AREA, START).at(START) == Decimal(99)
            assert again.tokens.find(CARD) is not None
            assert again.rooms.intake._ids.left > 0
            assert again.live.stations[S].version is None
        finally:
            await again.stop()
        assert not again.is_ready


async def test_when_a_station_was_last_heard_survives(w: World) -> None:
    w.clock.pass_(50)
    await w.take(w.boot())
    w.clock.pass_(50)
    w.system.rooms.intake.connected(S, Version.V16)
    await w.system.heartbeats.flush()
    await w.quiet()
    kept = await w.store.read(partial(reads.station, id=S))
    assert kept is not None
    assert kept.last_heard_at == w.clock.now()


async def test_a_part_that_fails_harms_no_other(w: World) -> None:
    """Whatever is begun beside is logged when it fails."""

    async def failing() -> None:
        raise RuntimeError("no")

    task = w.system.tasks.spawn(failing())
    await asyncio.wait([task])
    await w.plug()
    assert w.plug_in.user == AOI


async def test_one_tick_that_fails_is_not_the_last(w: World) -> None:
    """Setpoints expire into the failsafe limit meanwhile."""
    ticks = asyncio.Queue[int]()

    class Failing(Dispatch):
        async def tick(self) -> object:  # type: ignore[override]
            ticks.put_nowait(1)
            raise RuntimeError("a bad tick")

    old = w.system.rooms.dispatch
    failing = Failing(w.system.ground, old.snapshots, old.queue, old._probing, old._settings, w.policies)
    task = asyncio.ensure_future(failing.run())
    for _ in range(2):
        failing.wake(changes.PricesPublished(START))
        await asyncio.wait_for(ticks.get(), 5)
    task.cancel()


# --- DR events and prices ---


async def test_an_event_is_kept_and_wakes_the_dispatch(w: World) -> None:
    """P12."""
    made = await w.system.events.create(event())
    assert w.system.rooms.dispatch._due.is_set()
    assert await w.store.read(partial(reads.dr_event, id=made.id)) == made
    assert await w.system.events.get(made.id) == made


async def test_an_event_that_cannot_be_is_refused_with_the_field(w: World) -> None:
    with pytest.raises(BadRequest) as unknown:
        await w.system.events.create(event(areas=frozenset({AreaId("moon")})))
    with pytest.raises(BadRequest) as over:
        await w.system.events.create(event(ends_at=START))
    assert (unknown.value.field, over.value.field) == ("areas", "ends_at")
    with pytest.raises(NotFound):
        await w.system.events.get(new_event_id())


async def test_a_cancelled_event_ends_now_and_only_once(w: World) -> None:
    made = await w.system.events.create(event())
    w.clock.pass_(60)
    cancelled = await w.system.events.cancel(made.id)
    assert cancelled.stops_at == w.clock.now()
    assert w.system.events.open() == []
    with pytest.raises(Conflict):
        await w.system.events.cancel(made.id)


async def test_an_event_is_open_until_it_has_ended(w: World) -> None:
    await w.system.events.create(event(starts_at=START + timedelta(minutes=30)))
    assert len(w.system.events.open()) == 1
    assert w.system.rooms.dispatch.snapshots.snapshot().events == ()
    w.clock.pass_(3600)
    assert w.system.events.open() == []


async def test_a_published_series_lies_over_the_tariff(w: World) -> None:
    """P11."""
    await w.system.prices.put(AREA, [PriceStep(START, Decimal(45))], START + timedelta(hours=1))
    series = w.system.prices.series(AREA, START)
    at = [START - timedelta(minutes=1), START, START + timedelta(hours=1)]
    assert [series.at(instant) for instant in at] == [30, 45, 30]
    with pytest.raises(NotFound):
        await w.system.prices.put(AreaId("moon"), [], None)


# --- terminals ---


async def test_a_bell_that_is_rung_often_wakes_once_and_only_its_user() -> None:
    """P3: Server-Sent Events."""
    feed = Feed()
    with feed.subscribe(AOI) as mine, feed.subscribe(KEN) as other:
        feed.changed(AOI)
        feed.changed(AOI)
        feed.changed(None)
        await asyncio.wait_for(mine.wait(), 1)
        assert not mine._rung.is_set()
        assert not other._rung.is_set()
    feed.changed(AOI)
    assert feed._bells == {}


async def test_a_job_that_fails_comes_again() -> None:
    """Timetable."""
    timetable, runs = Timetable(), asyncio.Queue[int]()

    async def failing() -> None:
        runs.put_nowait(1)
        raise RuntimeError("no")

    timetable.every(0.01, "failing", failing)
    timetable.start()
    for _ in range(2):
        await asyncio.wait_for(runs.get(), 5)
    timetable.stop()


async def test_a_run_that_lasts_longer_than_its_period_is_not_begun_again_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Timetable: a sliced sweep of a large fleet; the scheduler's own warning came every period."""
    timetable, due, goes_on, runs = Timetable(), asyncio.Event(), asyncio.Event(), asyncio.Queue[int]()
    periods: list[int] = []

    async def long() -> None:
        runs.put_nowait(1)
        await goes_on.wait()

    async def beat() -> None:
        periods.append(1)
        if len(periods) >= 10:
            due.set()

    with capture_logs() as told:
        timetable.every(0.01, "long", long)
        timetable.every(0.02, "beat", beat)
        timetable.start()
        await asyncio.wait_for(due.wait(), 30)
        assert runs.qsize() == 1
        goes_on.set()
        for _ in range(2):
            await asyncio.wait_for(runs.get(), 30)
        timetable.stop()
    assert [line["job"] for line in told if line["event"] == "timetable.lasts"] == ["long"]
    assert not [record for record in caplog.records if "maximum number" in record.getMessage()]


async def test_two_vehicles_at_one_station_are_two_questions(tmp_path: Path) -> None:
    """P3."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.person(KEN, None, None)
        await w.plug()
        await w.plug(KEN, E2)
        await w.say()
        other = w.at(E2).plug_in
        assert other is not None
        assert (w.plug_in.permission.state, other.permission.state) == (PermissionState.GRANTED, PermissionState.ASKED)
