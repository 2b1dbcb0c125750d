"""A station that is nothing but frames on a socket, for scenarios about single messages."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Payload = dict[str, Any]
DEADLINE_S = 60.0
SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}


def _set_variables(payload: Payload) -> Payload:
    echo = ("component", "variable")
    results = [
        {key: item[key] for key in echo} | {"attributeStatus": "Accepted"} for item in payload["setVariableData"]
    ]
    return {"setVariableResult": results}


ANSWERS: Mapping[str, Callable[[Payload], Payload]] = {"SetVariables": _set_variables}
"""What is not here is answered Accepted."""


class RawStation:
    """``answers`` may be changed: action → payload, or None for no answer at all."""

    def __init__(self, socket: ClientConnection, id_: str, version: str) -> None:
        self.socket, self.id, self.version = socket, id_, version
        self.calls: list[tuple[str, str, Payload]] = []
        """(message id, action, payload) that the server asked."""
        self.heard: list[Any] = []
        """Every frame that came in."""
        self.answers: dict[str, Callable[[Payload], Payload | None]] = dict(ANSWERS)
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._came = asyncio.Condition()
        self._numbers = itertools.count(1)

    # --- what the station says

    async def say(self, text: str | bytes) -> None:
        await self.socket.send(text)

    async def ask(self, action: str, payload: Payload, message_id: str | None = None) -> Any:
        """Send a CALL; the whole answering frame."""
        id_ = message_id or f"{self.id}-{next(self._numbers)}-{id(self):x}"
        answer = self._waiting[id_] = asyncio.get_running_loop().create_future()
        await self.say(orjson.dumps([2, id_, action, payload]).decode())
        async with asyncio.timeout(DEADLINE_S):
            return await answer

    async def tell(self, action: str, payload: Payload, message_id: str | None = None) -> Payload:
        """Send a CALL; the payload of its CALLRESULT."""
        answer = await self.ask(action, payload, message_id)
        assert answer[0] == 3, f"{action}: {answer}"
        return answer[2]

    async def boot(self) -> Payload:
        if self.version == "1.6":
            return await self.tell("BootNotification", {"chargePointVendor": "Raw", "chargePointModel": "Bare"})
        station = {"vendorName": "Raw", "model": "Bare"}
        return await self.tell("BootNotification", {"reason": "PowerUp", "chargingStation": station})

    async def status(self, status: str, connector: int = 1) -> None:
        if self.version == "1.6":
            body: Payload = {"connectorId": connector, "errorCode": "NoError", "status": status, "timestamp": now()}
        else:
            body = {"evseId": connector, "connectorId": 1, "connectorStatus": status, "timestamp": now()}
        await self.tell("StatusNotification", body)

    async def metered(self, power_w: int) -> None:
        """Power into the vehicle at the first EVSE, now."""
        sample = {"measurand": "Power.Active.Import", "context": "Sample.Periodic"}
        if self.version == "1.6":
            values = [{"timestamp": now(), "sampledValue": [sample | {"value": str(power_w), "unit": "W"}]}]
            await self.tell("MeterValues", {"connectorId": 1, "meterValue": values})
            return
        values = [{"timestamp": now(), "sampledValue": [sample | {"value": power_w}]}]
        await self.tell("MeterValues", {"evseId": 1, "meterValue": values})

    # --- what it heard

    async def until(self, holds: Callable[[], Any], what: str = "") -> Any:
        """Wait for the next frames until something holds."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._came:
                await self._came.wait_for(lambda: bool(holds()))
                return holds()
        except TimeoutError:
            raise AssertionError(f"{self.id} never heard {what}: {self.heard}") from None

    async def heard_call(self, action: str, fits: Callable[[Payload], bool] = lambda _: True) -> Payload:
        """The first call of this kind, once it has come."""

        def found() -> list[Payload]:
            return [payload for _, name, payload in self.calls if name == action and fits(payload)]

        return (await self.until(found, action))[0]

    def count(self, action: str) -> int:
        return sum(name == action for _, name, _ in self.calls)

    async def read(self) -> None:
        with suppress(ConnectionClosed):
            async for text in self.socket:
                await self._received(orjson.loads(text))

    async def _received(self, frame: Any) -> None:
        self.heard.append(frame)
        if frame[0] == 2:
            await self._asked(*frame[1:4])
        elif (answer := self._waiting.pop(frame[1], None)) and not answer.done():
            answer.set_result(frame)
        async with self._came:
            self._came.notify_all()

    async def _asked(self, message_id: str, action: str, payload: Payload) -> None:
        self.calls.append((message_id, action, payload))
        answer = self.answers.get(action, lambda _: {"status": "Accepted"})(payload)
        if answer is not None:
            await self.say(orjson.dumps([3, message_id, answer]).decode())


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@asynccontextmanager
async def connected(url: str, id_: str, version: str, password: str | None) -> AsyncIterator[RawStation]:
    """A raw station on an open socket, reading until the end of the block."""
    word = base64.b64encode(f"{id_}:{password}".encode()).decode()
    headers = {} if password is None else {"Authorization": f"Basic {word}"}
    protocols = [Subprotocol(SUBPROTOCOLS[version])]
    options: Any = {"subprotocols": protocols, "additional_headers": headers, "proxy": None, "ping_interval": None}
    async with connect(f"{url}/{id_}", **options) as socket:
        station = RawStation(socket, id_, version)
        reading = asyncio.create_task(station.read())
        try:
            yield station
        finally:
            await socket.close()
            await reading
