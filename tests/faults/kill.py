"""SIGKILL at random moments, KILLS times: ``make kill``. The short form in CI is ``test_sigkill.py``.

After each kill every message that was ever confirmed is in the database, once. Prints one line per 50 kills; the seed
makes a run again. KILLS=1000 SEED=1 DATABASE=sqlite|postgres.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from random import Random

from tests import servers
from tests.databases import empty_database
from tests.e2e.world import until
from tests.faults.diaries import Diary, confirmed, examine, repeat, talk
from tests.faults.test_sigkill import CONFIG
from tests.servers import Server

STATIONS = {"F1": "1.6", "F2": "1.6", "F3": "2.0.1", "F4": "2.1", "F5": "1.6", "F6": "2.0.1"}
LONGEST_S = 1.5
servers.START_TIMEOUT_S = 300.0  # a thousand starts: one of them may meet a busy machine
REPEAT_EVERY = 50


async def one_life(server: Server, diaries: list[Diary], seconds: float) -> None:
    """The server starts, all talk, it is killed; not before somebody was answered."""
    before = confirmed(diaries)
    server.start()
    talking = [asyncio.create_task(talk(server.ocpp_url, diary)) for diary in diaries]

    async def has_spoken() -> bool:
        return confirmed(diaries) > before

    await until(has_spoken, "anything to be confirmed", 60)
    await asyncio.sleep(seconds)
    server.kill()
    await asyncio.gather(*talking)


async def main(kills: int, seed: int, engine: str) -> None:
    moments, diaries = Random(seed), [Diary(id_, version) for id_, version in STATIONS.items()]
    with tempfile.TemporaryDirectory() as folder, empty_database(engine, Path(folder)) as url:
        server = Server(Path(folder), url, CONFIG)
        try:
            for number in range(1, kills + 1):
                await one_life(server, diaries, moments.uniform(0, LONGEST_S))
                stored = examine(url, diaries)
                if number % REPEAT_EVERY == 0 or number == kills:
                    server.start()
                    await asyncio.gather(*(repeat(server.ocpp_url, diary) for diary in diaries))
                    server.kill()
                    assert examine(url, diaries) == stored, "a repetition added something"
                    print(f"{number} kills, {confirmed(diaries)} messages confirmed, none lost, none twice", flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    wanted = os.environ
    asyncio.run(main(int(wanted.get("KILLS", "1000")), int(wanted.get("SEED", "1")), wanted.get("DATABASE", "sqlite")))
