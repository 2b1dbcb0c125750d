"""Issue 6.1 with real faults: 200 stations talk over sockets while the database is really read-only, full, locked or
cut off. Nothing is confirmed meanwhile, /readyz says so, and in the end each confirmed message is in it once."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from tests.databases import empty_database
from tests.e2e.world import World, until, world_on
from tests.faults.diaries import Diary, confirmed, counts_of, examine, talk

STATIONS = 200
VERSIONS = ("1.6", "2.0.1", "2.1")
ENOUGH = 400
"""So many messages are confirmed before the fault and after it."""
HOLDS_S = 2.5
"""How long a fault lasts: longer than a hiccup is."""

Fault = Callable[[World, str], Any]


def _pragma(world: World, of: Callable[[bool], str]) -> Callable[[bool], None]:
    """A PRAGMA that the writer's connection is given before each transaction."""
    state = {"broken": False}

    @event.listens_for(world.daemon.system.store._writing, "begin")
    def _before(conn: Any) -> None:
        cursor = conn.connection.cursor()
        cursor.execute(of(state["broken"]))
        cursor.close()

    def set_broken(broken: bool) -> None:
        state["broken"] = broken

    return set_broken


@asynccontextmanager
async def read_only_file(world: World, _url: str) -> AsyncIterator[None]:
    set_broken = _pragma(world, lambda broken: f"PRAGMA query_only={int(broken)}")
    set_broken(True)
    yield
    set_broken(False)


@asynccontextmanager
async def full_disk(world: World, _url: str) -> AsyncIterator[None]:
    """SQLite itself says SQLITE_FULL: its file may not grow."""
    set_broken = _pragma(world, lambda broken: f"PRAGMA max_page_count={1 if broken else 2**30}")
    set_broken(True)
    yield
    set_broken(False)


@asynccontextmanager
async def locked_file(_world: World, url: str) -> AsyncIterator[None]:
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.rollback()
    other.close()


def _administer(url: str, statement: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("SET default_transaction_read_only = off")
        conn.execute(statement)  # type: ignore[call-overload]


_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@asynccontextmanager
async def read_only_server(_world: World, url: str) -> AsyncIterator[None]:
    """A standby after a failover looks like this (C1)."""
    name = url.rpartition("/")[2]
    _administer(url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    _administer(url, _CUT)
    yield
    _administer(url, f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


@asynccontextmanager
async def no_connections(_world: World, url: str) -> AsyncIterator[None]:
    """Every session is ended, that of the writer and its lock too, and none can be opened."""
    name = url.rpartition("/")[2]
    admin = url.rpartition("/")[0] + "/test"
    _administer(admin, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    _administer(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    yield
    _administer(admin, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


FAULTS = [
    *(pytest.param("sqlite", fault, id=fault.__name__) for fault in (read_only_file, full_disk, locked_file)),
    *(
        pytest.param("postgres", fault, id=fault.__name__, marks=pytest.mark.postgres)
        for fault in (read_only_server, no_connections)
    ),
]


async def says(world: World, path: str) -> int:
    return (await world.api.get(path)).status_code


@pytest.mark.long
@pytest.mark.parametrize(("engine", "fault"), FAULTS)
async def test_while_the_database_takes_nothing_nothing_is_confirmed_and_in_the_end_all_is_there_once(
    engine: str, fault: Fault, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """C1, E7."""
    diaries = [Diary(f"F{n}", VERSIONS[n % 3]) for n in range(STATIONS)]
    with empty_database(engine, tmp_path) as url:
        async with world_on(url, ocpp={"auto_register": True, "ping_interval_s": 60, "pong_timeout_s": 60}) as world:
            talking = [asyncio.create_task(talk(world.ocpp_url, diary)) for diary in diaries]
            await until(partial(has_confirmed, diaries, ENOUGH), "the fleet to talk", 120)
            async with fault(world, url):
                await until(partial(answers, world, "/readyz", 503), "/readyz to say that nothing is stored", 90)
                so_far = confirmed(diaries)
                assert (await world.api.post("/api/v1/id-tokens", json={"token": "LATER"})).status_code == 503
                assert await says(world, "/healthz") == 200
                await asyncio.sleep(HOLDS_S)  # the length of the fault is the test's input
                if fault is full_disk:  # a smaller batch may still fit into its free pages: then it is stored
                    examine(url, diaries)
                else:
                    assert confirmed(diaries) == so_far, "confirmed, but stored nowhere"
            await until(partial(answers, world, "/readyz", 200), "/readyz to say that it is over", 90)
            await until(partial(has_confirmed, diaries, so_far + ENOUGH), "the fleet to talk again", 120)
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
        stored = examine(url, diaries)
        assert stored["quarantine"] == 0
        assert counts_of(url, "id_token") == 0, "what was refused was done later"
    assert "ALARM: the database has taken no writes" in caplog.text
    assert "the database takes writes again" in caplog.text


async def has_confirmed(diaries: list[Diary], count: int) -> bool:
    return confirmed(diaries) >= count


async def answers(world: World, path: str, status: int) -> bool:
    return await says(world, path) == status
