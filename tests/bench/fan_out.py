"""How long it takes to give every station its own SetChargingProfile and to have every answer.

``python fan_out.py STATIONS ROUNDS``: a Hub in this process, the stations in another. Prints one JSON object.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import orjson
import uvloop

from csms.clock import SystemClock
from csms.domain.answers import BootAnswer, Noted
from csms.domain.commands import Accepted, ApplySetpoint
from csms.domain.facts import Booted
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.ports import Admitted
from csms.domain.station import BootState, Electrics, Quirks, RateUnit, SetpointDriver
from csms.edge.hub import Hub
from csms.settings import Ocpp

LOAD = Path(__file__).with_name("load.py")


class Everyone:
    """Lets every station in."""

    async def admit(self, station, user, password):
        return Admitted(station=StationId(station), quirks=Quirks(), boot_state=BootState.ACCEPTED)


class Nothing:
    """Stores nothing."""

    is_full = False

    def receive(self, fact, done):
        now = datetime.now(UTC)
        done(BootAnswer(state=BootState.ACCEPTED, now=now, interval_s=300) if isinstance(fact, Booted) else Noted())

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
        electrics=Electrics(),
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


async def main(stations: int, rounds: int) -> None:
    hub = Hub(Nothing(), Everyone(), SystemClock(), Ocpp().model_copy(update={"port": 0}))
    await hub.serve()
    url = f"ws://127.0.0.1:{hub.port}/ocpp"
    load = await asyncio.create_subprocess_exec(
        sys.executable, str(LOAD), url, str(stations), "boot", "3600", "0", "BENCH", stdout=asyncio.subprocess.PIPE
    )
    assert b"connected" in await load.stdout.readline()
    figures = [await one_round(hub, stations, number) for number in range(rounds)]
    load.terminate()
    await load.wait()
    await hub.close()
    walls, cpus = zip(*figures, strict=True)
    result = {"stations": stations, "ms_median": median(walls), "ms_best": min(walls), "cpu_us_each": median(cpus)}
    print(orjson.dumps({key: round(value, 1) for key, value in result.items()}).decode())


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
