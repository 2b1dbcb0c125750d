"""A tiny central system for the stations' own tests. Every frame from the station is held against the OCPP schemas."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import jsonschema_rs
import ocpp
import orjson
from websockets.asyncio.server import Server, ServerConnection, serve

from simulators.battery import Battery
from simulators.behaviours import Behaviour
from simulators.clock import ManualClock
from simulators.ev import Ev
from simulators.evse import EvseSpec
from simulators.models import MODELS, V16, StationSpec
from simulators.station import Station

Payload = dict[str, Any]
START = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
FOLDERS = {"ocpp1.6": "v16", "ocpp2.0.1": "v201", "ocpp2.1": "v21"}
PATIENCE_S = 10.0


@cache
def validator(version: str, name: str) -> jsonschema_rs.Draft4Validator:
    file = Path(ocpp.__file__).parent / FOLDERS[version] / "schemas" / f"{name}.json"
    return jsonschema_rs.Draft4Validator(orjson.loads(file.read_text(encoding="utf-8-sig")), validate_formats=True)


def usual_answers(version: str) -> dict[str, Payload]:
    accepted = {"status": "Accepted"}
    boot = {"status": "Accepted", "interval": 300, "currentTime": "2026-11-20T17:00:00Z"}
    if version == V16:
        start = {"transactionId": 7, "idTagInfo": accepted}
        return {"BootNotification": boot, "Authorize": {"idTagInfo": accepted}, "StartTransaction": start}
    return {"BootNotification": boot, "Authorize": {"idTokenInfo": accepted}, "NotifyEVChargingNeeds": accepted}


class FakeCsms:
    """Answers as told in ``answers`` (a payload, or None for a CALLERROR); remembers what came in."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.answers: dict[str, Payload | None] = dict(usual_answers(version))
        self.received: list[tuple[str, str, Payload]] = []
        self.right_behind: dict[str, tuple[str, Payload]] = {}
        """A CALL that follows an answer in the same breath."""
        self.headers: list[Any] = []
        self.invalid: list[str] = []
        self._socket: ServerConnection | None = None
        self._pending: dict[str, tuple[str, asyncio.Future[list[Any]]]] = {}
        self._ids = itertools.count()
        self._news = asyncio.Event()
        self._cursor = 0
        self.open_sockets = 0
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, subprotocols=[self.version], close_timeout=1)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/ocpp"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        assert self.invalid == []

    async def _serve(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.open_sockets += 1
        self.headers.append(socket.request)
        with contextlib.suppress(Exception):
            async for text in socket:
                await self._received(socket, orjson.loads(text))
        self.open_sockets -= 1

    async def _received(self, socket: ServerConnection, message: list[Any]) -> None:
        if message[0] != 2:
            action, waiting = self._pending.pop(message[1])
            if message[0] == 3:
                self._check(f"{action}Response", message[2])
            waiting.set_result(message)
            return
        _, message_id, action, payload = message
        self._check(action if self.version == V16 else f"{action}Request", payload)
        self.received.append((message_id, action, payload))
        self._news.set()
        answer = self.answers.get(action, {})
        reply = [4, message_id, "InternalError", "", {}] if answer is None else [3, message_id, answer]
        frames = [orjson.dumps(reply).decode()]
        if action in self.right_behind:
            frames.append(orjson.dumps([2, f"behind-{message_id}", *self.right_behind[action]]).decode())
            self._pending[f"behind-{message_id}"] = (
                self.right_behind[action][0],
                asyncio.get_running_loop().create_future(),
            )
        for frame in frames:
            await socket.send(frame)

    def _check(self, name: str, payload: Payload) -> None:
        self.invalid += [
            f"{name}: {error.message} in {payload}" for error in validator(self.version, name).iter_errors(payload)
        ]

    async def call(self, action: str, payload: Payload) -> Payload:
        """The station's answer; a CALLERROR as {"error": code}."""
        message_id = f"csms-{next(self._ids)}"
        waiting = asyncio.get_running_loop().create_future()
        self._pending[message_id] = (action, waiting)
        await self._socket.send(orjson.dumps([2, message_id, action, payload]).decode())
        async with asyncio.timeout(PATIENCE_S):
            message = await waiting
        return message[2] if message[0] == 3 else {"error": message[2]}

    async def shout(self, text: str) -> None:
        """Send a text that may be no frame."""
        await self._socket.send(text)

    async def expect(self, action: str, holds: Callable[[Payload], bool] = lambda _: True) -> Payload:
        """The next message of a kind; what came before it is skipped."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._cursor < len(self.received):
                    _, name, payload = self.received[self._cursor]
                    self._cursor += 1
                    if name == action and holds(payload):
                        return payload
                self._news.clear()
                await self._news.wait()

    def all(self, action: str) -> list[Payload]:
        return [payload for _, name, payload in self.received if name == action]


class Scene:
    """A station at a fake CSMS, in virtual time."""

    def __init__(self, csms: FakeCsms, station: Station, clock: ManualClock) -> None:
        self.csms, self.station, self.clock = csms, station, clock

    @property
    def power_w(self) -> float:
        return round(self.station.evse().meter.power_w, 3)

    async def start_charging(self, ev: Ev) -> str:
        """Plug in and show a card; returns the transaction's id once power may flow."""
        self.station.plug(ev)
        self.station.present("CARD0001")
        await self.station.until(lambda: self.station.evse().may_flow)
        session = self.station.evse().session
        return session.transaction

    async def profile(self, limit: float | None = None, **extra: Any) -> Payload:
        """Send a TxProfile with one period; ``extra`` goes into the period or, by its prefix ``p_``, the profile."""
        version, session = self.csms.version, self.station.evse().session
        period = {"startPeriod": 0} | ({} if limit is None else {"limit": limit})
        period |= {key: value for key, value in extra.items() if not key.startswith("p_")}
        given = {key[2:]: value for key, value in extra.items() if key.startswith("p_")}
        schedule = {"chargingRateUnit": given.pop("unit", "W"), "chargingSchedulePeriod": [period]}
        schedule |= {"duration": given.pop("duration")} if "duration" in given else {}
        common = {"stackLevel": 2, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative"}
        common |= {"transactionId": session.transaction} if session else {}
        common |= given
        if version == V16:
            common |= {"transactionId": int(common["transactionId"])} if "transactionId" in common else {}
            whole = {"chargingProfileId": 101, "chargingSchedule": schedule} | common
            return await self.csms.call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": whole})
        whole = {"id": 101, "chargingSchedule": [{"id": 1} | schedule]} | common
        return await self.csms.call("SetChargingProfile", {"evseId": 1, "chargingProfile": whole})


@contextlib.asynccontextmanager
async def scene(
    model: str,
    *,
    behaviours: Iterable[str | Behaviour] = (),
    evse: EvseSpec | None = None,
    evses: int = 1,
    **spec: Any,
) -> AsyncIterator[Scene]:
    """A booted station of a model at a fake CSMS of its version."""
    chosen = MODELS[model]
    ratings = evse or EvseSpec(max_discharge_w=7360.0 if chosen.discharges else 0.0)
    clock = ManualClock(START)
    async with FakeCsms(chosen.version) as csms:
        given = {"sample_interval_s": 10.0, "reconnect_s": 0.0} | spec
        station = Station(
            StationSpec(id="S1", model=chosen, evses=(ratings,) * evses, **given),
            csms.url,
            password="password-0123456789",
            clock=clock,
            behaviours=behaviours,
        )
        async with station:
            await station.until(lambda: station.online)
            yield Scene(csms, station, clock)


def car(soc: float = 0.5, capacity_wh: float = 60_000.0, discharge_w: float = 7400.0) -> Ev:
    return Ev(Battery(capacity_wh, capacity_wh * soc), 7400.0, discharge_w)
