"""The one writer: durable, in order, and never stopped by one bad item."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select, text

from csms.domain.conditions import Conditions, Pattern
from csms.domain.errors import BadDatabase, Conflict, CsmsError
from csms.store import Store, Write, open_store, writes
from csms.store.batch import commit_batch
from csms.store.database import parse_url
from csms.store.facts import write_of
from csms.store.tables import METER_VALUE, QUARANTINE, SECRET
from tests.store.made import USER, metered, reading, started


class Heartbeat:
    """Collects what the writer tells."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self._news = asyncio.Event()

    def __call__(self, what: Any) -> None:
        self.told.append(what)
        self._news.set()

    async def until(self, count: int) -> list[Any]:
        while len(self.told) < count:
            self._news.clear()
            await self._news.wait()
        return self.told


def rows_of(minute: float, message_id: str = "m", **changed: Any) -> tuple:
    return write_of(metered(reading(minute, **changed), message_id=message_id))[0]


async def stored_minutes(store: Store) -> int:
    return len(await store.read(lambda conn: conn.execute(select(METER_VALUE.c.id)).all()))


async def test_what_is_done_is_stored(store: Store) -> None:
    heard = Heartbeat()
    for n in range(50):
        store.writer.put(Write(rows_of(n), done=heard))
    await heard.until(50)
    assert await stored_minutes(store) == 50


async def test_run_gives_the_result_and_is_durable(store: Store) -> None:
    assert await store.writer.run(lambda conn: writes.reserve_transaction_ids(conn, 10)) == 1
    assert await store.writer.run(lambda conn: writes.reserve_transaction_ids(conn, 1)) == 11


async def test_works_run_in_order_after_the_rows_before_them(store: Store) -> None:
    """An item's rows and work never overtake an earlier item's."""
    heard = Heartbeat()

    def seen(conn: Connection) -> int:
        return len(conn.execute(select(METER_VALUE.c.id)).all())

    for n in range(5):
        store.writer.put(Write(rows_of(n), seen, heard))
        store.writer.put(Write(rows_of(n + 100), done=lambda _: None))
    assert await heard.until(5) == [1, 3, 5, 7, 9]


async def test_a_work_that_raises_tells_its_caller_and_leaves_nothing(store: Store) -> None:
    def fails(conn: Connection) -> None:
        writes.put_secret(conn, "x", "y")
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        await store.writer.run(fails)
    assert await store.read(lambda conn: conn.execute(select(SECRET)).all()) == []


async def test_a_broken_constraint_is_a_conflict(store: Store) -> None:
    """Callers never see the database's own errors."""
    with pytest.raises(Conflict, match="does not fit"):
        await store.writer.run(lambda conn: writes.save_pattern(conn, USER, Pattern(name="n", conditions=Conditions())))


async def test_a_failed_read_is_a_bad_database(store: Store) -> None:
    with pytest.raises(BadDatabase, match="read:"):
        await store.read(lambda conn: conn.execute(text("SELECT * FROM nowhere")))


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(CsmsError):
        await store.read(lambda conn: writes.put_secret(conn, "x", "y"))


POISON = {"evse": 2**70}


def poison(n: int = 0) -> tuple:
    (table, row), *_ = rows_of(n)
    return ((table, row | POISON),)


async def test_a_poison_row_blocks_nobody_and_goes_to_the_quarantine(store: Store) -> None:
    """Design §3: a failed batch is bisected."""
    done, failed = Heartbeat(), Heartbeat()
    for n in range(40):
        store.writer.put(Write(poison(n) if n in {3, 20} else rows_of(n), done=done, failed=failed))
    await done.until(38)
    await failed.until(2)
    assert await stored_minutes(store) == 38
    kept = await store.read(lambda conn: conn.execute(select(QUARANTINE)).all())
    assert [row.station for row in kept] == ["CS-1", "CS-1"]
    assert str(2**70) in kept[0].raw


@pytest.mark.parametrize("bad", ["a\x00b", "\ud800"], ids=["NUL", "lone surrogate"])
async def test_text_an_engine_refuses_is_stored_or_quarantined(store: Store, bad: str) -> None:
    told = Heartbeat()
    store.writer.put(Write(rows_of(1, context=bad), done=told, failed=told))
    store.writer.put(Write(rows_of(2), done=told))
    await told.until(2)
    kept = await store.read(lambda conn: conn.execute(select(QUARANTINE)).all())
    assert await stored_minutes(store) + len(kept) == 2


async def test_a_work_that_cannot_be_stored_is_quarantined_with_its_fact(store: Store) -> None:
    failed = Heartbeat()
    store.writer.put(Write(*write_of(started(meter_start_wh=2**80), transaction=7), failed=failed))
    await failed.until(1)
    kept = await store.read(lambda conn: conn.execute(select(QUARANTINE)).one())
    assert "TransactionStarted" in kept.raw


async def test_a_callback_that_fails_does_not_stop_the_others(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    heard = Heartbeat()
    store.writer.put(Write(rows_of(1), done=lambda _: {}["absent"]))
    store.writer.put(Write(rows_of(2), done=heard))
    await heard.until(1)
    assert "callback failed" in caplog.text


async def test_a_caller_who_gave_up_does_not_stop_the_work(store: Store) -> None:
    waiting = asyncio.create_task(store.writer.run(lambda conn: writes.put_secret(conn, "x", "y")))
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await store.writer.run(lambda _conn: None)
    assert await store.read(lambda conn: len(conn.execute(select(SECRET)).all())) == 1


async def test_closing_commits_what_is_queued(url: str) -> None:
    store = open_store(url, spacing_s=0.05)
    for n in range(200):
        store.writer.put(Write(rows_of(n)))
    await store.close()
    with pytest.raises(BadDatabase, match="closed"):
        store.writer.put(Write(rows_of(0)))
    again = open_store(url)
    assert await stored_minutes(again) == 200
    await again.close()


async def test_the_queue_is_full_from_its_limit_until_it_is_half_empty(url: str) -> None:
    store = open_store(url, spacing_s=0, queue_limit=10)
    fullness: list[bool] = []
    done = Heartbeat()

    def committed(result: Any) -> None:
        fullness.append(store.writer.is_full)
        done(result)

    assert not store.writer.is_full
    for n in range(10):
        store.writer.put(Write(rows_of(n), done=committed))
    assert store.writer.is_full  # nothing is taken back before the loop runs
    await done.until(10)
    assert not store.writer.is_full
    await store.close()


class Told(logging.Handler):
    """Tells the event loop that something was logged in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self._loop.call_soon_threadsafe(self.event.set)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_database_locked_by_another_program_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acknowledged meanwhile, nothing is lost."""
    monkeypatch.setattr("csms.store.database.BUSY_TIMEOUT_S", 0.01)
    store = open_store(url, spacing_s=0)
    await store.writer.run(lambda _conn: None)
    complaint, heard = Told(), Heartbeat()
    logging.getLogger("csms.store.patience").addHandler(complaint)
    other = create_engine(parse_url(url))
    with other.connect() as conn:
        conn.exec_driver_sql("BEGIN IMMEDIATE")
        store.writer.put(Write(rows_of(1), done=heard))
        await complaint.event.wait()
        assert heard.told == []
        conn.rollback()
    await heard.until(1)
    other.dispose()
    logging.getLogger("csms.store.patience").removeHandler(complaint)
    assert await stored_minutes(store) == 1
    await store.close()


@pytest.mark.postgres
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_lost_connection_is_opened_again(store: Store, url: str) -> None:
    pid = await store.writer.run(lambda conn: conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
    other = create_engine(parse_url(url))
    with other.begin() as conn:
        conn.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    other.dispose()
    heard = Heartbeat()
    store.writer.put(Write(rows_of(1), done=heard))
    await heard.until(1)
    assert await stored_minutes(store) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(bad=st.sets(st.integers(0, 19)))
def test_whatever_is_poison_everything_else_is_stored(url: str, bad: set[int]) -> None:
    """Design §3: one poison item never blocks the rest."""

    async def scenario() -> None:
        store = open_store(url, spacing_s=0)
        await store.writer.run(lambda conn: conn.execute(METER_VALUE.delete()).rowcount)
        done, failed = Heartbeat(), Heartbeat()
        for n in range(20):
            store.writer.put(Write(poison(n) if n in bad else rows_of(n), done=done, failed=failed))
        await done.until(20 - len(bad))
        await failed.until(len(bad))
        assert await stored_minutes(store) == 20 - len(bad)
        await store.close()

    asyncio.run(scenario())


def test_a_batch_is_one_transaction(conn: Connection) -> None:
    """A reader sees all of a batch or nothing: the rows before a poison row are undone with it."""
    with pytest.raises(Exception, match=r"int|large|range"):
        commit_batch(conn, [Write(rows_of(1)), Write(poison())])
    assert conn.execute(select(METER_VALUE.c.id)).all() == []
