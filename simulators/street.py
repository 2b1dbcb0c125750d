"""Runs a scenario: all its stations in one event loop, and the people who come to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from simulators.battery import Battery
from simulators.clock import Clock, ScaledClock
from simulators.driver import Person, Phone
from simulators.ev import Ev
from simulators.evse import EvseSpec
from simulators.models import StationSpec
from simulators.scenario import Defaults, Scenario, StationEntry, Visit
from simulators.station import Station

AFTER_LAST_DEPARTURE_S = 3.0


def station_of(entry: StationEntry, defaults: Defaults, url: str, clock: Clock, seed: int) -> Station:
    """A station as a scenario describes it."""
    discharge_w = entry.max_charge_w if entry.max_discharge_w is None else entry.max_discharge_w
    evse = EvseSpec(
        max_charge_w=entry.max_charge_w,
        max_discharge_w=discharge_w if entry.model_entry.discharges else 0.0,
        phases=entry.phases,
        ramp_w_per_s=entry.ramp_w_per_s,
    )
    spec = StationSpec(
        id=entry.id,
        model=entry.model_entry,
        evses=(evse,) * entry.evses,
        sample_interval_s=defaults.sample_interval_s,
        interval_fraction=defaults.interval_fraction,
        tick_s=defaults.tick_s,
        reconnect_s=defaults.reconnect_s,
        notify_event=entry.notify_event,
        configuration=entry.configuration,
    )
    password = entry.password if entry.password is not None else defaults.password
    return Station(spec, url, password=password, clock=clock, behaviours=entry.behaviours, seed=seed)


def vehicle_of(visit: Visit, clock: Clock) -> Ev:
    """The vehicle of a visit that begins now."""
    battery = Battery(visit.capacity_wh, visit.capacity_wh * visit.soc_percent / 100)
    departs_at = clock.now() + timedelta(seconds=visit.depart_s - visit.arrive_s)
    return Ev(battery, visit.max_charge_w, visit.max_discharge_w, departs_at, visit.required_soc_percent / 100)


def person_of(visit: Visit, clock: Clock) -> Person:
    """Who sits in it, and what they will answer."""
    departs_at = clock.now() + timedelta(seconds=visit.depart_s - visit.arrive_s + 59)  # told in whole minutes
    wishes = ("min_sell_per_kwh", "max_buy_per_kwh", "entrust", "charge", "discharge")
    given = {name: value for name in wishes if (value := getattr(visit, name)) is not None}
    departure = {"depart_at": f"{departs_at:%H:%M}", "zone": "UTC"}
    conditions = {"required_soc_percent": visit.required_soc_percent, **departure, **given}
    vehicle = {
        "name": visit.vehicle,
        "capacity_wh": round(visit.capacity_wh),
        "max_charge_w": round(visit.max_charge_w),
        "max_discharge_w": round(visit.max_discharge_w),
    }
    return Person(
        name=visit.driver,
        vehicle=vehicle,
        answer=visit.answer,
        answer_after_s=visit.answer_after_s,
        conditions=conditions,
    )


class Street:
    """The stations and phones of one run."""

    def __init__(self, scenario: Scenario, seed: int = 0, clock: Clock | None = None) -> None:
        self._scenario = scenario
        self._clock = clock or ScaledClock(scenario.defaults.time_scale)
        url = scenario.server.ocpp_url
        self.stations = {
            entry.id: station_of(entry, scenario.defaults, url, self._clock, seed) for entry in scenario.station
        }
        self.phones: dict[str, Phone] = {}
        self.visits = 0
        self._at_start = {
            (name, number): evse.meter
            for name, station in self.stations.items()
            for number, evse in station.hardware.evses.items()
        }

    @property
    def length_s(self) -> float:
        """Until the last vehicle has gone."""
        departures = [visit.depart_s for entry in self._scenario.station for visit in entry.visit]
        return max(departures, default=60.0) + AFTER_LAST_DEPARTURE_S

    async def run(self, seconds: float | None, stop: asyncio.Event) -> None:
        """Live for so many simulated seconds, or until ``stop`` is set."""
        async with contextlib.AsyncExitStack() as stack:
            for station in self.stations.values():
                await stack.enter_async_context(station)
            tasks = [asyncio.create_task(self._visit(e, v)) for e in self._scenario.station for v in e.visit]
            try:
                await _first_of(self._clock.sleep(seconds or self.length_s), stop.wait())
            finally:
                await _cancel(tasks)
                for phone in self.phones.values():
                    await phone.close()

    async def _visit(self, entry: StationEntry, visit: Visit) -> None:
        """Arrive, plug in, answer, and leave."""
        station = self.stations[entry.id]
        await self._clock.sleep(visit.arrive_s)
        await station.until(lambda: station.boots > 0, timeout_s=3600)
        station.plug(vehicle_of(visit, self._clock), visit.evse)
        self.visits += 1
        async with self._phone_in_use(entry, visit):
            if visit.token:
                await self._clock.sleep(visit.token_after_s)
                station.present(visit.token, visit.evse)
            await self._clock.sleep(visit.depart_s - visit.arrive_s - (visit.token_after_s if visit.token else 0.0))
            station.unplug(visit.evse)

    @contextlib.asynccontextmanager
    async def _phone_in_use(self, entry: StationEntry, visit: Visit) -> AsyncIterator[None]:
        link = visit.link or entry.link
        if link is None:
            yield
            return
        phone = self.phones.setdefault(visit.driver, Phone(self._clock))
        using = asyncio.create_task(phone.visit(link, person_of(visit, self._clock)))
        try:
            yield
        finally:
            await _cancel([using])

    def summary(self) -> dict[str, Any]:
        """What happened, for the last line."""
        phones = list(self.phones.values())
        answers = [granted for phone in phones for granted in phone.answered.values()]
        return {
            "stations": len(self.stations),
            "connected": sum(station.boots > 0 for station in self.stations.values()),
            "visits": self.visits,
            "transactions": sum(station.hardware.transactions for station in self.stations.values()),
            "energy_import_wh": round(sum(self._grown("import_wh")), 1),
            "energy_export_wh": round(sum(self._grown("export_wh")), 1),
            "questions": sum(len(phone.asked) for phone in phones),
            "granted": sum(answers),
            "refused": len(answers) - sum(answers),
            "troubles": sorted({*self._refusals(), *(phone.trouble for phone in phones if phone.trouble)})[:10],
        }

    def _grown(self, register: str) -> list[float]:
        return [
            getattr(self.stations[name].evse(number).meter, register) - getattr(before, register)
            for (name, number), before in self._at_start.items()
        ]

    def _refusals(self) -> list[str]:
        return [f"{name}: {station.refusal}" for name, station in self.stations.items() if station.refusal]


async def _first_of(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(tasks)


async def _cancel(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
