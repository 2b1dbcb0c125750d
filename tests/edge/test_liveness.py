"""One connection on a transport that only remembers: pings, back-pressure, the close handshake."""

import asyncio

import pytest
from websockets.frames import Opcode

from csms.domain.ids import StationId
from csms.domain.ports import Admitted
from csms.domain.station import BootState, Quirks
from csms.edge.ocppj import Connection
from csms.settings import Ocpp

HELLO = (
    b"GET /ocpp/CS1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
)
PONG = b"\x8a\x80\0\0\0\0"


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.is_aborted = self.is_ended = False

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def write(self, data):
        self.written += data

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.is_ended = True

    def abort(self):
        self.is_aborted = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def take(self):
        written, self.written = self.written, b""
        return written


class Listener:
    def __init__(self):
        self.heard = []
        self.is_lost = False

    def received(self, raw):
        self.heard.append(raw)

    def lost(self):
        self.is_lost = True


class Host:
    settings = Ocpp()

    def __init__(self):
        self.admission = self
        self.session = Listener()
        self.has_opened = asyncio.Event()

    async def admit(self, station, user, password, source):
        return Admitted(station=StationId(station), quirks=Quirks(), boot_state=BootState.ACCEPTED)

    def joined(self, connection):
        pass

    def left(self, connection):
        pass

    def opened(self, connection, admitted, version):
        self.has_opened.set()
        return self.session

    def wait_turn(self, connection):
        while connection.take_turn():
            pass

    def throttle(self, connection):
        pass


@pytest.fixture
async def line():
    """An open connection, its transport and its host."""
    loop = asyncio.get_running_loop()
    host, transport = Host(), Transport()
    connection = Connection(host, loop)
    connection.connection_made(transport)
    connection.data_received(HELLO)
    await host.has_opened.wait()
    assert b" 101 " in transport.take()
    yield connection, transport, host.session
    connection.connection_lost(None)


async def test_a_silent_station_is_pinged_after_25_s_and_dropped_20_s_later(line):
    """V2G-51: ping 25 s, pong 20 s."""
    connection, transport, _ = line
    start = asyncio.get_running_loop().time()
    connection.tick(start + 20)
    assert transport.take() == b""
    connection.tick(start + 26)
    assert transport.take() == bytes((0x80 | Opcode.PING, 0))
    connection.tick(start + 45)
    assert not transport.is_aborted
    connection.tick(start + 47)
    assert transport.is_aborted


@pytest.mark.parametrize("sign_of_life", [PONG, b"\x81\x82\0\0\0\0[]"])
async def test_any_frame_counts_as_life(line, sign_of_life):
    """Field lesson 4."""
    connection, transport, _ = line
    start = asyncio.get_running_loop().time()
    connection.tick(start + 26)
    connection.data_received(sign_of_life)
    connection.tick(start + 47)
    assert not transport.is_aborted


async def test_a_connection_that_is_not_read_is_not_called_silent(line):
    connection, transport, _ = line
    connection.pause()
    connection.tick(asyncio.get_running_loop().time() + 1000)
    assert (transport.take(), transport.is_aborted) == (b"", False)
    connection.resume()


async def test_a_station_that_does_not_read_is_dropped(line):
    """Design §2: write back-pressure."""
    connection, transport, _ = line
    connection.pause_writing()
    assert transport.is_aborted


async def test_a_stations_close_is_answered_and_ends_the_session_at_once(line):
    connection, transport, session = line
    connection.data_received(b"\x88\x82\0\0\0\0\x03\xe8")
    assert transport.take() == b"\x88\x02\x03\xe8"
    assert transport.is_ended
    assert session.is_lost


async def test_nothing_is_sent_after_the_close(line):
    connection, transport, _ = line
    connection.close(1012, "")
    transport.take()
    connection.send(b"[]")
    connection.close(1012, "")
    assert transport.take() == b""
    assert transport.is_aborted


async def test_frames_cut_anywhere_arrive_whole(line):
    connection, _, session = line
    for byte in b"\x81\x84\0\0\0\0[12]" + b"\x01\x81\0\0\0\0[" + PONG + b"\x80\x81\0\0\0\0]":
        connection.data_received(bytes([byte]))
    assert session.heard == [b"[12]", b"[]"]


async def test_frames_before_the_101_end_the_connection():
    connection, transport = Connection(Host(), asyncio.get_running_loop()), Transport()
    connection.connection_made(transport)
    connection.data_received(HELLO + b"\x81\x82\0\0\0\0[]")
    assert transport.is_aborted
    connection.connection_lost(None)
