"""The RPC state machine alone: whatever comes in, nothing breaks and every CALL has exactly one answer."""

import importlib.resources
import re

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csms.domain.station import Version
from csms.edge import frames
from csms.edge.rpc import Dropped, Failure, Garbled, Reply, Request, Result, Rpc, Streamed
from csms.edge.schemas import Schemas

SCHEMAS = {version: Schemas(version) for version in Version}
FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}
VERSIONS = st.sampled_from(list(Version))

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
IDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)


def schema_files(version):
    folder = importlib.resources.files("ocpp") / FOLDERS[version] / "schemas"
    return {
        entry.name.removesuffix(".json"): orjson.loads(entry.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        for entry in folder.iterdir()
    }


def error_in(action):
    assert isinstance(action, Reply)
    kind, message_id, code, description, details = orjson.loads(action.text)
    assert (kind, details) == (4, {})
    assert len(description) <= 255
    return message_id, code


@given(
    version=VERSIONS, raw=st.binary(max_size=200) | st.text(max_size=200).map(lambda s: s.encode("utf-8", "replace"))
)
def test_no_bytes_crash_it(version, raw):
    """Scenario 12 (P0)."""
    Rpc(version, SCHEMAS[version]).receive(raw)


@given(version=VERSIONS, value=JSON)
def test_no_json_crashes_it(version, value):
    """Scenario 12 (P0)."""
    Rpc(version, SCHEMAS[version]).receive(orjson.dumps(value))


@given(
    version=VERSIONS, head=st.sampled_from([2, 3, 4, 5, 6, 7, "2", None, True, 2.0]), rest=st.lists(JSON, max_size=5)
)
def test_no_near_frame_crashes_it_and_its_answer_is_a_frame(version, head, rest):
    action = Rpc(version, SCHEMAS[version]).receive(orjson.dumps([head, *rest]))
    if isinstance(action, Reply):
        error_in(action)


@given(
    version=VERSIONS,
    message_id=IDS,
    name=st.text(max_size=20) | st.sampled_from(["Heartbeat", "MeterValues"]),
    payload=JSON,
)
def test_every_call_is_either_handed_on_or_answered_with_its_id(version, message_id, name, payload):
    """Field lesson 6, design §2: something is always answered."""
    action = Rpc(version, SCHEMAS[version]).receive(orjson.dumps([2, message_id, name, payload]))
    if isinstance(action, Request):
        assert (action.message_id, action.action, action.payload) == (message_id, name, payload)
    else:
        assert error_in(action) == (message_id, "NotImplemented")


@given(version=VERSIONS, cut=st.integers(1, 60))
def test_a_call_that_was_cut_off_is_answered_with_its_id_once_that_is_readable(version, cut):
    text = b'[2,"id-1","Heartbeat",{"customData":{"vendorId":"aaaaaaaaaaaaaaaa"}}]'
    action = Rpc(version, SCHEMAS[version]).receive(text[: min(cut, len(text) - 1)])
    if isinstance(action, Garbled):
        assert (action.message_id, action.action) == ("id-1", "Heartbeat")
    else:
        assert error_in(action)[0] == ("id-1" if cut >= 9 else "-1")


@given(version=VERSIONS, kind=st.sampled_from([3, 4]), message_id=IDS, payload=JSON)
def test_an_answer_is_never_answered_and_never_resolves_another_call(version, kind, message_id, payload):
    """Scenario 14 (P0)."""
    rpc = Rpc(version, SCHEMAS[version])
    rpc.open("ours-1", "ClearCache")
    action = rpc.receive(orjson.dumps([kind, message_id, payload, "", {}]))
    assert action == Dropped("late_answer")
    assert rpc.is_busy


def test_a_late_answer_is_dropped_and_the_next_call_gets_its_own():
    """Scenario 14 (P0)."""
    rpc = Rpc(Version.V16, SCHEMAS[Version.V16])
    rpc.open("a", "ClearCache")
    rpc.give_up()
    rpc.open("b", "ClearCache")
    assert rpc.receive(b'[3,"a",{"status":"Accepted"}]') == Dropped("late_answer")
    assert rpc.receive(b'[3,"b",{"status":"Rejected"}]') == Result({"status": "Rejected"}, None, None)
    assert rpc.receive(b'[3,"b",{"status":"Rejected"}]') == Dropped("late_answer")


def test_one_call_of_ours_at_a_time():
    """2.1 part 4 §4.1.1, V2G-52."""
    rpc = Rpc(Version.V16, SCHEMAS[Version.V16])
    rpc.open("a", "ClearCache")
    with pytest.raises(ValueError, match="open already"):
        rpc.open("b", "ClearCache")


def test_broken_json_in_our_calls_answer_fails_that_call():
    rpc = Rpc(Version.V16, SCHEMAS[Version.V16])
    rpc.open("a", "ClearCache")
    assert isinstance(rpc.receive(b'[3,"a",{"status":]'), Failure)
    assert not rpc.is_busy


@pytest.mark.parametrize("spelling", ["FormationViolation", "FormatViolation", "OccurenceConstraintViolation", "Own"])
def test_any_spelling_of_an_error_code_is_taken(spelling):
    """V2G-57: both spellings accepted."""
    rpc = Rpc(Version.V21, SCHEMAS[Version.V21])
    rpc.open("a", "ClearCache")
    assert rpc.receive(orjson.dumps([4, "a", spelling])) == Failure(spelling, "", {})


@pytest.mark.parametrize(
    ("version", "expected"), [(Version.V16, Dropped), (Version.V201, Dropped), (Version.V21, Streamed)]
)
def test_send_exists_in_21_only(version, expected):
    stream = {"id": 1, "pending": 0, "basetime": "2026-11-20T12:00:00Z", "data": [{"t": 0, "v": "1"}]}
    frame = orjson.dumps([6, "s", "NotifyPeriodicEventStream", stream])
    assert isinstance(Rpc(version, SCHEMAS[version]).receive(frame), expected)


def test_a_long_field_name_of_the_station_does_not_make_a_long_error():
    fault = SCHEMAS[Version.V16].request_fault("Heartbeat", {"x" * 5000: 1})
    assert fault is not None
    assert len(str(fault)) <= 255


def test_strict_formats_are_a_switch():
    payload = {"connectorId": 1, "meterValue": [{"timestamp": "yesterday", "sampledValue": [{"value": "1"}]}]}
    assert SCHEMAS[Version.V16].request_fault("MeterValues", payload) is None
    fault = Schemas(Version.V16, strict_formats=True).request_fault("MeterValues", payload)
    assert fault is not None
    assert (fault.code, fault.field) == ("PropertyConstraintViolation", "meterValue[0].timestamp")


@pytest.mark.parametrize(("version", "files"), [(Version.V16, 78), (Version.V201, 128), (Version.V21, 181)])
def test_every_schema_compiles_and_its_action_is_known(version, files):
    names = schema_files(version)
    assert len(names) == files
    for name in names:
        action = name.removesuffix("Request").removesuffix("Response")
        if name.endswith("Response"):
            SCHEMAS[version].response_fault(action, {})
        else:
            SCHEMAS[version].request_fault(action, {})
        if name.endswith("Request"):
            assert SCHEMAS[version].knows(action)


def keys_of(schema):
    if isinstance(schema, dict):
        yield from schema.get("properties", {}) if isinstance(schema.get("properties"), dict) else ()
        for value in schema.values():
            yield from keys_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys_of(value)


@pytest.mark.parametrize("version", list(Version))
def test_every_key_of_every_schema_survives(version):
    """V2G-59: the `ocpp` package loses 42 of 2.1's keys (limit_L2, receiptUrl, limitAtSoC, …)."""
    keys = sorted({key for schema in schema_files(version).values() for key in keys_of(schema)})
    payload = {key: {key: index} for index, key in enumerate(keys)}
    for text in (frames.call("1", "DataTransfer", payload), frames.call_result("1", payload)):
        frame = frames.read(text, version)
        assert list(frame.payload) == keys
        assert frame.payload == payload


def payloads(schema, root, depth=0):
    """Payloads that fit an OCPP schema: the few keywords that those use."""
    if "$ref" in schema:
        return payloads(root["definitions"][schema["$ref"].rpartition("/")[2]], root, depth)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return KINDS.get(schema.get("type"), lambda *_: JSON)(schema, root, depth)


def arrays(schema, root, depth):
    least = schema.get("minItems", 0)
    return st.lists(payloads(schema["items"], root, depth + 1), min_size=least, max_size=least + 1)


def numbers(schema, *_):
    return st.integers(int(schema.get("minimum", -9999)), int(schema.get("maximum", 9999)))


def texts(schema, *_):
    return st.text(st.characters(blacklist_categories=["Cs"]), max_size=min(schema.get("maxLength", 20), 20))


def objects(schema, root, depth):
    required = set(schema.get("required", ()))
    fields = {
        key: st.deferred(lambda inner=inner: payloads(inner, root, depth + 1))
        for key, inner in schema.get("properties", {}).items()
        if key in required or depth < 3
    }
    return st.fixed_dictionaries(
        {key: value for key, value in fields.items() if key in required},
        optional={key: value for key, value in fields.items() if key not in required},
    )


KINDS = {
    "string": texts,
    "integer": numbers,
    "number": numbers,
    "boolean": lambda *_: st.booleans(),
    "array": arrays,
    "object": objects,
}


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize(
    "action", ["BootNotification", "MeterValues", "StatusNotification", "SetChargingProfile", "DataTransfer"]
)
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_generated_messages_arrive_whole_and_without_fault(version, action, data):
    """V2G-59: payloads made from the schema itself. A NUL, which no database keeps, arrives as U+FFFD (C5)."""
    files = schema_files(version)
    schema = files.get(action) or files[f"{action}Request"]
    payload = data.draw(payloads(schema, schema))
    received = Rpc(version, SCHEMAS[version]).receive(frames.call("1", action, payload))
    assert isinstance(received, Request)
    sent = frames.call("1", action, payload).decode()
    assert received.payload == orjson.loads(sent.replace(r"\u0000", "\ufffd"))[3]
    assert received.fault is None


def test_no_description_repeats_what_the_station_sent():
    texts = [
        str(SCHEMAS[Version.V16].request_fault("BootNotification", p))
        for p in (
            {"chargePointVendor": "S3CRET" * 9, "chargePointModel": "m"},
            {"chargePointVendor": {"S3CRET": 1}, "chargePointModel": "m"},
            "S3CRET",
        )
    ]
    assert not any(re.search("S3CRET", text) for text in texts)
