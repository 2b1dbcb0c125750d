"""How long a fleet with passwords takes to be back after a restart of the server. Prints JSON.

``python -m tests.bench.returning [--stations 5000] [--chosen]``: stations accepted before, one password each, all
connect at the same moment and try again a second after a refusal. Back = let in, and one Heartbeat answered.
``--chosen``: passwords an operator chose (argon2) instead of made ones (keyed hash).
The clients run in this process and cost about as much as the server: the figure is that of both.
"""

import argparse
import asyncio
import base64
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import uvloop

from csms.control.stations.credentials import Passwords, hash_password, server_key
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.station import BootState, Evse, Station, Version
from csms.store import open_store, writes
from tests.bench.load import framed
from tests.bench.run import cpu_s, free_port, serving

HEARTBEAT = framed(b'[2,"h","Heartbeat",{}]')


class Client(asyncio.Protocol):
    """One station: connects until it is let in, then says one Heartbeat and answers nothing."""

    def __init__(self, hello: bytes, ended: asyncio.Future[bool]) -> None:
        self.hello, self.ended, self.is_in = hello, ended, False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.write(self.hello)

    def data_received(self, data: bytes) -> None:
        if not self.is_in and b" 101 " in data[:20]:
            self.is_in = True
            self.transport.write(HEARTBEAT)
        if self.is_in and b'[3,"h"' in data and not self.ended.done():
            self.ended.set_result(True)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(False)


async def come_back(number: int, port: int, password: str) -> int:
    """How many tries it took."""
    loop = asyncio.get_running_loop()
    word = base64.b64encode(f"R{number:05d}:{password}".encode()).decode()
    hello = (
        f"GET /ocpp/R{number:05d} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(b'0123456789abcdef').decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: ocpp1.6\r\nAuthorization: Basic {word}\r\n\r\n"
    ).encode()
    for tries in range(1, 1000):
        ended = loop.create_future()
        try:
            await loop.create_connection(lambda: Client(hello, ended), "127.0.0.1", port)  # noqa: B023  used at once
        except OSError:
            ended.set_result(False)
        if await ended:
            return tries
        await asyncio.sleep(1.0)
    raise SystemExit(f"station {number} was never let in")


async def provision(url: str, stations: int, passwords: list[str], *, chosen: bool) -> None:
    store = open_store(url)
    keep = Passwords(await server_key(store))
    same = hash_password(passwords[0]) if chosen else ""

    def write(conn: object) -> None:
        for number in range(stations):
            id_ = StationId(f"R{number:05d}")
            evse = Evse(ref=EvseRef(id_, 1), site=SiteId("default"))
            station = Station(
                id=id_, site=SiteId("default"), evses=(evse,), version=Version.V16, boot_state=BootState.ACCEPTED
            )
            kept = same or keep.of_made(id_, passwords[number])
            writes.upsert_station(conn, station=station, password_hash=kept)

    await store.writer.run(partial(write))
    await store.close()


async def measure(stations: int, *, chosen: bool) -> None:
    passwords = ["0123456789abcdef0123456789ABCDEF" if chosen else os.urandom(16).hex() for _ in range(stations)]
    with tempfile.TemporaryDirectory() as directory:
        url, port = f"sqlite:///{directory}/bench.db", free_port()
        await provision(url, stations, passwords, chosen=chosen)
        env = {
            "CSMS_OCPP__PORT": str(port),
            "CSMS_HTTP__PORT": str(free_port()),
            "CSMS_DATABASE__URL": url,
            "CSMS_LOG__LEVEL": "error",
        }
        command = [str(Path(sys.executable).with_name("csms")), "serve"]
        with serving(command, port, env, directory) as pid:
            start, cpu = time.monotonic(), cpu_s(pid)
            tries = await asyncio.gather(*(come_back(n, port, passwords[n]) for n in range(stations)))
            seconds = time.monotonic() - start
            used_s = cpu_s(pid) - cpu
    result = {"stations": stations, "chosen": chosen, "seconds": round(seconds, 2), "server_cpu_s": round(used_s, 2)}
    sys.stdout.write(json.dumps(result | {"tries_per_station": round(sum(tries) / stations, 2)}) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stations", type=int, default=5000)
    parser.add_argument("--chosen", action="store_true")
    given = parser.parse_args()
    uvloop.run(measure(given.stations, chosen=given.chosen))
