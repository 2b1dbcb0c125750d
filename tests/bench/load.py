"""Stations for measuring, in a process of their own: raw WebSocket frames on uvloop, as cheap as Python can make them.

``python load.py URL STATIONS MODE SECONDS WARM_UP_S PREFIX``. MODE ``mix`` keeps one CALL open per station (80 %
MeterValues of 10 samples, 10 % Heartbeat, 10 % StatusNotification); ``idle`` connects and waits; ``boot`` boots too;
``return`` boots and tells its status, as a station does that was away; ``deflate`` is ``idle`` with compression
offered, ``mix-deflate`` is ``mix`` with every message compressed; ``tx`` keeps one 2.0.1 TransactionEvent of 10 samples
open per station. In every mode the stations answer what the server calls. Progress goes to standard output, one JSON
object per line.
"""

import asyncio
import base64
import struct
import sys
import time
import zlib
from urllib.parse import urlsplit

import orjson
import uvloop

MEASURANDS = (
    ("Energy.Active.Import.Register", "Wh", "{n}"),
    ("Energy.Active.Export.Register", "Wh", "0"),
    ("Power.Active.Import", "W", "7360.0"),
    ("Power.Active.Export", "W", "0.0"),
    ("Power.Offered", "W", "7360.0"),
    ("Current.Import", "A", "31.9"),
    ("Voltage", "V", "230.4"),
    ("Frequency", "Hz", "50.01"),
    ("Temperature", "Celsius", "38.5"),
    ("SoC", "Percent", "57"),
)
SAMPLES = (
    ",".join(
        f'{{"value":"{value}","context":"Sample.Periodic","measurand":"{name}","unit":"{unit}"}}'
        for name, unit, value in MEASURANDS
        if unit != "Hz"
    )
    + ',{"value":"50.01","context":"Sample.Periodic","measurand":"Frequency"}'
)
METER = (
    '[2,"%d","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"%s","sampledValue":['
    + SAMPLES.replace("{n}", "%d")
    + "]}]}]"
)
STATUS = '[2,"%d","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available","timestamp":"%s"}]'
SAMPLES_2 = ",".join(
    f'{{"value":{value},"context":"Sample.Periodic","measurand":"{name}","unitOfMeasure":{{"unit":"{unit}"}}}}'
    for name, unit, value in (*MEASURANDS[:8], MEASURANDS[9], ("Current.Offered", "A", "32"))
)
EVENT = (
    '[2,"%d","TransactionEvent",{"eventType":"%s","timestamp":"%s","triggerReason":"MeterValuePeriodic","seqNo":%d,'
    '"transactionInfo":{"transactionId":"bench-%d","chargingState":"Charging"},"evse":{"id":1,"connectorId":1},'
    '"meterValue":[{"timestamp":"%s","sampledValue":[' + SAMPLES_2.replace("{n}", "%d") + "]}]}]"
)
BOOT_2 = '[2,"boot","BootNotification",{"reason":"PowerUp","chargingStation":{"vendorName":"Bench","model":"Raw"}}]'
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
HEARTBEAT = '[2,"%d","Heartbeat",{}]'
BOOT = '[2,"boot","BootNotification",{"chargePointVendor":"Bench","chargePointModel":"Raw"}]'
ANSWERS = {
    "GetConfiguration": {"configurationKey": [], "unknownKey": []},
    "GetCompositeSchedule": {"status": "Rejected"},
    "TriggerMessage": {"status": "Rejected"},
}


def framed(text: bytes, opcode: int = 1) -> bytes:
    """A client's frame under the mask 0, which leaves the bytes as they are; the server unmasks it all the same."""
    length = len(text)
    head = bytes((0x80 | opcode, 0x80 | length)) if length < 126 else struct.pack(">BBH", 0x80 | opcode, 0xFE, length)
    return head + b"\0\0\0\0" + text


def deflated(text: bytes) -> bytes:
    """A client's compressed frame, as the server's offer has it: 10 window bits, no context takeover."""
    deflater = zlib.compressobj(wbits=-10)
    frame = framed((deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff"))
    return bytes((frame[0] | 0x40,)) + frame[1:]


class Clockwork:
    """The time as text, made once per millisecond."""

    def __init__(self) -> None:
        self._second, self._prefix = 0, ""

    def now(self) -> str:
        at = time.time()
        if int(at) != self._second:
            self._second = int(at)
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
        return f"{self._prefix}.{int(at % 1 * 1000):03d}Z"


class Fleet:
    """What all stations share: the mode and the counts."""

    def __init__(self, mode: str, prefix: str) -> None:
        self.mode, self.prefix = mode, prefix
        self.clock = Clockwork()
        self.is_running = mode in ("mix", "mix-deflate", "tx")
        self.boot = BOOT_2 if mode == "tx" else BOOT
        self.framed = deflated if mode == "mix-deflate" else framed
        self.answered = self.errors = self.lost = self.called = 0
        self.online: set[int] = set()
        self.changed = asyncio.Event()


class Station(asyncio.Protocol):
    """One station."""

    def __init__(self, fleet: Fleet, number: int, target: str, host: str) -> None:
        self.fleet, self.number, self.sent = fleet, number, number
        self.buffer = b""
        self.is_open = False
        self.hello = (
            f"GET {target}/{fleet.prefix}{number:05d} HTTP/1.1\r\nHost: {host}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(b'0123456789abcdef').decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {'ocpp2.0.1' if fleet.mode == 'tx' else 'ocpp1.6'}\r\n"
            f"{DEFLATE if fleet.mode.endswith('deflate') else ''}\r\n"
        ).encode()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.write(self.hello)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fleet.lost += 1
        self.fleet.online.discard(self.number)
        self.fleet.changed.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_open:
            self._open()
        while self.is_open and (frame := self._next()) is not None:
            self._take(*frame)

    def _open(self) -> None:
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 101 " not in head:
            raise SystemExit(f"refused: {head[:200]!r}")
        self.is_open, self.buffer = True, rest
        if self.fleet.mode in ("idle", "deflate"):
            self._is_online()
        else:
            self.transport.write(framed(self.fleet.boot.encode()))

    def _is_online(self) -> None:
        self.fleet.online.add(self.number)
        self.fleet.changed.set()

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        start, length = 2, buffer[1]
        if length == 126:
            if len(buffer) < 4:
                return None
            start, length = 4, int.from_bytes(buffer[2:4], "big")
        if len(buffer) < start + length:
            return None
        self.buffer = buffer[start + length :]
        text = buffer[start : start + length]
        if buffer[0] & 0x40:
            text = zlib.decompressobj(-15).decompress(text + b"\0\0\xff\xff")
        return buffer[0] & 0x0F, text

    def _take(self, opcode: int, text: bytes) -> None:
        if opcode == 9:
            self.transport.write(framed(text, 10))
        elif opcode == 8:
            self.transport.close()
        elif text.startswith(b"[2"):
            self._answer(text)
        elif text.startswith((b'[3,"boot"', b'[3, "boot"')):
            if self.fleet.mode == "return":
                self.sent = 0
                self.transport.write(framed((STATUS % (0, self.fleet.clock.now())).encode()))
                return
            self._is_online()
            if self.fleet.is_running:
                self._ask()
        elif self.fleet.mode == "return":
            self._is_online()
        else:
            self.fleet.answered += 1
            self.fleet.errors += text.startswith(b"[4")
            if self.fleet.is_running:
                self._ask()

    def _answer(self, text: bytes) -> None:
        _, message_id, action, _ = orjson.loads(text)
        self.fleet.called += 1
        self.transport.write(framed(orjson.dumps([3, message_id, ANSWERS.get(action, {"status": "Accepted"})])))

    def _ask(self) -> None:
        self.sent += 1
        if self.fleet.mode == "tx":
            number, now = self.sent - self.number, self.fleet.clock.now()
            phase = "Started" if number == 1 else "Updated"
            text = EVENT % (self.sent, phase, now, number, self.number, now, self.sent)
        else:
            text = self._mixed()
        self.transport.write(self.fleet.framed(text.encode()))

    def _mixed(self) -> str:
        match self.sent % 10:
            case 0:
                return HEARTBEAT % self.sent
            case 5:
                return STATUS % (self.sent, self.fleet.clock.now())
            case _:
                return METER % (self.sent, self.fleet.clock.now(), self.sent)


def say(**fields: object) -> None:
    print(orjson.dumps(fields).decode(), flush=True)


async def connect(fleet: Fleet, url: str, stations: int) -> None:
    """All stations, 50 at a time so that no listen queue overflows."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    for first in range(0, stations, 50):
        numbers = range(first, min(first + 50, stations))
        for number in numbers:
            await loop.create_connection(
                lambda number=number: Station(fleet, number, parts.path, parts.netloc), parts.hostname, parts.port
            )
        while len(fleet.online) < numbers[-1] + 1 and not fleet.lost:
            fleet.changed.clear()
            await fleet.changed.wait()


async def set_up(fleet: Fleet) -> None:
    """Until nearly nothing is asked of the stations any more, or for a minute: what each costs once, when it is new, is
    no part of a message."""
    for _ in range(60):
        before = fleet.called
        await asyncio.sleep(1)
        if fleet.called - before <= len(fleet.online) / 100:
            return


async def main(url: str, stations: int, mode: str, seconds: float, warm_up_s: float, prefix: str) -> None:
    fleet = Fleet(mode, prefix)
    begun_s = time.monotonic()
    await connect(fleet, url, stations)
    say(event="connected", stations=len(fleet.online), lost=fleet.lost, seconds=time.monotonic() - begun_s)
    if fleet.is_running:
        await set_up(fleet)
        await asyncio.sleep(warm_up_s)
        before, start = fleet.answered, time.monotonic()
        say(event="start")
        await asyncio.sleep(seconds)
        messages, elapsed_s = fleet.answered - before, time.monotonic() - start
        say(event="end", messages=messages, seconds=elapsed_s, errors=fleet.errors, lost=fleet.lost)
    else:
        await asyncio.sleep(seconds)
        say(event="end", called=fleet.called, lost=fleet.lost)


if __name__ == "__main__":
    given_url, given_stations, given_mode, given_seconds, given_warm_up_s, given_prefix = sys.argv[1:]
    uvloop.run(
        main(given_url, int(given_stations), given_mode, float(given_seconds), float(given_warm_up_s), given_prefix)
    )
