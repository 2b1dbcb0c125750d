"""Must hold 3: whatever was confirmed to a station survives SIGKILL at any instant, and its repetition adds nothing."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.databases import ENGINES, empty_database
from tests.e2e.world import until
from tests.faults.diaries import Diary, confirmed, examine, repeat, talk
from tests.servers import Server

pytestmark = pytest.mark.long

ROUNDS = 2
ENOUGH = 60
"""So many messages are confirmed in a round at least, however slow the machine is."""
STATIONS = {"F1": "1.6", "F2": "1.6", "F3": "2.0.1", "F4": "2.1"}
CONFIG = """
[ocpp]
auto_register = true
"""


async def under_load(server: Server, diaries: list[Diary], seconds: float) -> None:
    """All stations talk at once until the server is killed in mid-sentence."""
    before = confirmed(diaries)
    tasks = [asyncio.create_task(talk(server.ocpp_url, diary)) for diary in diaries]
    await asyncio.sleep(seconds)  # the moment is the test's input

    async def has_said_enough() -> bool:
        return confirmed(diaries) >= before + ENOUGH

    await until(has_said_enough, "enough to be confirmed", 180)
    server.kill()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("engine", ENGINES)
async def test_nothing_confirmed_is_lost_by_a_kill_and_repetitions_add_nothing(engine: str, tmp_path: Path) -> None:
    """Issue 2, what bad input gets: SIGKILL at random moments under load, on both engines."""
    moments = Random(20261120)
    diaries = [Diary(id_, version) for id_, version in STATIONS.items()]
    with empty_database(engine, tmp_path) as url:
        server = Server(tmp_path, url, CONFIG)
        try:
            for _ in range(ROUNDS):
                server.start()
                await under_load(server, diaries, moments.uniform(0.5, 2.0))
                before = examine(url, diaries)
                server.start()
                await asyncio.gather(*(repeat(server.ocpp_url, diary) for diary in diaries))
                server.kill()
                assert examine(url, diaries) == before
        finally:
            server.kill()
        assert confirmed(diaries) > 100
        assert "Traceback" not in server.log()
