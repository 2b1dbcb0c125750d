"""Messages from the quarantine, read once more. B9, V2G-39."""

from typing import Any

import pytest

from csms.domain.facts import Origin, TransactionStopped, Unintelligible
from csms.domain.station import Quirks, Version
from csms.edge.schemas import Fault, Schemas
from handlers import again
from tests.handlers.golden import RECEIVED_AT, STATION

STOP = (
    '[2,"7","StopTransaction",{"transactionId":9,"meterStop":1200,"timestamp":"2026-11-20T17:00:00Z",'
    '"idTag":"XXXXXXXXXXXXXXXXXXXXXXXXX"}]'
)


def fault_of(version: Version, action: str, payload: Any) -> Fault | None:
    return Schemas(version).request_fault(action, payload)


def kept(raw: str, action: str = "StopTransaction") -> Unintelligible:
    origin = Origin(station=STATION, message_id="7", received_at=RECEIVED_AT)
    return Unintelligible(origin=origin, action=action, raw=raw, why="idTag is too long")


def test_a_stop_with_a_card_that_is_too_long_is_a_stop() -> None:
    fact = again(fault_of, Version.V16, Quirks(), kept(STOP))
    assert isinstance(fact, TransactionStopped)
    assert (fact.transaction, fact.meter_stop_wh, fact.token) == ("9", 1200, None)
    assert fact.origin == Origin(station=STATION, message_id="7", received_at=RECEIVED_AT)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "CALL"),
        ("null", "CALL"),
        ('[2,"7","StopTransaction"]', "CALL"),
        ('[2,"7","StopTransaction",{}]', "is required"),
        (STOP.replace("1200", '"lots"'), "meterStop"),
    ],
)
def test_what_is_no_message_is_refused_with_what_is_wrong(raw: str, why: str) -> None:
    """By its schema too: "lots" was taken for a register."""
    with pytest.raises(ValueError, match=why):
        again(fault_of, Version.V16, Quirks(), kept(raw))


def test_an_action_that_the_version_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2\.0\.1 has no message StopTransaction"):
        again(fault_of, Version.V201, Quirks(), kept(STOP))
