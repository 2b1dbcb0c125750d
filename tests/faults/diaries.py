"""Stations that keep a diary of what they said and what was confirmed, and the examination of a database against it."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, create_engine, text
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.e2e.raw import RawStation, connected, now

TABLES = ("transaction", "transaction_event", "meter_value", "parked_stop", "quarantine")


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


def confirmed(diaries: list[Diary]) -> int:
    return sum(len(diary.confirmed) for diary in diaries)


async def talk(ocpp_url: str, diary: Diary) -> None:
    with suppress(ConnectionClosed, WebSocketException, OSError, asyncio.CancelledError):
        async with connected(ocpp_url, diary.id, diary.version, None) as station:
            await station.boot()
            lost = asyncio.create_task(station.socket.wait_closed())
            living = asyncio.create_task(diary.live(station))
            await asyncio.wait([lost, living], return_when=asyncio.FIRST_COMPLETED)
            living.cancel()
            await asyncio.gather(living, lost, return_exceptions=True)


async def repeat(ocpp_url: str, diary: Diary) -> None:
    """Everything that was confirmed is sent once more, with new message ids; the answers must be the same."""
    async with connected(ocpp_url, diary.id, diary.version, None) as station:
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


def counts_of(url: str, table: str) -> int:
    """Rows of one table."""
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            return int(conn.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one())
    finally:
        engine.dispose()
