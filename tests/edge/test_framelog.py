"""The log of frames: bounded, readable, without secrets."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.edge.framelog import MAX_BYTES, MAX_FRAMES, FrameLog

AT = datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)
FRAMES = st.lists(st.tuples(st.sampled_from(["in", "out"]), st.binary(max_size=6000)), max_size=150)


@given(frames=FRAMES)
def test_it_never_grows_beyond_its_bounds_and_keeps_the_newest(frames):
    log = FrameLog()
    for direction, raw in frames:
        log.add(AT, direction, raw)
    kept = log.frames()
    assert len(kept) <= MAX_FRAMES
    assert log.size_bytes <= MAX_BYTES
    assert [direction for _, direction, _ in kept] == [direction for direction, _ in frames[len(frames) - len(kept) :]]
    assert len(kept) >= min(len(frames), 2)


def test_frames_come_back_with_their_time():
    log = FrameLog()
    log.add(AT, "in", '[2,"1","Heartbeat",{"é":1}]'.encode())
    log.add(AT + timedelta(seconds=1), "out", b'[3,"1",{}]')
    assert log.frames() == [
        (AT, "in", '[2,"1","Heartbeat",{"é":1}]'),
        (AT + timedelta(seconds=1), "out", '[3,"1",{}]'),
    ]


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize(
    "payload",
    [
        {"key": "AuthorizationKey", "value": "S3CRET"},
        {"setVariableData": [{"variable": {"name": "BasicAuthPassword"}, "attributeValue": "S3CRET"}]},
        {"connectionData": {"basicAuthPassword": "S3CRET"}},
        {"connectionData": {"apn": {"apnPassword": "S3CRET"}}},
        {"vpn": {"password": "S3CRET"}},
        {"location": "https://user:S3CRET@host/x"},
    ],
)
def test_no_password_gets_in(direction, payload):
    """Brief of the edge; A01.FR.09: no passwords in logs."""
    log = FrameLog()
    log.add(AT, direction, orjson.dumps([2, "1", "SetVariables", payload]))
    text = log.frames()[0][2]
    assert "S3CRET" not in text
    assert text.startswith('[2,"1","SetVariables",')


def test_secrets_are_found_in_any_spelling():
    log = FrameLog()
    log.add(AT, "out", b'[2,"1","ChangeConfiguration",{"key":"AUTHORIZATIONKEY","value":"S3CRET"}]')
    assert "S3CRET" not in log.frames()[0][2]
