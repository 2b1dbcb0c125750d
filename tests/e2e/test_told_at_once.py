"""The terminal hears of its vehicle by itself, over the real stream of the real server. P3, P4; finding D3."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.e2e.conftest import ON_SQLITE
from tests.e2e.driver import Driver
from tests.e2e.raw import RawStation
from tests.e2e.world import World

AT_ONCE_S = 2.0
PLUG_STATUS = {"1.6": "Preparing", "2.0.1": "Occupied", "2.1": "Occupied"}

pytestmark = ON_SQLITE


class Terminal:
    """One open stream; ``next`` is the state that the server pushes, and nothing is ever asked for."""

    def __init__(self, states: AsyncIterator[dict[str, Any]]) -> None:
        self._states = states

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(AT_ONCE_S):
            return await anext(self._states)

    async def shows(self, permission: str | None) -> dict[str, Any]:
        """The next pushed state whose plug-in has this permission; None = without a plug-in."""
        while True:
            page = await self.next()
            if (page["plug_in"] or {"permission": {"state": None}})["permission"]["state"] == permission:
                return page


@asynccontextmanager
async def listening(driver: Driver) -> AsyncIterator[Terminal]:
    """The page is open before anything happens."""
    states = driver._events()
    terminal = Terminal(states)
    assert (await terminal.next())["plug_in"] is None
    try:
        yield terminal
    finally:
        await states.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def waiting(world: World, version: str) -> AsyncIterator[tuple[RawStation, Driver, Terminal]]:
    """A station that says nothing by itself, so that no meter value can ring for it, and a driver who stands there."""
    station = await world.raw(version)
    driver = await world.driver(station.id)
    async with listening(driver) as terminal:
        yield station, driver, terminal


@pytest.mark.parametrize("version", PLUG_STATUS)
async def test_a_plug_in_reaches_the_open_page_at_once(world: World, version: str) -> None:
    """P2, P3: one StatusNotification, and the question is there."""
    async with waiting(world, version) as (station, _, terminal):
        await station.status(PLUG_STATUS[version])
        page = await terminal.shows("asked")
        assert page["plug_in"]["station"] == station.id


async def test_an_answer_on_one_terminal_reaches_the_other(world: World) -> None:
    """P3, P4: the same driver has the page open twice."""
    async with waiting(world, "1.6") as (station, driver, terminal):
        await station.status("Preparing")
        await terminal.shows("asked")
        await driver.answer(granted=False)
        await terminal.shows("refused")


async def test_the_open_page_is_told_that_the_question_is_over(world: World) -> None:
    """P3: the cable goes out again."""
    async with waiting(world, "2.0.1") as (station, _, terminal):
        await station.status("Occupied")
        await terminal.shows("asked")
        await station.status("Available")
        await terminal.shows(None)


async def test_a_stranger_hears_nothing_of_it(world: World) -> None:
    """P3: only the user's terminals are told; nobody else's page is sent anything."""
    async with waiting(world, "1.6") as (station, _, terminal):
        other = await world.raw("1.6")
        stranger = await world.driver(other.id)
        async with listening(stranger) as elsewhere:
            await station.status("Preparing")
            await terminal.shows("asked")
            with pytest.raises(TimeoutError):
                await elsewhere.next()
