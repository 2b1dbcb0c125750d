"""Messages from the quarantine, read once more. B9, V2G-39."""

import pytest

from csms.domain.facts import Origin, TransactionStopped, Unintelligible
from csms.domain.station import Quirks, Version
from handlers import again
from tests.handlers.golden import RECEIVED_AT, STATION

STOP = (
    '[2,"7","StopTransaction",{"transactionId":9,"meterStop":1200,"timestamp":"2026-11-20T17:00:00Z",'
    '"idTag":"XXXXXXXXXXXXXXXXXXXXXXXXX"}]'
)


def kept(raw: str, action: str = "StopTransaction") -> Unintelligible:
    origin = Origin(station=STATION, message_id="7", received_at=RECEIVED_AT)
    return Unintelligible(origin=origin, action=action, raw=raw, why="idTag is too long")


def test_a_stop_with_a_card_that_is_too_long_is_a_stop() -> None:
    fact = again(Version.V16, Quirks(), kept(STOP))
    assert isinstance(fact, TransactionStopped)
    assert (fact.transaction, fact.meter_stop_wh, fact.token) == ("9", 1200, None)
    assert fact.origin == Origin(station=STATION, message_id="7", received_at=RECEIVED_AT)


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '[2,"7","StopTransaction"]', '[2,"7","StopTransaction",{}]'])
def test_what_is_no_message_is_none(raw: str) -> None:
    assert again(Version.V16, Quirks(), kept(raw)) is None


def test_an_action_that_the_version_does_not_have_is_none() -> None:
    assert again(Version.V201, Quirks(), kept(STOP)) is None
