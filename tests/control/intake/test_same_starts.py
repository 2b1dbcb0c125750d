"""One 1.6 start, or the next one with the same natural key. V2G-54, field lessons 9-15."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from csms.domain.facts import TransactionStarted
from csms.domain.station import ConnectorStatus
from csms.store import reads
from tests.control.kit import E1, START, World

FROZEN = "2026-07-01T08:59:00Z"
FROZEN_AT = START - timedelta(minutes=1)
NEVER = "1970-01-01T00:00:09Z"
NEVER_AT = datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC)


async def start(w: World, fact: TransactionStarted) -> int:
    (answer,) = await w.take(fact)
    number = answer.transaction  # type: ignore[union-attr]
    assert isinstance(number, int)
    return number


def frozen(w: World) -> TransactionStarted:
    """The same card at a meter that starts from 0, by a clock that stands still."""
    return w.started(at=FROZEN_AT, stated=FROZEN)


def never_set(w: World) -> TransactionStarted:
    """Seconds after a boot, by a clock that counts from 1970; decoding dates it by its arrival."""
    return w.started(stated=NEVER, device_at=NEVER_AT)


async def energies(w: World) -> list[tuple[int | None, int | None]]:
    records = await w.store.read(partial(reads.transactions, station=E1.station))
    return [(record.meter_start_wh, record.meter_stop_wh) for record in records]


@pytest.mark.parametrize("restarts", [False, True])
async def test_two_sessions_of_a_frozen_clock_are_two_transactions(w: World, *, restarts: bool) -> None:
    """S3: same card, meter start 0: the second got the first's id, and its energy was lost."""
    first = await start(w, frozen(w))
    w.clock.pass_(3600)
    await w.take(w.stopped(first, at=FROZEN_AT, stated=FROZEN, meter_stop_wh=7000))
    if restarts:
        await w.restart()
    w.clock.pass_(3600)
    second = await start(w, frozen(w))
    w.clock.pass_(3600)
    await w.take(w.stopped(second, at=FROZEN_AT, stated=FROZEN, meter_stop_wh=4000))
    assert first != second
    assert await energies(w) == [(0, 7000), (0, 4000)]
    w.clock.pass_(60)
    third = await start(w, frozen(w))
    assert third not in {first, second}
    assert await start(w, frozen(w)) == third, "nobody has named it yet"


async def test_two_sessions_of_a_clock_that_was_never_set_are_two_transactions(w: World) -> None:
    """S3: nine seconds after each boot somebody's card starts one; its stop is later by the same clock."""
    first = await start(w, never_set(w))
    stop = w.stopped(first, stated="1970-01-01T01:00:09Z", device_at=NEVER_AT + timedelta(hours=1), meter_stop_wh=7000)
    w.clock.pass_(3600)
    await w.take(replace(stop, at=w.clock.now()))
    w.clock.pass_(3600)
    assert await start(w, never_set(w)) != first


async def test_a_station_that_lost_its_power_in_a_session_begins_another(w: World) -> None:
    """It named the first in its values, so it was answered; that one is presumed over (lesson 13)."""
    first = await start(w, frozen(w))
    w.clock.pass_(600)
    await w.take(w.metered(transaction=first, at=FROZEN_AT, import_wh=900.0))
    w.clock.pass_(600)
    second = await start(w, frozen(w))
    assert second != first
    assert w.evse.run.transaction == str(second)
    records = await w.store.read(partial(reads.transactions, station=E1.station))
    assert [record.ended_at is None for record in records] == [False, True]


@pytest.mark.parametrize("seen", [(), (ConnectorStatus.AVAILABLE,)])
async def test_a_start_whose_answer_was_lost_is_one_also_after_its_vehicle_left(
    w: World, seen: tuple[ConnectorStatus, ...]
) -> None:
    """Lesson 9: the stop was queued offline and names no id. The present comes first, then the start again, then it."""
    first = await start(w, frozen(w))
    w.clock.pass_(3600)
    await w.take(*(w.status(kind) for kind in seen))
    w.clock.pass_(120)
    await w.system.reactions.sweep()
    await w.quiet()
    assert await start(w, frozen(w)) == first
    await w.take(w.stopped(first, at=FROZEN_AT, stated=FROZEN, meter_stop_wh=7000))
    assert await energies(w) == [(0, 7000)]


async def test_a_stop_that_named_no_id_does_not_make_the_repeated_start_another(w: World) -> None:
    """Lesson 11: its answer was lost, the stop says -1 and is matched; the start comes again behind it."""
    first = await start(w, frozen(w))
    w.clock.pass_(600)
    await w.take(w.stopped(-1, at=FROZEN_AT, stated=FROZEN, meter_stop_wh=7000))
    assert await start(w, frozen(w)) == first
    assert await energies(w) == [(0, 7000)]


async def test_a_queue_that_is_sent_twice_by_a_clock_that_runs_is_one_session(w: World) -> None:
    """Lesson 12: the station forgot what was confirmed."""
    began, over = w.clock.now(), w.clock.pass_(3600)
    first = await start(w, w.started(at=began))
    await w.take(w.stopped(first, at=over, meter_stop_wh=7000))
    w.clock.pass_(3600)
    assert await start(w, w.started(at=began)) == first
    await w.take(w.stopped(first, at=over, meter_stop_wh=7000))
    assert await energies(w) == [(0, 7000)]
