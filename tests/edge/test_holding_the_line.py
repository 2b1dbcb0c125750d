"""Nobody holds the line: floods, depth, size. Issue 6 part 3, C3."""

import json
import struct
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.station import Version
from csms.edge import frames
from csms.edge.nesting import MAX_DEPTH, depth_of, is_too_deep
from csms.edge.turns import ROUND_S, Turns
from csms.settings import Ocpp


def framed(text: bytes) -> bytes:
    """A client's text frame under the mask 0."""
    assert len(text) < 126
    return struct.pack(">BB", 0x81, 0x80 | len(text)) + b"\0\0\0\0" + text


async def test_c3_a_flood_of_one_station_is_handled_in_slices_between_which_others_are_heard(edge):
    """C3: what one read brought in was handled whole, however much, before anybody else was."""
    flooding, good = await edge.online(), await edge.online("/ocpp/CS2")
    flood = 4000
    raw = b"".join(framed(b'[2,"f%d","Heartbeat",{}]' % number) for number in range(flood))
    flooding.socket.transport.write(raw)
    good.socket.transport.write(framed(b'[2,"good","Heartbeat",{}]'))
    assert (await good.hear())[:2] == [3, "good"]
    assert len(edge.intake.facts) < flood / 4
    heard = [(await flooding.hear())[1] for _ in range(flood)]
    assert heard == [f"f{number}" for number in range(flood)]


async def test_c3_a_station_that_sends_much_and_goes_is_gone(edge):
    station = await edge.online()
    station.socket.transport.write(b"".join(framed(b'[2,"f%d","Heartbeat",{}]' % n) for n in range(4000)))
    station.socket.transport.abort()
    await edge.intake.until(lambda: edge.count("disconnected") == 1)
    assert edge.hub.version_of("CS1") is None


async def test_c3_what_is_behind_is_handled_before_what_comes_after(edge):
    """A close frame behind a flood."""
    station = await edge.online()
    station.socket.transport.write(b"".join(framed(b'[2,"f%d","Heartbeat",{}]' % n) for n in range(500)))
    await station.socket.close()
    await edge.intake.until(lambda: edge.count("disconnected") == 1)
    assert [fact.origin.message_id for fact in edge.intake.facts] == [f"f{n}" for n in range(500)]


class Behind:
    """A connection with so many slices to go, each of which takes a time."""

    def __init__(self, name, slices, seconds, clock, done):
        self.name, self.slices, self.seconds, self.clock, self.done = name, slices, seconds, clock, done

    def take_turn(self):
        self.clock[0] += self.seconds
        self.slices -= 1
        self.done.append(self.name)
        return self.slices > 0


@given(
    st.lists(st.tuples(st.integers(1, 6), st.floats(0.0005, 0.1)), min_size=1, max_size=6),
)
def test_c3_turns_go_round_and_leave_half_of_the_time_to_others(behind):
    """A round takes as long as its bound and one slice, and as much time is then left free."""
    clock, done, timers = [0.0], [], []
    turns = Turns(lambda seconds, work: timers.append((seconds, work)), lambda: clock[0])
    for name, (slices, seconds) in enumerate(behind):
        turns.join(Behind(name, slices, seconds, clock, done))
    spent_before = 0.0
    while timers:
        ((wait, work),) = timers
        assert wait == pytest.approx(spent_before)
        timers.clear()
        start = clock[0]
        work()
        spent_before = clock[0] - start
        assert spent_before < ROUND_S + max(seconds for _, seconds in behind) + 1e-9
    assert sorted(done) == sorted(name for name, (slices, _) in enumerate(behind) for _ in range(slices))
    most = max(slices for slices, _ in behind)
    rounds = [[name for name, (slices, _) in enumerate(behind) if slices > lap] for lap in range(most)]
    assert done == [name for lap in rounds for name in lap]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab[]{}"\\,:é', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[]{}"\\x', max_size=4), inner, max_size=4)
    ),
    max_leaves=40,
)


def nested(value):
    if isinstance(value, dict):
        return 1 + max(map(nested, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(nested, value), default=0)
    return 0


@given(json_values, st.booleans())
def test_the_depth_is_told_whatever_the_strings_hold(value, is_ascii):
    """The recursion that this spares us is the one that counts here."""
    assert depth_of(json.dumps(value, ensure_ascii=is_ascii).encode()) == nested(value)


@given(st.binary(max_size=300))
def test_the_depth_of_rubbish_is_a_number(raw):
    assert 0 <= depth_of(raw) <= len(raw)


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 300, 1100, 50_000])
@pytest.mark.parametrize("version", Version)
async def test_c3_json_nested_deep_is_answered_and_the_socket_stays(edge, version, depth):
    """C3: 300 levels dropped the socket without an answer."""
    station = await edge.online(version=version.value)
    deep = "[" * depth + "]" * depth
    for action in ("DataTransfer", "BootNotification", "NoSuchAction"):
        await station.socket.send(f'[2,"deep","{action}",{deep}]')
        assert (await station.hear())[:2] == [4, "deep"]
    await station.socket.send(f'[3,"deep",{deep}]')
    await station.socket.send(deep)
    assert (await station.hear())[:2] == [4, "-1"]
    assert (await station.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]


def test_what_is_deep_is_not_parsed():
    frame = frames.read(
        b'[2,"x","DataTransfer",{"vendorId":"v","data":' + b'{"a":' * 200 + b"1" + b"}" * 201 + b"]", Version.V21
    )
    assert frame == frames.Broken(2, "x", "DataTransfer")
    assert not is_too_deep(json.dumps({"text": "[" * 5000}).encode())


async def test_c3_a_frame_is_128_kib_at_most(edge):
    """C3: one legal MiB of MeterValues held the loop for half a second."""
    assert Ocpp().max_frame_bytes == 128 * 1024
    fits, too_long, numbers = await edge.online(), await edge.online("/ocpp/CS2"), count()
    pad = "x" * (128 * 1024 - 100)
    assert (await fits.ask(2, f"{next(numbers)}", "NoSuchAction", {"pad": pad}))[0] == 4
    await too_long.socket.send(f'[2,"x","NoSuchAction",{{"pad":"{pad}{"y" * 200}"}}]')
    await too_long.socket.wait_closed()
    assert too_long.socket.close_code == 1009
    assert (await fits.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]
