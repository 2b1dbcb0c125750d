"""What one station costs when there are many: nothing may grow with the fleet (C9). Prints JSON.

``python tests/bench/fleet.py [--stations 5000] [--seconds 8] [--evses 10000] [--fan-out 1000 5000]``. ``return``: so
many known stations at one site come back to a server that was started anew, boot and tell their status. ``message``:
server CPU per durable message, by the number of stations. ``tick``: see ``tick.py``. ``fan_out``: a setpoint to each of
so many, stored first, through the real edge: CPU of the server beyond what the same tick costs with nothing to send.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tick
import uvloop
from run import SETTLE_S, Load, cpu_s, free_port, our_server, throughput

from csms import log
from csms.app import running, spare_the_collector
from csms.control.system import System
from csms.settings import Settings

QUIET_S = 4.0
"""After the last station is there: what still goes out to it is counted."""


def coming_back(stations: int) -> dict[str, float]:
    """Register them, start the server anew, and let all come back."""
    with tempfile.TemporaryDirectory() as directory:
        with our_server(directory) as (_, url):
            first = Load(url, stations, "return", QUIET_S)
            first.until("connected")
            told = first.until("end")["called"]
            first.stop()
        with our_server(directory) as (pid, url):
            before = cpu_s(pid)
            load = Load(url, stations, "return", QUIET_S)
            connected = load.until("connected")
            end = load.until("end")
            used_s = cpu_s(pid) - before
            load.stop()
    return {
        "stations": stations,
        "seconds": round(connected["seconds"], 2),
        "cpu_us_per_station": round(used_s / stations * 1e6),
        "calls_to_each": round(end["called"] / stations, 2),
        "calls_to_each_when_new": round(told / stations, 2),
        "lost": end["lost"],
    }


def per_message(stations: int, seconds: float) -> float:
    """Server CPU per durable message, us."""
    with tempfile.TemporaryDirectory() as directory, our_server(directory) as (pid, url):
        return throughput(pid, url, stations, seconds)["cpu_us_per_message"]


def one_tick(evses: int, *arguments: str) -> Any:
    command = [
        sys.executable,
        str(Path(__file__).parent / "tick.py"),
        "--evses",
        str(evses),
        "--ticks",
        "3",
        *arguments,
    ]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600).stdout
    return json.loads(said[said.index(b"{") :])["ticks"]


async def fan_out(stations: int) -> dict[str, float]:
    """A tick that has something to tell everybody, then one that has not."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            ocpp={"port": free_port(), "auto_register": True},
            http={"port": free_port()},
            database={"url": f"sqlite:///{directory}/fan-out.db"},
            log={"level": "warning"},
            dispatch={"tick_s": 3600, "probe": False, "setpoint_validity_s": 900},
            site=[{"id": "default", "import_limit_w": 10**8}],
        )
        log.configure(settings.log)
        async with running(settings) as daemon:
            spare_the_collector()
            load = Load(f"ws://127.0.0.1:{daemon.ocpp_port}/ocpp", stations, "return", 3600)
            await asyncio.to_thread(load.until, "connected")
            await asyncio.sleep(SETTLE_S)
            for number, live in enumerate(list(daemon.system.live.stations.values())):
                tick.plug_in(daemon.system, live.evses[1], number, daemon.system.clock.now())
            told = await _told(daemon.system)
            untold = await _told(daemon.system)
            load.stop()
    return {
        "stations": stations,
        "cpu_ms": round((told[0] - untold[0]) * 1e3),
        "all_ms": round((told[1] - untold[1]) * 1e3),
        "tick_cpu_ms": round(untold[0] * 1e3),
    }


async def _told(system: System) -> tuple[float, float]:
    """Seconds of CPU and in all that a tick takes which decides everything, until every answer is noted."""
    system.rooms.dispatch.reconsider(None)
    cpu, begun = time.process_time(), time.perf_counter()
    await system.rooms.dispatch.tick()
    for live in list(system.live.stations.values()):
        while _awaits(live.evses[1]) or system.store.writer._unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.process_time() - cpu, time.perf_counter() - begun


def _awaits(evse: Any) -> bool:
    told = evse.told.setpoint
    return told is not None and told.state.value == "desired"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=5000)
    parser.add_argument("--fleets", type=int, nargs="*", default=[100, 1000, 5000])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--evses", type=int, default=10_000)
    parser.add_argument("--fan-out", type=int, nargs="*", default=[1000, 5000])
    parser.add_argument("--only", choices=["return", "message", "tick", "fan_out"])
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    made = {
        "return": lambda: coming_back(options.stations),
        "message": lambda: {str(count): per_message(count, options.seconds) for count in options.fleets},
        "tick": lambda: {
            "100 per site": one_tick(options.evses),
            "one site": one_tick(options.evses, "--per-site", str(options.evses)),
            "with an event": one_tick(options.evses, "--event"),
        },
        "fan_out": lambda: [uvloop.run(fan_out(count)) for count in options.fan_out],
    }
    print(json.dumps({name: make() for name, make in made.items() if options.only in (None, name)}, indent=1))


if __name__ == "__main__":
    main()
