"""C8: the quick way reads a frame as the general way does, or not at all; it may refuse anything."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from csms.domain.station import Quirks, Version
from csms.edge.rpc import Request, Rpc
from csms.edge.schemas import Schemas
from handlers import ROUTES, typed
from handlers.wire import Context
from tests.handlers.golden import RECEIVED_AT, STATION

READERS = {version: typed.reader(version) for version in Version}
SCHEMAS = {version: Schemas(version) for version in Version}

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**6), 10**6),
    st.sampled_from([2**63, 2**64, 10**40, -(2**63), 0.1, -0.0, 1e308]),
)
TEXTS = st.one_of(
    NUMBERS.map(str),
    st.sampled_from(
        ["", " 7 ", "1_0", "1,5", "NaN", "inf", "-1e999", "0x1", "٣", "+5", "1.", ".5", "\u2003 4", "AA=="]
    ),
)
TIMES = st.sampled_from(
    ["2026-11-20T17:00:00Z", "2026-11-20T17:00:00.123+09:00", "2026-11-20 17:00:00", "1970-01-01T00:00:00Z", "", "x"]
)
MEASURANDS = st.sampled_from(
    [
        "Energy.Active.Import.Register",
        "Energy.Active.Export.Register",
        "Power.Active.Import",
        "Power.Active.Export",
        "Voltage",
        "Current.Import",
        "Current.Offered",
        "SoC",
        "Temperature",
        "Nonsense",
    ]
)
WORDS = {
    "measurand": MEASURANDS,
    "context": st.sampled_from(["Sample.Periodic", "Transaction.Begin"]),
    "phase": st.sampled_from(["L1", "L2", "L3", "L1-N"]),
    "location": st.sampled_from(["Outlet", "Cable", "EV"]),
}
MEASURES = st.fixed_dictionaries(
    {},
    optional={
        "unit": st.sampled_from(["Wh", "kWh", "W", "mA", "é" * 20, "é" * 21]),
        "multiplier": st.integers(-13, 13),
    },
)
SIGNED = {"signedMeterData": "AA", "signingMethod": "", "encodingMethod": "", "publicKey": ""}


def samples(version: Version) -> st.SearchStrategy[Any]:
    if version is Version.V16:
        more = {
            "unit": st.sampled_from(["Wh", "kWh", "W", "kW", "Percent"]),
            "format": st.sampled_from(["Raw", "SignedData"]),
        }
        return st.fixed_dictionaries({"value": TEXTS}, optional=WORDS | more)
    more = {"unitOfMeasure": MEASURES, "signedMeterValue": st.just(SIGNED), "customData": st.just({"vendorId": "x"})}
    return st.fixed_dictionaries({"value": NUMBERS}, optional=WORDS | more)


def meter_values(version: Version) -> st.SearchStrategy[Any]:
    lists = st.lists(samples(version), min_size=1, max_size=4)
    return st.lists(st.fixed_dictionaries({"timestamp": TIMES, "sampledValue": lists}), min_size=1, max_size=2)


def payloads(version: Version, action: str) -> st.SearchStrategy[Any]:
    if action == "MeterValues" and version is Version.V16:
        optional: Any = {"transactionId": st.integers(-2, 2**40)}
        return st.fixed_dictionaries(
            {"connectorId": st.integers(-1, 3), "meterValue": meter_values(version)}, optional=optional
        )
    if action == "MeterValues":
        return st.fixed_dictionaries({"evseId": st.integers(-1, 3), "meterValue": meter_values(version)})
    info = st.fixed_dictionaries(
        {"transactionId": st.sampled_from(["t", "日" * 36, "日" * 37])},
        optional={
            "chargingState": st.sampled_from(["Charging", "Idle"]),
            "remoteStartId": st.integers(),
            "stoppedReason": st.just("Local"),
            "operationMode": st.just("Idle"),
        },
    )
    optional = {
        "meterValue": meter_values(version),
        "evse": st.fixed_dictionaries({"id": st.integers(0, 2)}, optional={"connectorId": st.integers(0, 2)}),
        "idToken": st.fixed_dictionaries(
            {"idToken": st.text(max_size=37), "type": st.sampled_from(["ISO14443", "VIN"])}
        ),
        "offline": st.booleans(),
        "customData": st.sampled_from([{"vendorId": "x"}, {"vendorId": "x", "more": 1}]),
        "numberOfPhasesUsed": st.integers(0, 4),
    }
    needed = {
        "eventType": st.sampled_from(["Started", "Updated", "Ended"]),
        "timestamp": TIMES,
        "triggerReason": st.sampled_from(["MeterValuePeriodic", "CablePluggedIn"]),
        "seqNo": st.integers(),
        "transactionInfo": info,
    }
    return st.fixed_dictionaries(needed, optional=optional)


HOT = [(Version.V16, "MeterValues")] + [
    (version, action) for version in (Version.V201, Version.V21) for action in ("MeterValues", "TransactionEvent")
]
CALLS = st.sampled_from(HOT).flatmap(lambda hot: st.tuples(st.just(hot), payloads(*hot)))
IDS = st.one_of(st.sampled_from(["1", "a b", "x" * 36, "x" * 37, "", "é", 'q"', "\\"]), st.integers(0).map(str))

NESTED: Any = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(max_size=3), lambda x: st.lists(x, max_size=2))


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The payload with one place changed: another value, a field more, a field less."""
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        changes = [
            mutated(value[key]).map(lambda one: value | {key: one}),
            st.tuples(st.text(max_size=3), NESTED).map(lambda more: value | dict([more])),
            st.just({name: one for name, one in value.items() if name != key}),
            NESTED.map(lambda other: value | {key: other}),
        ]
        return draw(st.one_of(changes))
    if isinstance(value, list) and value:
        return [draw(mutated(value[0])), *value[1:]]
    if isinstance(value, int) and not isinstance(value, bool):
        return draw(st.sampled_from([float(value) if abs(value) < 2**53 else 1, str(value), None, 2**70]))
    return draw(NESTED)


def spelt(draw: st.DrawFn, value: Any) -> bytes:
    """JSON as stations write it: compact or with blanks, characters as they are or escaped."""
    blanks = draw(st.sampled_from([(",", ":"), (", ", ": "), (",\n", ":\t")]))
    text = json.dumps(value, separators=blanks, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def frames(draw: st.DrawFn) -> tuple[Version, bytes]:
    (version, action), payload = draw(CALLS)
    if draw(st.booleans()):
        payload = draw(mutated(payload))
    raw = spelt(draw, [2, draw(IDS), action, payload])
    how = draw(st.sampled_from(["whole", "whole", "byte", "twice", "tail", "nan"]))
    if how == "byte":
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + draw(st.integers(0, 1)) :]
    elif how == "twice":
        raw = raw.replace(
            b'"measurand"', draw(st.sampled_from([b'"value":"3","measurand"', b'"value":3,"measurand"'])), 1
        )
    elif how == "tail":
        raw = draw(st.sampled_from([raw + b" ", raw[:-1] + b",1]", raw + b"]", raw[:-1], b" " + raw, raw[:-1] + b"}]"]))
    elif how == "nan":
        raw = raw.replace(b'"value":', draw(st.sampled_from([b'"value":NaN,"format":', b'"value":51.0,"phase":'])), 1)
    return version, raw


def the_general_way(version: Version, raw: bytes, context: Context) -> Any:
    action = Rpc(version, SCHEMAS[version]).receive(raw)
    assert isinstance(action, Request), "the quick way took what is no CALL"
    assert action.fault is None, "the quick way took what does not fit its schema"
    fact = ROUTES[version][action.action].decode(action.payload, context, action.message_id)
    return action.message_id, action.action, fact


@settings(max_examples=1500, deadline=None)
@given(frames(), st.booleans())
@example((Version.V16, b'[2,"1","MeterValues",{"connectorId":1.0,"meterValue":[]}]'), False)
@example((Version.V16, b'[2,"\xff","MeterValues",{"connectorId":1}]'), False)
def test_c8_what_the_quick_way_reads_the_general_way_reads_alike(frame: tuple[Version, bytes], signed: bool) -> None:
    version, raw = frame
    context = Context(STATION, version, Quirks(signed_power=signed), RECEIVED_AT)
    read = READERS[version](raw, context)
    if read is not None:
        message_id, action, fact = read
        assert (message_id.decode(), action, fact) == the_general_way(version, raw, context)
        assert orjson.loads(b'[3,"%b",{}]' % message_id) == [3, message_id.decode(), {}]


@pytest.mark.parametrize(("version", "action"), HOT)
def test_c8_every_frequent_message_is_read_quickly(version: Version, action: str) -> None:
    """Schemas that got no shape would cost twice as much without a word."""
    sample: Any = {"value": "1.5"} if version is Version.V16 else {"value": 1.5, "unitOfMeasure": {"unit": "kWh"}}
    meter_value = [
        {"timestamp": "2026-11-20T17:00:00Z", "sampledValue": [sample | {"measurand": "Voltage", "phase": "L1"}]}
    ]
    payload: dict[str, Any] = {"connectorId" if version is Version.V16 else "evseId": 1, "meterValue": meter_value}
    if action == "TransactionEvent":
        payload = {
            "eventType": "Updated",
            "timestamp": "2026-11-20T17:00:00Z",
            "triggerReason": "MeterValuePeriodic",
            "seqNo": 1,
            "transactionInfo": {"transactionId": "t"},
            "meterValue": meter_value,
        }
    context = Context(STATION, version, Quirks(), RECEIVED_AT)
    raw = orjson.dumps([2, "1", action, payload])
    read = READERS[version](raw, context)
    assert read is not None
    assert read[2] == the_general_way(version, raw, context)[2]


def test_the_table_of_what_was_seen_stays_bounded() -> None:
    typed.forget()
    context = Context(STATION, Version.V201, Quirks(), RECEIVED_AT)
    for n in range(typed.MOST_LAYOUTS + 10):
        sample = {"value": 1, "unitOfMeasure": {"unit": f"odd{n}"}}
        payload = {"evseId": 1, "meterValue": [{"timestamp": "2026-11-20T17:00:00Z", "sampledValue": [sample]}]}
        assert READERS[Version.V201](orjson.dumps([2, "1", "MeterValues", payload]), context) is not None
    assert typed.known_layouts() <= typed.MOST_LAYOUTS
    typed.forget()
