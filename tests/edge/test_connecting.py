"""The handshake, over real sockets."""

import asyncio
import base64
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from csms.domain.errors import BadSettings, PortBusy
from csms.domain.station import Quirks, Version
from csms.edge.hub import Hub
from csms.settings import Ocpp


def basic(user: str, password: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(user.encode() + b":" + password).decode()}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["ocpp1.6"], "ocpp1.6"),
        (["ocpp1.6", "ocpp2.0.1"], "ocpp2.0.1"),
        (["ocpp1.6", "ocpp2.1", "ocpp2.0.1"], "ocpp2.1"),
        (["soap", "ocpp1.5", "ocpp2.0.1"], "ocpp2.0.1"),
    ],
)
async def test_the_best_common_version_is_chosen_whatever_the_order(edge, offered, chosen):
    """Scenario 4 (P0): right version chosen when several are offered. V2G-49."""
    station = await edge.online(version=offered)
    assert station.socket.subprotocol == chosen
    assert edge.hub.version_of("CS1") is Version(chosen)


@pytest.mark.parametrize("offered", [["ocpp1.5"], ["ocpp2.0"], None])
async def test_a_station_without_a_common_version_is_closed_and_never_taken_in(edge, offered):
    """Scenario 4 (P0): connection refused when none fits. V2G-49: handshake without the header, then close."""
    station = await edge.connect(version=offered)
    assert station.socket.subprotocol is None
    with pytest.raises(ConnectionClosed):
        await station.hear()
    assert edge.hub.version_of("CS1") is None
    assert edge.intake.events == []


async def test_a_missing_subprotocol_is_assumed_only_where_the_quirk_says_so(edge):
    """V2G-49: Grizzl-E and others offer none."""
    edge.admission.quirks = Quirks(assume_version=Version.V16)
    station = await edge.online(version=None)
    assert (await station.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]
    assert station.socket.subprotocol is None


async def test_the_assumed_version_does_not_replace_a_wrong_offer(edge):
    edge.admission.quirks = Quirks(assume_version=Version.V16)
    station = await edge.connect(version=["ocpp9"])
    with pytest.raises(ConnectionClosed):
        await station.hear()


async def test_good_credentials_are_let_in(edge):
    """Scenario 22 (P0): Basic auth good (TC_A_01); split at the first colon, the password is bytes."""
    await edge.online("/ocpp/AL1000", additional_headers=basic("AL1000", b"secret:0001"))
    assert edge.admission.asked == [("AL1000", "AL1000", b"secret:0001")]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ocpp/AL1000", basic("someone", b"secret:0001"), 401),
        ("/ocpp/AL1000", basic("AL1000", b"wrong"), 401),
        ("/ocpp/AL1000", {"Authorization": "Basic ???"}, 401),
        ("/ocpp/AL1000", {"Authorization": "Bearer abc"}, 401),
        ("/ocpp/AL1000", {}, 401),
        ("/ocpp/nobody", {}, 404),
        ("/elsewhere/CS1", {}, 404),
        ("/ocpp/", {}, 404),
        ("/", {}, 404),
        ("/ocpp/%ff", {}, 404),
        ("/ocpp/" + "x" * 49, {}, 404),
        ("/ocpp/a%0Ab", {}, 404),
    ],
)
async def test_others_are_refused_before_the_101(edge, path, headers, status):
    """Scenario 22 (P0): wrong user (TC_A_02), wrong password (TC_A_03) -> 401; unknown stations 404."""
    with pytest.raises(InvalidStatus) as refusal:
        await edge.connect(path, additional_headers=headers)
    assert refusal.value.response.status_code == status
    assert ("WWW-Authenticate" in refusal.value.response.headers) == (status == 401)
    assert edge.intake.events == []


async def test_too_many_tries_are_told_to_wait(edge):
    edge.admission.refusal = 429
    with pytest.raises(InvalidStatus) as refusal:
        await edge.connect()
    assert refusal.value.response.status_code == 429
    assert refusal.value.response.headers["Retry-After"] == "60"


@pytest.mark.parametrize(
    ("path", "identity"),
    [("/ocpp/CS1", "CS1"), ("/ocpp/CS1/", "CS1"), ("/ocpp/a/CS1?x=1", "CS1"), ("/ocpp/RDAM%7C123", "RDAM|123")],
)
async def test_the_identity_is_the_last_segment_decoded_once(edge, path, identity):
    edge.admission.known[identity] = None
    await edge.online(path)
    assert edge.admission.asked[-1][0] == identity


async def test_a_plain_http_request_is_told_to_upgrade(edge):
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.hub.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 426 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_silent_connection_is_dropped_after_the_handshake_time(make_edge):
    edge = await make_edge(handshake_timeout_s=0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.hub.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_compression_is_used_where_the_station_offers_it(edge):
    """V2G-51: a 2.x CSMS supports RFC 7692; `websockets` offers it by default."""
    station = await edge.online(version="ocpp2.1")
    assert [type(extension).__name__ for extension in station.socket.protocol.extensions] == ["PerMessageDeflate"]
    vendor = {"vendorId": "x" * 200}
    assert (await station.ask(2, "1", "Heartbeat", {"customData": vendor}))[:2] == [3, "1"]
    plain = await edge.online("/ocpp/CS2", version="ocpp2.1", compression=None)
    assert plain.socket.protocol.extensions == []


async def test_a_busy_port_is_named(edge):
    settings = Ocpp(port=edge.hub.port)
    other = Hub(edge.intake, edge.admission, edge.hub._desk.clock, settings, edge.hub._desk.translation)
    with pytest.raises(PortBusy, match=str(edge.hub.port)):
        await other.serve()


async def test_an_address_of_another_machine_is_named(edge):
    """The issue: one clear line, no traceback."""
    settings = Ocpp(host="192.0.2.1", port=edge.hub.port)
    other = Hub(edge.intake, edge.admission, edge.hub._desk.clock, settings, edge.hub._desk.translation)
    with pytest.raises(BadSettings, match=r"192\.0\.2\.1"):
        await other.serve()


async def test_c5_an_identity_may_hold_colons(edge):
    """C5: 401 for ``CS:1`` with the right password, since Basic auth was split at the first colon."""
    edge.admission.known["CS:1"] = b"secret:0001"
    await edge.online("/ocpp/CS:1", additional_headers=basic("CS:1", b"secret:0001"))
    assert edge.admission.asked == [("CS:1", "CS:1", b"secret:0001")]


@contextlib.asynccontextmanager
async def open_socket(edge):
    """A TCP connection without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.hub.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def heard_until_the_end(reader):
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


async def test_c4_who_holds_sockets_open_without_a_word_makes_room(make_edge):
    """C4: a handshake takes a place before anybody knows whose it is. The oldest go; who speaks gets in."""
    edge = await make_edge(handshakes_per_source=3)
    async with contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(open_socket(edge)) for _ in range(5)]
        await edge.online()
        assert [await heard_until_the_end(reader) for reader, _ in silent[:2]] == [b"", b""]
        assert not silent[4][0].at_eof()


async def test_c4_one_address_has_a_bounded_number_of_connections(make_edge):
    """C4: those that are let in count too."""
    edge = await make_edge(connections_per_source=2)
    first, _ = await edge.online(), await edge.online("/ocpp/CS2")
    async with open_socket(edge) as (reader, _):
        assert await heard_until_the_end(reader) == b""
    assert (await first.ask(2, "1", "Heartbeat", {}))[0] == 3


async def test_c4_an_endless_request_is_cut_off(edge):
    """C4: before authentication 16 KiB are enough for anybody."""
    async with open_socket(edge) as (reader, writer):
        writer.write(b"GET /ocpp/CS1 HTTP/1.1\r\n" + (b"X-Long: " + b"x" * 7000 + b"\r\n") * 9)
        assert await heard_until_the_end(reader) == b""
