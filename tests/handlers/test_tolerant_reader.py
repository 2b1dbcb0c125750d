"""The tolerant reader, quirk by quirk, and what it never does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.station import Quirks, Version
from handlers import ROUTES, tolerate
from handlers.wire import Context
from tests.handlers.golden import RECEIVED_AT, STATION, Case, cases, request_validator

T = "2026-11-20T17:00:00Z"
BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}
STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
SAMPLE = {"timestamp": T, "sampledValue": [{"value": "1"}]}
METER = {"connectorId": 1, "meterValue": [SAMPLE]}
METER_2 = {"evseId": 1, "meterValue": [{"timestamp": T, "sampledValue": [{"value": 1}]}]}
START = {"connectorId": 1, "idTag": "A1", "meterStart": 0, "timestamp": T}
EVENT = {
    "eventType": "Updated",
    "timestamp": T,
    "triggerReason": "Trigger",
    "seqNo": 1,
    "transactionInfo": {"transactionId": "t"},
}


def with_samples(*samples: dict[str, Any]) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": T, "sampledValue": list(samples)}]}


QUIRKS = [
    ("integers as text", "1.6", "StartTransaction", START | {"meterStart": " 12 "}, START | {"meterStart": 12}),
    ("whole numbers as fractions", "1.6", "StartTransaction", START | {"meterStart": 12.7}, START | {"meterStart": 12}),
    ("numbers where text is wanted", "1.6", "MeterValues", with_samples({"value": 1}), METER),
    ("text where numbers are wanted", "2.0.1", "MeterValues", METER_2 | {"meterValue": [SAMPLE]}, METER_2),
    ("an object instead of a list", "1.6", "MeterValues", METER | {"meterValue": SAMPLE}, METER),
    (
        "a list instead of an object",
        "2.0.1",
        "TransactionEvent",
        EVENT | {"evse": [{"id": 1}]},
        EVENT | {"evse": {"id": 1}},
    ),
    ("null instead of absent", "1.6", "MeterValues", METER | {"transactionId": None}, METER),
    ("blank instead of absent", "1.6", "MeterValues", METER | {"transactionId": ""}, METER),
    ("extra keys", "1.6", "Authorize", {"idTag": "A1", "connectorId": 1}, {"idTag": "A1"}),
    ("keys in another case", "1.6", "Authorize", {"IDTag": "A1"}, {"idTag": "A1"}),
    ("words in another case", "1.6", "StatusNotification", STATUS | {"status": "available"}, STATUS),
    (
        "words with blanks",
        "1.6",
        "StatusNotification",
        STATUS | {"status": " Suspended EV "},
        STATUS | {"status": "SuspendedEV"},
    ),
    ("an error code that is null", "1.6", "StatusNotification", STATUS | {"errorCode": None}, STATUS),
    ("an error code that says null", "1.6", "StatusNotification", STATUS | {"errorCode": "null"}, STATUS),
    (
        "an error code of its own",
        "1.6",
        "StatusNotification",
        STATUS | {"errorCode": "0x8F", "info": "lid"},
        STATUS | {"errorCode": "OtherError", "info": "0x8F lid"},
    ),
    (
        "hertz",
        "1.6",
        "MeterValues",
        with_samples({"value": "50", "unit": "Hz"}),
        with_samples({"value": "50", "unit": "Hertz"}),
    ),
    ("an invented context", "1.6", "MeterValues", with_samples({"value": "1", "context": "Now"}), METER),
    (
        "an invented measurand: never taken for the default one",
        "1.6",
        "MeterValues",
        with_samples({"value": "9", "measurand": "Request.Energy"}, {"value": "1"}),
        METER,
    ),
    ("a sample without a value", "1.6", "MeterValues", with_samples({"unit": "W"}, {"value": "1"}), METER),
    (
        "an empty list of samples",
        "1.6",
        "MeterValues",
        METER | {"meterValue": [{"timestamp": T, "sampledValue": []}, SAMPLE]},
        METER,
    ),
    ("an empty list of meter values", "2.0.1", "TransactionEvent", EVENT | {"meterValue": []}, EVENT),
    (
        "a serial number that is too long",
        "1.6",
        "BootNotification",
        BOOT | {"chargePointSerialNumber": "9" * 34},
        BOOT | {"chargePointSerialNumber": "9" * 25},
    ),
    ("no vendor at all", "1.6", "BootNotification", {"chargePointModel": "M"}, BOOT | {"chargePointVendor": ""}),
    (
        "no timestamp",
        "2.0.1",
        "TransactionEvent",
        {k: v for k, v in EVENT.items() if k != "timestamp"},
        EVENT | {"timestamp": "1970-01-01T00:00:00Z"},
    ),
    ("words for booleans", "2.0.1", "TransactionEvent", EVENT | {"offline": "True"}, EVENT | {"offline": True}),
    (
        "fields of a later version",
        "2.0.1",
        "TransactionEvent",
        EVENT | {"transactionInfo": {"transactionId": "t", "operationMode": "Idle"}},
        EVENT,
    ),
    (
        "a reason of a later version",
        "2.0.1",
        "TransactionEvent",
        EVENT | {"triggerReason": "OperationModeChanged"},
        EVENT | {"triggerReason": "AbnormalCondition"},
    ),
    ("null instead of an empty object", "1.6", "Heartbeat", None, {}),
]


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk[0])
def test_stations_that_send(quirk: tuple[str, str, str, Any, dict[str, Any]]) -> None:
    """V2G-58: the payload is invalid as sent, valid as read, and the coercion has a name to be counted by."""
    _, version, action, sent, read = quirk
    spoken = Version(f"ocpp{version}")
    assert not request_validator(spoken, action, formats=False).is_valid(sent)
    mended, names = tolerate(spoken, action, sent)
    assert mended == read
    assert names
    assert request_validator(spoken, action, formats=False).is_valid(mended)


@pytest.mark.parametrize(
    ("action", "sent"),
    [
        ("Authorize", {"idTag": "x" * 21}),
        ("Authorize", {}),
        ("StatusNotification", STATUS | {"status": "Sleeping"}),
        ("StartTransaction", START | {"meterStart": "many"}),
        ("MeterValues", with_samples({"value": "9", "measurand": "Request.Energy"})),
    ],
)
def test_what_cannot_be_mended_stays_invalid(action: str, sent: dict[str, Any]) -> None:
    """A cut token would be another's; a missing meter reading is not zero."""
    mended, _ = tolerate(Version.V16, action, sent)
    assert not request_validator(Version.V16, action, formats=False).is_valid(mended)


@pytest.mark.parametrize("case", cases("in"), ids=lambda case: case.id)
def test_what_is_valid_is_left_as_it_is(case: Case) -> None:
    """The golden frames pass through unchanged."""
    _, _, action, payload = case.data["frame"]
    assert tolerate(case.version, action, payload) == (payload, ())


def test_an_unknown_action_is_left_as_it_is() -> None:
    assert tolerate(Version.V16, "../Authorize", {"a": 1}) == ({"a": 1}, ())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
routes = st.sampled_from([(version, action) for version, actions in ROUTES.items() for action in actions])


@given(st.data(), routes)
def test_it_never_raises(data: st.DataObject, route: tuple[Version, str]) -> None:
    """Any JSON, with the message's own keys so that the depths are reached."""
    version, action = route
    keys = sorted(keys_of(version, action)) or ["none"]
    payload = data.draw(
        st.dictionaries(
            st.sampled_from(keys) | st.text(max_size=5),
            json_values | st.dictionaries(st.sampled_from(keys), json_values, max_size=4),
            max_size=6,
        )
    )
    mended, names = tolerate(version, action, payload)
    assert isinstance(mended, dict)
    assert all(isinstance(name, str) for name in names)


def keys_of(version: Version, action: str) -> set[str]:
    found = [
        case.data["frame"][3] for case in cases("in") if case.version is version and case.data["frame"][2] == action
    ]
    return {key for payload in found for key in keys_in(payload)}


def keys_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return {key for item in value for key in keys_in(item)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {key for item in value.values() for key in keys_in(item)}


@given(st.data(), st.sampled_from(cases("in")))
def test_a_mutilated_frame_that_fits_again_decodes(data: st.DataObject, case: Case) -> None:
    """What validates after the tolerant reader is never too much for decode."""
    _, _, action, payload = case.data["frame"]
    key = data.draw(st.sampled_from(sorted(payload) or ["none"]))
    mended, _ = tolerate(case.version, action, payload | {key: data.draw(json_values)})
    if request_validator(case.version, action, formats=False).is_valid(mended):
        context = Context(STATION, case.version, Quirks(), RECEIVED_AT)
        assert ROUTES[case.version][action].decode(mended, context, "m").origin.station == STATION


LONG = "X" * 21
T = "2026-01-01T00:00:00Z"
STOP = {"transactionId": 7, "meterStop": 9, "timestamp": T}
START = {"connectorId": 1, "idTag": "A", "meterStart": 0, "timestamp": T}
STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}


@pytest.mark.parametrize(
    ("action", "payload", "bad"),
    [
        ("StopTransaction", STOP | {"idTag": LONG}, "idTag"),
        ("StopTransaction", STOP | {"transactionData": 5}, "transactionData"),
        ("StatusNotification", STATUS | {"info": {"a": 1}}, "info"),
        ("StartTransaction", START | {"reservationId": "none"}, "reservationId"),
    ],
)
def test_a_bad_optional_field_is_dropped_and_the_rest_is_understood(
    action: str, payload: dict[str, Any], bad: str
) -> None:
    """B9: a Stop with an over-long optional idTag was quarantined, and its transaction never ended."""
    mended, names = tolerate(Version.V16, action, payload)
    assert request_validator(Version.V16, action).is_valid(mended)
    assert mended == {key: value for key, value in payload.items() if key != bad}
    assert any(bad in name for name in names) or bad == "transactionData"


def test_a_bad_required_field_is_left_as_it_came() -> None:
    """Nothing is made up: it goes to the quarantine."""
    assert tolerate(Version.V16, "StartTransaction", START | {"idTag": LONG})[0]["idTag"] == LONG
