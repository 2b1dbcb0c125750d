"""What was acknowledged survives SIGKILL at any instant (mission, must hold 3)."""

import subprocess
import sys

import pytest
from sqlalchemy import select

from csms.store import open_store
from csms.store.tables import METER_VALUE, TRANSACTION_EVENT
from tests.servers import ROOT
from tests.store.crashing import fact_of
from tests.store.made import at, content, count, take


@pytest.mark.long
@pytest.mark.parametrize("acknowledged", [1, 70, 1500])
async def test_nothing_acknowledged_is_missing_after_a_kill(url: str, acknowledged: int) -> None:
    said = _killed_after(url, acknowledged)
    store = open_store(url, exclusive=True)
    stored = set(await store.read(lambda conn: conn.execute(select(METER_VALUE.c.at)).scalars().all()))
    events = set(await store.read(lambda conn: conn.execute(select(TRANSACTION_EVENT.c.seq_no)).scalars().all()))
    await store.close()
    assert len(said) >= acknowledged
    assert {int(at(n).timestamp() * 1_000_000) for n in said} <= stored
    assert {n for n in said if n % 5 == 0} <= events


@pytest.mark.long
def test_replays_after_a_kill_change_nothing_that_was_stored(url: str, conn) -> None:
    said = _killed_after(url, 300)
    before = content(conn, [METER_VALUE, TRANSACTION_EVENT])
    take(conn, *(fact_of(n) for n in said))
    assert content(conn, [METER_VALUE, TRANSACTION_EVENT]) == before
    assert count(conn, METER_VALUE) >= len(said)


def _killed_after(url: str, count: int) -> list[int]:
    """Numbers that a writing process printed before it was killed, at least ``count``."""
    program = [sys.executable, "-m", "tests.store.crashing", url]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(count)]
        process.kill()
        said += [int(line) for line in process.stdout if line.endswith("\n")]
    return said
