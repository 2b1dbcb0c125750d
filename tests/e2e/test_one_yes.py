"""One answer, one write: counted by the database itself, on the real server. P4, P10; findings D1 and D3."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine, text

from tests.e2e.conftest import ON_SQLITE
from tests.e2e.driver import Driver
from tests.e2e.raw import RawStation
from tests.e2e.world import World

pytestmark = ON_SQLITE

MINE = {"min_sell_per_kwh": "47", "required_soc_percent": 66.0}


@contextmanager
def written(url: str) -> Iterator[Connection]:
    """A log of the conditions that are written to the patterns from now on, kept by triggers."""
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            conn.execute(text("CREATE TABLE seen (conditions TEXT)"))
            for verb, of in (("INSERT", ""), ("UPDATE", " OF conditions")):
                name = f"CREATE TRIGGER seen_{verb} AFTER {verb}{of} ON pattern"
                conn.execute(text(f"{name} BEGIN INSERT INTO seen VALUES (NEW.conditions); END"))
            conn.commit()
            yield conn
    finally:
        engine.dispose()


def count(conn: Connection) -> int:
    conn.rollback()
    return int(conn.execute(text("SELECT count(*) FROM seen")).scalar_one())


async def asked(world: World) -> tuple[RawStation, Driver]:
    station = await world.raw("1.6")
    driver = await world.driver(station.id)
    await station.status("Preparing")
    await driver.sees_permission("asked")
    return station, driver


@pytest.mark.parametrize(("granted", "kept"), [(True, 1), (False, 0)], ids=["yes", "no"])
async def test_the_conditions_of_a_yes_are_stored_once_and_those_of_a_no_never(
    world: World, granted: bool, kept: int
) -> None:
    """P10: two places that store it would hide each other's failure."""
    _, driver = await asked(world)
    with written(world.settings.database.url) as log:
        await driver.answer(granted=granted, **MINE)
        assert count(log) == kept
    state = await driver.state()
    assert state["conditions_saved"] is granted


async def test_the_conditions_of_a_yes_are_in_the_next_question_also_after_a_restart(world: World) -> None:
    """P10, must hold 3."""
    station, driver = await asked(world)
    await driver.answer(granted=True, **MINE)
    await world.restart()
    again = await world.raw("1.6", id_=station.id)
    link = (await world.evse(station.id))["link"]
    await again.status("Available")
    await driver.sees(lambda page: page["plug_in"] is None, "the end of the plug-in")
    await driver.claim(link)
    await again.status("Preparing")
    page = await driver.sees_permission("asked")
    assert {key: page["plug_in"]["permission"]["conditions"][key] for key in MINE} == MINE


async def test_a_yes_without_conditions_stores_none(world: World) -> None:
    """P10: what holds already is not written again."""
    _, driver = await asked(world)
    await driver.keep(**MINE)
    with written(world.settings.database.url) as log:
        answered = await driver.answer(granted=True)
        assert count(log) == 0
    assert {key: answered["permission"]["conditions"][key] for key in MINE} == MINE
