"""The whole server on the test's own loop, with the stations, people and operators around it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

import httpx
import orjson

from csms.app import Daemon, running
from csms.control.permission.people import hash_token
from csms.domain.ports import Clock
from csms.settings import Settings
from csms.store import writes
from simulators.battery import Battery
from simulators.behaviours import Behaviour
from simulators.ev import Ev
from simulators.evse import EvseSpec
from simulators.models import MODELS, StationSpec
from simulators.station import Station
from tests.e2e.driver import Driver
from tests.e2e.raw import RawStation, connected
from tests.servers import free_port

PASSWORD = "a-password-of-24-letters"
TOKEN = "operator-token"
DEADLINE_S = 60.0
LOOK_AGAIN_S = 0.03

V2G = {"1.6": "Sim V2G 1.6", "2.0.1": "Sim V2G 2.0.1", "2.1": "Sim V2G 2.1"}
AC = {"1.6": "Sim AC 1.6", "2.0.1": "Sim AC 2.0.1", "2.1": "Sim AC 2.1"}
VERSIONS = ("1.6", "2.0.1", "2.1")

FAST: Mapping[str, Mapping[str, Any]] = {
    "ocpp": {"call_timeout_s": 2.0, "heartbeat_interval_s": 60},
    "database": {"commit_spacing_ms": 1.0},
    "permission": {"question_timeout_s": 60.0, "debounce_s": 0.0},
    "dispatch": {"tick_s": 0.3, "setpoint_validity_s": 20, "min_change_s": 0.0, "settle_s": 0.5},
    "metering": {"sample_interval_s": 1},
    "settlement": {"interval": 5, "grace_s": 0.5},
    "security": {"failures_per_minute": 1000, "registrations_per_minute": 1000},
}
"""A server in a hurry. The price is high because a test sells a few Wh only."""

TARIFF_PER_KWH = 3000
FAST_STATION = {"sample_interval_s": 0.2, "interval_fraction": 0.2, "tick_s": 0.1, "reconnect_s": 0.1}


def settings_for(url: str, **changes: Mapping[str, Any]) -> Settings:
    """FAST on free ports, with a section's keys changed where a test wants that."""
    sections: dict[str, Any] = {name: dict(values) for name, values in FAST.items()}
    sections["ocpp"]["port"], sections["http"] = free_port(), {"port": free_port()}
    sections["database"]["url"] = url
    sections["tariff"] = [{"price_per_kwh": TARIFF_PER_KWH}]
    for name, values in changes.items():
        sections[name] = sections.get(name, {}) | dict(values) if isinstance(values, Mapping) else values
    return Settings.model_validate(sections)


def car(soc_percent: float = 60.0, capacity_wh: float = 40_000.0) -> Ev:
    """A vehicle that can discharge."""
    battery = Battery(capacity_wh, capacity_wh * soc_percent / 100)
    return Ev(battery, max_charge_w=7360.0, max_discharge_w=6000.0)


async def until(look: Callable[[], Awaitable[Any]], what: str, timeout_s: float = DEADLINE_S) -> Any:
    """Look again and again until there is something; what was found. Fails with ``what`` was waited for."""
    deadline, found = monotonic() + timeout_s, await look()
    while not found:
        assert monotonic() < deadline, f"waited {timeout_s:g} s in vain: {what}"
        await asyncio.sleep(LOOK_AGAIN_S)
        found = await look()
    return found


class World:
    """A server and whoever talks to it. Stations, drivers and clients are closed with it."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self.settings = settings
        self._stack = stack
        self._server = AsyncExitStack()
        self._numbers = itertools.count(1)
        self.daemon: Daemon
        http = settings.http
        self.api = httpx.AsyncClient(
            base_url=f"http://{http.host}:{http.port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            trust_env=False,
        )

    @property
    def ocpp_url(self) -> str:
        return f"ws://127.0.0.1:{self.settings.ocpp.port}/ocpp"

    # --- the server

    async def start(self, clock: Clock | None = None) -> None:
        self.daemon = await self._server.enter_async_context(running(self.settings, clock))

    async def stop(self) -> None:
        """An orderly stop; everything may be started again on the same database."""
        await self._server.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def give_token(self) -> None:
        write = partial(
            writes.add_api_token, token_hash=hash_token(TOKEN), scope="operator", name="op", at=datetime.now(UTC)
        )
        await self.daemon.system.store.writer.run(write)

    # --- the operator

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.api.get(f"/api/v1{path}", params=query)
        assert answer.is_success, f"GET {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self.api.post(f"/api/v1{path}", json=body)
        assert answer.is_success, f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def call(self, station: str, action: str, payload: Mapping[str, Any], timeout_s: float = 5) -> Any:
        """A call by hand: the station's result; a CALLERROR fails the test."""
        answer = await self.post(
            f"/stations/{station}/calls", {"action": action, "payload": payload, "timeout_s": timeout_s}
        )
        assert "result" in answer, answer
        return answer["result"]

    async def evse(self, station: str, evse: int = 1) -> dict[str, Any]:
        seen = await self.get(f"/stations/{station}")
        return next(item for item in seen["evses"] if item["evse"] == evse)

    async def transactions(self, station: str, **query: Any) -> list[dict[str, Any]]:
        return (await self.get("/transactions", station=station, **query))["items"]

    async def closed_transaction(self, station: str) -> dict[str, Any]:
        """The one transaction of a station, once it is closed."""

        async def look() -> Any:
            return await self.transactions(station, active="false")

        (record,) = await until(look, f"a closed transaction at {station}")
        assert len(await self.transactions(station)) == 1
        return record

    async def open_transaction(self, station: str) -> dict[str, Any]:
        async def look() -> Any:
            return await self.transactions(station, active="true")

        (record,) = await until(look, f"a running transaction at {station}")
        return record

    async def event(
        self,
        requested_w: int,
        *,
        direction: str = "down",
        seconds: float = 60,
        price: str | int = 9000,
        starts_in_s: float = 0,
    ) -> dict[str, Any]:
        """POST a DR event that starts now, by the server's clock, or later."""
        start = datetime.now(UTC) + timedelta(seconds=starts_in_s)
        body = {
            "direction": direction,
            "requested_w": requested_w,
            "ends_at": (start + timedelta(seconds=seconds)).isoformat(),
            "price_per_kwh": str(price),
        }
        return await self.post("/dr-events", body | ({"starts_at": start.isoformat()} if starts_in_s else {}))

    # --- stations and people

    async def provision(self, station: str, evses: int = 1, max_discharge_w: int = 6000, **more: Any) -> None:
        ratings = [{"evse": n, "max_charge_w": 7360, "max_discharge_w": max_discharge_w} for n in range(1, evses + 1)]
        await self.post("/stations", {"id": station, "password": PASSWORD, "evses": ratings} | more)

    def new_id(self, prefix: str = "CS") -> str:
        return f"{prefix}{next(self._numbers)}"

    async def station(
        self,
        model: str,
        *,
        evses: int = 1,
        behaviours: Iterable[str | Behaviour] = (),
        ramp_w_per_s: float = 20_000.0,
        **spec: Any,
    ) -> Station:
        """A simulated station that is provisioned, connected, booted and set up."""
        id_ = self.new_id()
        discharge_w = 6000 if MODELS[model].discharges else 0
        await self.provision(id_, evses, discharge_w)
        rating = EvseSpec(max_discharge_w=float(discharge_w), ramp_w_per_s=ramp_w_per_s)
        made = StationSpec(id=id_, model=MODELS[model], evses=(rating,) * evses, **(FAST_STATION | spec))
        station = Station(made, self.ocpp_url, password=PASSWORD, behaviours=behaviours)
        await self._stack.enter_async_context(station)
        await station.until(lambda: is_set_up(station), DEADLINE_S)
        return station

    async def raw(self, version: str, *, id_: str | None = None, evses: int = 1, boot: bool = True) -> RawStation:
        """A bare socket of a provisioned station; with ``boot`` it has booted and was set up."""
        station = id_ or self.new_id("RAW")
        if id_ is None:
            await self.provision(station, evses)
        raw = await self._stack.enter_async_context(connected(self.ocpp_url, station, version, PASSWORD))
        if boot:
            await raw.boot()
            await raw.heard_call("TriggerMessage")
        return raw

    async def driver(self, station: str, evse: int = 1, **vehicle: Any) -> Driver:
        """Somebody who opens the EVSE's link for the first time and fills in the form."""
        link = (await self.evse(station, evse))["link"]
        driver = await self._stack.enter_async_context(Driver(str(self.api.base_url)))
        await driver.register(link, **vehicle)
        return driver

    async def idtoken(self, token: str, **more: Any) -> None:
        await self.post("/id-tokens", {"token": token} | more)


def is_set_up(station: Station) -> bool:
    """Booted, configured, with its failsafe limit, and every status told."""
    told = len(said(station, "StatusNotification")) + len(said(station, "NotifyEvent"))
    has_limit = bool(asked(station, "SetChargingProfile"))
    return has_limit and told >= len(station.spec.evses) and not station.hardware.queue.items


def asked(station: Station, action: str) -> list[dict[str, Any]]:
    """Payloads of the calls that a simulated station was sent, oldest first."""
    return [frame[3] for frame in frames(station, sent=False) if frame[0] == 2 and frame[2] == action]


def said(station: Station, action: str) -> list[dict[str, Any]]:
    """Payloads of the calls that a simulated station sent, oldest first."""
    return [frame[3] for frame in frames(station, sent=True) if frame[0] == 2 and frame[2] == action]


def frames(station: Station, *, sent: bool) -> list[Any]:
    return [orjson.loads(frame.text) for frame in station.frames if frame.sent is sent]


@asynccontextmanager
async def world_on(url: str, **changes: Mapping[str, Any]) -> AsyncIterator[World]:
    """A started world on a database."""
    async with AsyncExitStack() as stack:
        world = World(settings_for(url, **changes), stack)
        stack.push_async_callback(world.api.aclose)
        stack.push_async_callback(world.stop)
        await world.start()
        await world.give_token()
        yield world
