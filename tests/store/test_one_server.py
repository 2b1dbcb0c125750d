"""C5, C7: the lock, the writer and its files are watched; who lost one of them writes nothing any more."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select, text

from csms.domain.errors import BadDatabase, Halted, Unavailable
from csms.store import Write, migrate, open_store, server_lock
from csms.store.database import parse_url, writing_engine
from csms.store.facts import write_of
from csms.store.tables import METER_VALUE
from tests.store.made import metered, reading

SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def rows() -> tuple:
    return write_of(metered(reading(1)))[0]


def end_session(url: str, pid: int) -> None:
    engine = writing_engine(parse_url(url))
    with engine.begin() as conn:
        conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    engine.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_server_that_lost_its_session_and_with_it_its_lock_takes_both_again(url: str) -> None:
    """C5: the lock was another session's, and was lost in silence."""
    store = open_store(url, spacing_s=0, exclusive=True)
    pid = await store.writer.run(lambda conn: conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
    end_session(url, pid)
    await store.writer.run(lambda _conn: None)
    with pytest.raises(BadDatabase, match="another server uses it"):
        open_store(url, exclusive=True)
    store.writer.check()
    await store.close()


@pytest.mark.postgres
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_server_whose_lock_another_one_took_stores_and_confirms_nothing_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_lock, "TRIES", 2)
    store = open_store(url, spacing_s=0, exclusive=True)
    pid = await store.writer.run(lambda conn: conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
    end_session(url, pid)
    other = open_store(url, spacing_s=0, exclusive=True)
    told: list[object] = []
    store.writer.put(Write(rows(), done=told.append, failed=told.append))
    with pytest.raises(Halted, match="another server took over"):
        await store.writer.run(lambda _conn: None)
    assert told == []
    with pytest.raises(Halted):
        store.writer.check()
    with pytest.raises(Halted):
        store.writer.put(Write(rows()))
    await store.close()
    assert await other.read(lambda conn: conn.execute(select(METER_VALUE.c.id)).all()) == []
    await other.close()


@SQLITE
@pytest.mark.parametrize("gone", [".lock", ""])
async def test_a_server_whose_files_were_taken_away_stores_and_confirms_nothing_more(url: str, gone: str) -> None:
    """What is written would be in a file without a name."""
    store = open_store(url, spacing_s=0, exclusive=True)
    await store.writer.run(lambda _conn: None)
    file = Path(url.removeprefix("sqlite:///") + gone)
    file.rename(file.with_suffix(".away"))  # noqa: ASYNC240
    told: list[object] = []
    store.writer.put(Write(rows(), done=told.append, failed=told.append))
    with pytest.raises(Halted, match="was removed or replaced"):
        await store.writer.run(lambda _conn: None)
    assert told == []
    await store.close()


async def test_a_writer_that_died_is_found_and_who_waits_for_it_is_told(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """C7: an exception in its thread ended it, and nobody looked."""
    monkeypatch.setattr("csms.store.store.WATCH_S", 0.01)
    store = open_store(url, spacing_s=0)
    await store.writer.run(lambda _conn: None)

    def dies(_writes: object) -> None:
        raise ZeroDivisionError("injected")

    monkeypatch.setattr(store.writer._committer, "store", dies)
    told: list[object] = []
    store.writer.put(Write(rows(), done=told.append, failed=told.append))
    async with asyncio.timeout(10):
        assert "writer's thread died" in str(await store.watch())
    with pytest.raises(Halted):
        await store.writer.run(lambda _conn: None)
    assert told == []
    assert store.writer.is_full
    await store.close()


async def test_a_closing_connection_that_fails_does_not_end_the_writer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C7: an exception from ``close`` ended the thread."""
    store = open_store(url, spacing_s=0)
    await store.writer.run(lambda _conn: None)
    conn = store.writer._committer._conn
    assert conn is not None
    real = conn.close

    def fails() -> None:
        real()
        raise OSError("injected")

    monkeypatch.setattr(conn, "close", fails)
    with pytest.raises(BadDatabase):
        await store.writer.run(lambda conn: conn.execute(text("SELECT * FROM nowhere")))
    await store.writer.run(lambda _conn: None)
    store.writer.check()
    await store.close()


@SQLITE
async def test_nothing_is_confirmed_by_a_server_that_stops_on_a_database_that_takes_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: at the stop, what could not be stored was answered."""
    monkeypatch.setattr("csms.store.database.BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr("csms.store.patience.CLOSING_PATIENCE_S", 0.1)
    store = open_store(url, spacing_s=0)
    await store.writer.run(lambda _conn: None)
    other = writing_engine(parse_url(url))
    told: list[object] = []
    with other.begin():
        store.writer.put(Write(rows(), done=told.append, failed=told.append))
        waiting = asyncio.create_task(store.writer.run(lambda _conn: None))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(Unavailable):
            await waiting
    other.dispose()
    assert told == []


@SQLITE
async def test_who_waits_for_a_database_that_takes_nothing_is_told_and_nothing_of_it_is_done_later(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E7: three tries on a full disk became three events later. Stations' messages are kept waiting instead."""
    monkeypatch.setattr("csms.store.database.BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr("csms.store.patience.STALLED_AFTER_S", 0.05)
    store = open_store(url, spacing_s=0)
    await store.writer.run(lambda _conn: None)
    other = writing_engine(parse_url(url))
    stored = asyncio.Event()
    insert = text("INSERT INTO secret (name, value) VALUES ('a', 'b')")
    with other.begin():
        store.writer.put(Write(rows(), done=lambda _: stored.set()))
        with pytest.raises(Unavailable, match="locked"):
            await store.writer.run(lambda conn: conn.execute(insert))
        assert store.writer.trouble
        assert store.writer.is_full
        with pytest.raises(Unavailable):
            await store.writer.run(lambda conn: conn.execute(insert))
        assert not stored.is_set()
    async with asyncio.timeout(10):
        await stored.wait()
    await store.writer.run(lambda _conn: None)
    assert store.writer.trouble is None
    assert not store.writer.is_full
    assert await store.read(lambda conn: conn.execute(text("SELECT name FROM secret")).all()) == []
    other.dispose()
    await store.close()


async def test_a_schema_is_not_changed_under_a_running_server(url: str) -> None:
    """C7: ``csms migrate`` took no lock."""
    store = open_store(url, exclusive=True)
    with pytest.raises(BadDatabase, match="another server uses it"):
        migrate(url)
    await store.close()
    migrate(url)


async def test_a_look_up_at_the_door_never_waits_behind_queries_of_history(url: str) -> None:
    """C7: logins shared four reader threads with history."""
    store = open_store(url)
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_conn: object) -> None:
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)

    history = [asyncio.create_task(store.read(slow)) for _ in range(8)]
    async with asyncio.timeout(10):
        assert await store.look_up(lambda conn: conn.execute(text("SELECT 1")).scalar_one()) == 1
    go_on.set()
    await asyncio.gather(*history)
    await store.close()
