"""What a tick costs with many plugged-in vehicles, and how long it keeps an answer waiting. Prints JSON.

``python tests/bench/tick.py [--evses 10000] [--per-site 100] [--ticks 4] [--changed 0.1] [--step 10] [--event]``. The
control runs on a SQLite file and uvloop, with stations that accept everything. ``delay_ms``: the longest that a
callback due every millisecond came late while a tick was under way; ``held_ms``: the most CPU time of the loop's thread
that went by before it was called, which other programs do not lengthen. ``cpu_ms``: of the whole process, per tick; in
the first all vehicles are told. Between two ticks a share of the vehicles tells a new meter value.
"""

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop

from csms.app import spare_the_collector
from csms.control.state import changes
from csms.control.state.live import EvseLive
from csms.control.state.records import Answer
from csms.control.system import System, build
from csms.domain.commands import Accepted, Command, Outcome
from csms.domain.conditions import Conditions
from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import DrEventId, EvseRef, PlugInId, SiteId, StationId, TransactionId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Permission, PermissionState, PlugIn
from csms.domain.station import BootState, Evse, ProbeState, Quirks, Ratings, SetpointDriver, Station, Version
from csms.settings import Settings
from csms.store import open_store

V2G = Quirks(name="v2g", driver=SetpointDriver.OCPP21_SETPOINT)
RATED = Ratings(max_charge_w=7360, max_discharge_w=6000)
AWAY = timedelta(hours=8)


class Willing:
    """Stations that accept everything."""

    def __init__(self) -> None:
        self.sent = 0

    def version_of(self, station: StationId) -> Version | None:
        return Version.V21

    async def send(self, command: Command) -> Outcome:
        self.sent += 1
        return Accepted()

    async def call(self, *_: Any) -> Any:
        raise NotImplementedError


class SteppedClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 7, 1, 9, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


async def system_with(evses: int, per_site: int, folder: str, clock: SteppedClock, stations: Willing) -> System:
    """A control with so many plugged-in, permitted vehicles in running transactions."""
    count = -(-evses // per_site)
    sites = [{"id": f"S{n}", "area": "default", "import_limit_w": per_site * 5000} for n in range(count)]
    settings = Settings(site=sites, dispatch={"probe": False})
    store = open_store(f"sqlite:///{Path(folder) / 'tick.db'}")
    system, _ = await build(settings, store, clock, lambda *_: stations, lambda *_: V2G)
    await system.load()
    for number in range(evses):
        _plug(system, number, f"S{number // per_site}", clock.now())
    return system


def _plug(system: System, number: int, site: str, now: datetime) -> None:
    id_ = StationId(f"CS{number:06d}")
    evse = Evse(ref=EvseRef(id_, 1), site=SiteId(site), ratings=RATED)
    station = Station(
        id=id_, site=SiteId(site), evses=(evse,), boot_state=BootState.ACCEPTED, version=Version.V21, firmware="1"
    )
    live = system.live.add(station, V2G)
    live.version, live.is_settled, live.failsafe_limit_w = Version.V21, True, 1380
    plug_in(system, live.evses[1], number, now)


def plug_in(system: System, place: EvseLive, number: int, now: datetime) -> None:
    """A permitted vehicle in a running transaction."""
    vehicle = Vehicle(id=VehicleId(f"v{number}"), user=UserId(f"u{number}"), name="EV", capacity_wh=60_000)
    conditions = Conditions(
        required_soc_percent=30 + number % 30,
        min_sell_per_kwh=Decimal(20 + number % 20),
        depart_at=time_of_day(18),
        max_buy_per_kwh=Decimal(40),
    )
    transaction = TransactionId(str(number + 1))
    place.cable.plugged = PlugIn(
        id=PlugInId(f"p{number}"), evse=place.ref, connector=1, plugged_at=now, transaction=transaction
    )
    leaves_at = conditions.departure_after(now)
    permission = Permission(
        state=PermissionState.GRANTED, answered_at=now, conditions=conditions, departure_at=leaves_at
    )
    place.answer = Answer(
        plug_in=PlugInId(f"p{number}"),
        user=vehicle.user,
        vehicle=vehicle,
        permission=permission,
        participating_since=now,
    )
    place.run.transaction, place.run.authorized, place.run.started_at = transaction, True, now
    place.told.probe_state = ProbeState.PASSED
    read(system, place, number, now)


def read(system: System, place: EvseLive, number: int, now: datetime) -> None:
    """The meter of one EVSE."""
    power = max(place.told.setpoint.desired_w, 0) if place.told.setpoint else 0
    reading = Reading(
        at=now,
        soc_percent=40.0 + number % 50,
        power_import_w=float(power),
        power_export_w=0.0,
        import_wh=1000.0 + number,
        export_wh=0.0,
    )
    place.meter.reading = reading
    place.cable.plugged = replace(place.cable.plugged, soc_percent=reading.soc_percent, soc_at=now)
    system.ground.emit(changes.Sampled(place, reading))


class Probe:
    """A callback every millisecond; remembers the longest it came late, and the CPU time of the loop meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.worst_s = self.held_s = 0.0
        self._due = self._loop.time()
        self._next()

    def _next(self) -> None:
        self._due = self._loop.time() + 0.001
        self._cpu_s = time.thread_time()
        self._handle = self._loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self.worst_s = max(self.worst_s, self._loop.time() - self._due)
        self.held_s = max(self.held_s, time.thread_time() - self._cpu_s)
        self._next()

    def stop(self) -> None:
        self._handle.cancel()


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    clock, stations = SteppedClock(), Willing()
    with tempfile.TemporaryDirectory() as folder:
        system = await system_with(options.evses, options.per_site, folder, clock, stations)
        if options.event:
            await system.events.create(_event(options.evses, clock.now()))
        spare_the_collector()
        ticks = [await _tick(system, clock, options, turn) for turn in range(options.ticks)]
        await system.stop()
        await system.store.close()
    return {
        "evses": options.evses,
        "per_site": options.per_site,
        "event": options.event,
        "sent": stations.sent,
        "ticks": ticks,
    }


def _event(evses: int, now: datetime) -> DrEvent:
    return DrEvent(
        id=DrEventId("dr-1"),
        direction=Direction.DOWN,
        requested_w=evses * 2000,
        starts_at=now,
        ends_at=now + AWAY,
        incentive_per_kwh=Decimal(20),
        created_at=now,
    )


async def _tick(system: System, clock: SteppedClock, options: argparse.Namespace, turn: int) -> dict[str, float]:
    step = max(round(1 / options.changed), 1) if options.changed else 0
    clock.at += timedelta(seconds=options.step)
    if step:
        for number in range(turn % step, options.evses, step):
            read(system, system.live.stations[StationId(f"CS{number:06d}")].evses[1], number, clock.now())
    await asyncio.sleep(0.05)
    probe, begun, cpu = Probe(), time.perf_counter(), time.process_time()
    await system.rooms.dispatch.tick()
    decided = time.perf_counter() - begun
    while system.tasks.running or system.store.writer._unfinished:  # noqa: ASYNC110  a bench, not the server
        await asyncio.sleep(0.005)
    probe.stop()
    return {
        "delay_ms": round(probe.worst_s * 1e3, 1),
        "held_ms": round(probe.held_s * 1e3, 1),
        "tick_ms": round(decided * 1e3, 1),
        "cpu_ms": round((time.process_time() - cpu) * 1e3, 1),
        "all_ms": round((time.perf_counter() - begun) * 1e3, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evses", type=int, default=10_000)
    parser.add_argument("--per-site", type=int, default=100)
    parser.add_argument("--ticks", type=int, default=4)
    parser.add_argument("--changed", type=float, default=0.1)
    parser.add_argument("--step", type=float, default=10, help="seconds between two ticks")
    parser.add_argument("--event", action="store_true")
    options = parser.parse_args()
    print(json.dumps(uvloop.run(measured(options)), indent=1))


if __name__ == "__main__":
    main()
