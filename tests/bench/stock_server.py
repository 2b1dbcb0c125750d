"""The usual way, to measure against: `ocpp` ChargePoint, `websockets.serve`, one SQLModel commit per message.

``python stock_server.py PORT DATABASE``. Everything at its defaults; SQLite in WAL with synchronous=FULL, as ours is.
"""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action, RegistrationStatus
from sqlalchemy import JSON, Column, event
from sqlmodel import Field, Session, SQLModel, create_engine
from websockets.asyncio.server import ServerConnection, serve


class Message(SQLModel, table=True):
    """One message of a station."""

    id: int | None = Field(default=None, primary_key=True)
    station: str = Field(index=True)
    action: str
    received_at: datetime
    payload: dict[str, Any] = Field(sa_column=Column(JSON))


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def opened(path: str) -> Any:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    SQLModel.metadata.create_all(engine)
    return engine


class Station(ChargePoint):
    """A station on the library's own loop."""

    engine: Any = None

    def keep(self, action: str, payload: dict[str, Any]) -> None:
        with Session(self.engine) as session:
            session.add(Message(station=self.id, action=action, received_at=datetime.now(UTC), payload=payload))
            session.commit()

    @on(Action.boot_notification)
    async def booted(self, **payload: Any) -> call_result.BootNotification:
        self.keep("BootNotification", payload)
        return call_result.BootNotification(now(), 300, RegistrationStatus.accepted)

    @on(Action.heartbeat)
    async def heard(self) -> call_result.Heartbeat:
        self.keep("Heartbeat", {})
        return call_result.Heartbeat(now())

    @on(Action.status_notification)
    async def reported(self, **payload: Any) -> call_result.StatusNotification:
        self.keep("StatusNotification", payload)
        return call_result.StatusNotification()

    @on(Action.meter_values)
    async def metered(self, **payload: Any) -> call_result.MeterValues:
        self.keep("MeterValues", payload)
        return call_result.MeterValues()


async def connected(socket: ServerConnection) -> None:
    assert socket.request is not None
    await Station(socket.request.path.rpartition("/")[2], socket).start()


async def main(port: int, database: str) -> None:
    logging.disable(logging.CRITICAL)
    Station.engine = opened(database)
    async with serve(connected, "127.0.0.1", port, subprotocols=["ocpp1.6"], compression=None) as server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
