"""The hub without the rest of the server: what an idle connection weighs, how fast a fan-out is.

``python hub_alone.py MODE STATIONS ROUNDS``: a Hub in this process, the stations in another. Prints JSON. MODE ``idle``
and ``deflate``: bytes of RSS per connection, without and with compression. MODE ``fan-out``: every station gets a
SetChargingProfile of its own; the time until every answer is there.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import orjson
import uvloop

from csms.clock import SystemClock
from csms.domain.answers import Acknowledged, BootAnswer
from csms.domain.commands import Accepted, ApplySetpoint
from csms.domain.facts import Booted
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.ports import Admitted
from csms.domain.station import BootState, Quirks, RateUnit, Ratings, SetpointDriver
from csms.edge.hub import Hub
from csms.settings import Ocpp

WARM_UP_STATIONS = 100
LOAD = Path(__file__).with_name("load.py")


class Everyone:
    """Lets every station in."""

    async def admit(self, station, user, password, source):
        return Admitted(station=StationId(station), quirks=Quirks(), boot_state=BootState.ACCEPTED)


class Nothing:
    """Stores nothing."""

    is_full = False

    def receive(self, fact, done):
        now = datetime.now(UTC)
        done(
            BootAnswer(state=BootState.ACCEPTED, now=now, interval_s=300)
            if isinstance(fact, Booted)
            else Acknowledged()
        )

    def connected(self, station, version):
        pass

    def disconnected(self, station):
        pass


def setpoint(number: int, limit_w: int) -> ApplySetpoint:
    now = datetime.now(UTC)
    return ApplySetpoint(
        evse=EvseRef(StationId(f"BENCH{number:05d}"), 1),
        transaction=TransactionId("7"),
        setpoint_w=limit_w + number,
        starts_at=now,
        expires_at=now + timedelta(minutes=3),
        driver=SetpointDriver.CHARGE_ONLY,
        rate_unit=RateUnit.W,
        ratings=Ratings(),
        profile=100,
        stack_level=1,
    )


async def one_round(hub: Hub, stations: int, number: int) -> tuple[float, float]:
    """Wall ms and CPU µs per station."""
    commands = [setpoint(n, 2000 + number) for n in range(stations)]
    wall, cpu = time.perf_counter(), time.process_time()
    outcomes = await asyncio.gather(*map(hub.send, commands))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes[0]
    return wall * 1000, cpu / stations * 1e6


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def connected(hub: Hub, stations: int, mode: str, prefix: str) -> AsyncIterator[None]:
    """Stations in a process of their own, online for the time of the block."""
    url = f"ws://127.0.0.1:{hub.port}/ocpp"
    load = await asyncio.create_subprocess_exec(
        sys.executable, str(LOAD), url, str(stations), mode, "3600", "0", prefix, stdout=asyncio.subprocess.PIPE
    )
    assert load.stdout is not None
    assert b"connected" in await load.stdout.readline()
    yield
    load.terminate()
    await load.wait()


async def idle_bytes(hub: Hub, stations: int, mode: str) -> int:
    """Growth of this process per connection; a few that came before have paid for what all share."""
    async with connected(hub, WARM_UP_STATIONS, mode, f"WARM{mode}"):
        before = rss_bytes()
        async with connected(hub, stations, mode, f"IDLE{mode}"):
            return round((rss_bytes() - before) / stations)


async def fan_out(hub: Hub, stations: int, rounds: int) -> dict[str, float]:
    async with connected(hub, stations, "boot", "BENCH"):
        walls, cpus = zip(*[await one_round(hub, stations, number) for number in range(rounds)], strict=True)
    figures = {"stations": stations, "ms_median": median(walls), "ms_best": min(walls), "cpu_us_each": median(cpus)}
    return {key: round(value, 1) for key, value in figures.items()}


async def main(mode: str, stations: int, rounds: int) -> None:
    hub = Hub(Nothing(), Everyone(), SystemClock(), Ocpp().model_copy(update={"port": 0}))
    await hub.serve()
    result = await (fan_out(hub, stations, rounds) if mode == "fan-out" else idle_bytes(hub, stations, mode))
    await hub.close()
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
