"""The short way for whole text frames says what ``websockets`` says, byte for byte."""

import zlib

from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from csms.edge.quickframes import text_frame, whole_text

MOST = 70_000
PAYLOADS = st.binary(max_size=300) | st.integers(0, MOST + 2).map(lambda size: b"x" * size)


def server() -> ServerProtocol:
    return ServerProtocol(state=OPEN, max_size=MOST)


def client_frame(payload: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=True)


@given(PAYLOADS)
def test_a_text_frame_is_written_as_the_library_writes_it(payload: bytes) -> None:
    written = server()
    written.send_text(payload)
    mine = text_frame(payload)
    assert (mine is None) == (len(payload) >= 65_536)
    assert mine is None or [mine] == written.data_to_send()


@given(PAYLOADS)
def test_a_whole_text_frame_is_read_as_the_library_reads_it(payload: bytes) -> None:
    protocol, data = server(), client_frame(payload)
    protocol.receive_data(data)
    events = [bytes(event.data) for event in protocol.events_received() if isinstance(event, Frame)]
    mine = whole_text(data, MOST)
    assert mine == payload if len(payload) < 65_536 else mine is None
    assert mine is None or [mine] == events


def compressing() -> ServerProtocol:
    """A connection that negotiated what the server offers: 10 window bits, no context takeover."""
    deflate = PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=10,
        local_max_window_bits=10,
    )
    protocol = server()
    protocol.extensions = [deflate]
    return protocol


def compressed_frame(payload: bytes, *, spoilt: bool = False) -> bytes:
    deflater = zlib.compressobj(wbits=-10)
    data = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
    frame = client_frame(b"\xff" + data[1:] if spoilt else data)
    return bytes([0xC1]) + frame[1:]


@given(PAYLOADS, st.booleans())
def test_c8_a_compressed_text_is_read_as_the_library_reads_it(payload: bytes, spoilt: bool) -> None:
    protocol, data = compressing(), compressed_frame(payload, spoilt=spoilt)
    protocol.receive_data(data)
    events = [bytes(event.data) for event in protocol.events_received() if isinstance(event, Frame)]
    mine = whole_text(data, MOST, 10)
    assert mine is None or [mine] == events
    assert spoilt or (mine == payload) == (len(payload) <= MOST)
    assert whole_text(data, MOST) is None


@given(st.binary(max_size=40) | st.binary(max_size=20).map(client_frame))
def test_what_is_read_quickly_leaves_the_library_where_it_was(data: bytes) -> None:
    """Never a text where the library sees none, and nothing that it would remember or answer."""
    mine = whole_text(data, MOST)
    if mine is None:
        return
    protocol = server()
    protocol.receive_data(data)
    (event,) = protocol.events_received()
    assert isinstance(event, Frame)
    assert (event.opcode, event.fin, bytes(event.data)) == (Opcode.TEXT, True, mine)
    assert (protocol.data_to_send(), protocol.state, bytes(protocol.reader.buffer)) == ([], OPEN, b"")


@given(st.binary(max_size=200), st.integers(1, 400))
def test_a_part_of_a_frame_or_more_than_one_is_left_to_the_library(payload: bytes, cut: int) -> None:
    data = client_frame(payload)
    assert whole_text(data[: min(cut, len(data) - 1)], MOST) is None
    assert whole_text(data + data[:cut], MOST) is None


def test_what_is_no_whole_text_is_left_to_the_library() -> None:
    others = [
        client_frame(b"x", Opcode.BINARY),
        client_frame(b"x", fin=False),
        client_frame(b"x", Opcode.CONT),
        client_frame(b"x", Opcode.PING),
        Frame(Opcode.TEXT, b"x").serialize(mask=False),
        bytes([0xC1]) + client_frame(b"x")[1:],
        client_frame(b"x" * (MOST + 1)),
        b"",
    ]
    assert [whole_text(data, MOST) for data in others] == [None] * len(others)
    assert whole_text(client_frame(b"x" * 11), 10) is None
