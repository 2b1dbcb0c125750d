"""Must hold 3: whatever was confirmed to a station survives SIGKILL at any instant, and its repetition adds nothing."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.databases import ENGINES, empty_database
from tests.e2e.raw import RawStation, connected, now
from tests.e2e.world import until
from tests.servers import Server

pytestmark = pytest.mark.long

ROUNDS = 2
ENOUGH = 60
"""So many messages are confirmed in a round at least, however slow the machine is."""
STATIONS = {"F1": "1.6", "F2": "1.6", "F3": "2.0.1", "F4": "2.1"}
TABLES = ("transaction", "transaction_event", "meter_value", "parked_stop", "quarantine")
CONFIG = """
[ocpp]
auto_register = true
"""


@dataclass(slots=True)
class Said:
    """A message and, once it was confirmed, its answer."""

    action: str
    payload: dict[str, Any]
    answer: dict[str, Any] | None = None


@dataclass(slots=True)
class Diary:
    """What one station said in its life. ``registers`` never repeats, so every message is unlike all others."""

    id: str
    version: str
    said: list[Said] = field(default_factory=list)
    registers: Iterator[int] = field(default_factory=lambda: itertools.count(1000, 7))
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def confirmed(self) -> list[Said]:
        return [item for item in self.said if item.answer is not None]

    async def live(self, station: RawStation) -> None:
        """Say on what was not confirmed yet, then one transaction after the other until the socket is gone."""
        for item in self.said:
            if item.answer is None:
                await self.say(station, item)
        while True:
            await (self.session_16(station) if self.version == "1.6" else self.session_2(station))

    async def tell(self, station: RawStation, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        item = Said(action, payload)
        self.said.append(item)
        return await self.say(station, item)

    async def say(self, station: RawStation, item: Said) -> dict[str, Any]:
        item.answer = await station.tell(item.action, item.payload)
        return item.answer

    async def session_16(self, station: RawStation) -> None:
        start = {"connectorId": 1, "idTag": "CARD", "meterStart": next(self.registers), "timestamp": now()}
        number = (await self.tell(station, "StartTransaction", start))["transactionId"]
        for _ in range(3):
            sample = {"value": str(next(self.registers)), "measurand": "Energy.Active.Import.Register"}
            value = {"timestamp": now(), "sampledValue": [sample]}
            await self.tell(station, "MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": [value]})
        stop = {"transactionId": number, "meterStop": next(self.registers), "timestamp": now(), "reason": "Local"}
        await self.tell(station, "StopTransaction", stop)

    async def session_2(self, station: RawStation) -> None:
        transaction = f"{self.id}-{next(self.numbers)}"
        for seq_no, kind in enumerate(("Started", "Updated", "Updated", "Updated", "Ended")):
            sample = {"value": next(self.registers), "measurand": "Energy.Active.Import.Register"}
            event = {
                "eventType": kind,
                "timestamp": now(),
                "triggerReason": "MeterValuePeriodic",
                "seqNo": seq_no,
                "transactionInfo": {"transactionId": transaction},
                "evse": {"id": 1, "connectorId": 1},
                "meterValue": [{"timestamp": now(), "sampledValue": [sample]}],
            }
            await self.tell(station, "TransactionEvent", event)


async def under_load(server: Server, diaries: list[Diary], seconds: float) -> None:
    """All stations talk at once until the server is killed in mid-sentence."""
    before = confirmed(diaries)
    tasks = [asyncio.create_task(talk(server, diary)) for diary in diaries]
    await asyncio.sleep(seconds)  # the moment is the test's input

    async def has_said_enough() -> bool:
        return confirmed(diaries) >= before + ENOUGH

    await until(has_said_enough, "enough to be confirmed", 60)
    server.kill()
    await asyncio.gather(*tasks)


def confirmed(diaries: list[Diary]) -> int:
    return sum(len(diary.confirmed) for diary in diaries)


async def talk(server: Server, diary: Diary) -> None:
    with suppress(ConnectionClosed, WebSocketException, OSError, asyncio.CancelledError):
        async with connected(server.ocpp_url, diary.id, diary.version, None) as station:
            await station.boot()
            lost = asyncio.create_task(station.socket.wait_closed())
            living = asyncio.create_task(diary.live(station))
            await asyncio.wait([lost, living], return_when=asyncio.FIRST_COMPLETED)
            living.cancel()
            await asyncio.gather(living, lost, return_exceptions=True)


async def repeat(server: Server, diary: Diary) -> None:
    """Everything that was confirmed is sent once more, with new message ids; the answers must be the same."""
    async with connected(server.ocpp_url, diary.id, diary.version, None) as station:
        await station.boot()
        for item in diary.confirmed:
            assert await station.tell(item.action, item.payload) == item.answer


def counts(conn: Connection) -> dict[str, int]:
    return {table: conn.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one() for table in TABLES}


def is_stored(conn: Connection, station: str, item: Said) -> bool:
    """Whether the database knows a confirmed message."""
    payload, where = item.payload, {"station": station}
    match item.action:
        case "StartTransaction":
            query = "transaction = :id AND meter_start_wh = :wh"
            where |= {"id": str(item.answer["transactionId"]), "wh": payload["meterStart"]}
            return exists(conn, "transaction", query, where)
        case "StopTransaction":
            where |= {"id": str(payload["transactionId"]), "wh": payload["meterStop"]}
            return exists(conn, "transaction", "transaction = :id AND meter_stop_wh = :wh", where)
        case "MeterValues":
            where |= {"wh": float(payload["meterValue"][0]["sampledValue"][0]["value"])}
            return exists(conn, "meter_value", "import_wh = :wh", where)
        case _:
            where |= {"id": payload["transactionInfo"]["transactionId"], "seq": payload["seqNo"]}
            is_there = exists(conn, "transaction_event", "transaction = :id AND seq_no = :seq", where)
            where |= {"wh": float(payload["meterValue"][0]["sampledValue"][0]["value"])}
            return is_there and exists(conn, "meter_value", "transaction = :id AND import_wh = :wh", where)


def exists(conn: Connection, table: str, query: str, where: dict[str, Any]) -> bool:
    query = query.replace("transaction =", '"transaction" =')
    found = conn.execute(text(f'SELECT count(*) FROM "{table}" WHERE station = :station AND {query}'), where)
    return found.scalar_one() == 1


def examine(url: str, diaries: list[Diary]) -> dict[str, int]:
    """Every confirmed message is in the database, once. Returns the numbers of rows."""
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            lost = [(d.id, item) for d in diaries for item in d.confirmed if not is_stored(conn, d.id, item)]
            assert lost == []
            return counts(conn)
    finally:
        engine.dispose()


@pytest.mark.parametrize("engine", ENGINES)
async def test_nothing_confirmed_is_lost_by_a_kill_and_repetitions_add_nothing(engine: str, tmp_path: Path) -> None:
    """Issue 2, what bad input gets: SIGKILL at random moments under load, on both engines."""
    moments = Random(20261120)
    diaries = [Diary(id_, version) for id_, version in STATIONS.items()]
    with empty_database(engine, tmp_path) as url:
        server = Server(tmp_path, url, CONFIG)
        try:
            for _ in range(ROUNDS):
                server.start()
                await under_load(server, diaries, moments.uniform(0.5, 2.0))
                before = examine(url, diaries)
                server.start()
                await asyncio.gather(*(repeat(server, diary) for diary in diaries))
                server.kill()
                assert examine(url, diaries) == before
        finally:
            server.kill()
        assert confirmed(diaries) > 100
        assert "Traceback" not in server.log()
