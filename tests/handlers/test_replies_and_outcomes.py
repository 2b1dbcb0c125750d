"""Answers and outcomes beyond the golden frames."""

import pytest

from csms.domain.answers import Acknowledged, TokenAnswer, TokenStatus
from csms.domain.commands import Accepted, Configure, Rejected, Reset, StartTransaction
from csms.domain.facts import IdToken
from csms.domain.ids import EvseRef, TransactionId
from csms.domain.station import Version
from handlers import MUST_CONFIRM, ROUTES, encode, outcome, quarantine_reply
from handlers.v16.encode import transaction_number
from tests.handlers.golden import STATION, response_validator

RESET = Reset(station=STATION)
TOKEN_REQUEST = {"idToken": {"idToken": "A1", "type": "Central"}}


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("status", TokenStatus)
def test_every_verdict_on_a_token_can_be_spelt(version: Version, status: TokenStatus) -> None:
    """1.6 has no Unknown and no NotAt…; nothing but Accepted may be spelt Accepted."""
    reply = ROUTES[version]["Authorize"].reply(TokenAnswer(status=status), TOKEN_REQUEST)
    assert response_validator(version, "Authorize").is_valid(reply)
    spelt = reply["idTagInfo" if version is Version.V16 else "idTokenInfo"]["status"]
    assert (spelt == "Accepted") is (status is TokenStatus.ACCEPTED)


@pytest.mark.parametrize("status", set(TokenStatus) - {TokenStatus.BLOCKED})
def test_no_card_is_blocked_at_a_1_6_station_but_one_that_is(status: TokenStatus) -> None:
    """Some stations keep a blocked card as such for good (KEBA)."""
    reply = ROUTES[Version.V16]["Authorize"].reply(TokenAnswer(status=status), TOKEN_REQUEST)
    assert reply["idTagInfo"]["status"] != "Blocked"


@pytest.mark.parametrize("version", Version)
def test_a_group_that_is_too_long_is_left_out(version: Version) -> None:
    answer = TokenAnswer(status=TokenStatus.ACCEPTED, group="g" * 300)
    reply = ROUTES[version]["Authorize"].reply(answer, TOKEN_REQUEST)
    assert response_validator(version, "Authorize").is_valid(reply)


def test_the_wrong_kind_of_answer_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="TokenAnswer"):
        ROUTES[Version.V16]["Authorize"].reply(Acknowledged(), {})


@pytest.mark.parametrize("version", Version)
def test_what_must_be_confirmed_can_be_without_being_understood(version: Version) -> None:
    """V2G-39: all but 1.6 StartTransaction, whose confirmation needs an id."""
    for action in MUST_CONFIRM & set(ROUTES[version]) - {"StartTransaction"}:
        assert response_validator(version, action).is_valid(quarantine_reply(version, action))
    with pytest.raises(KeyError):
        quarantine_reply(version, "Authorize")


def test_a_start_in_quarantine_is_answered_through_its_route() -> None:
    with pytest.raises(KeyError):
        quarantine_reply(Version.V16, "StartTransaction")


@pytest.mark.parametrize(
    ("result", "meaning"),
    [
        ({"status": "Accepted"}, Accepted()),
        ({"status": " accepted"}, Accepted()),
        ({"status": "Scheduled"}, Accepted()),
        ({"status": "Rejected"}, Rejected("Rejected")),
        ({"status": "Rejected", "statusInfo": None}, Rejected("Rejected")),
        ({"status": "Rejected", "statusInfo": {"reasonCode": "InTx"}}, Rejected("Rejected: InTx")),
        ({}, Rejected("no status")),
        ({"status": 1}, Rejected("no status")),
    ],
)
def test_a_result_means(result: dict[str, object], meaning: Accepted | Rejected) -> None:
    assert outcome(Version.V201, RESET, [result]) == meaning


def test_no_result_is_no_yes() -> None:
    assert outcome(Version.V16, RESET, []) == Rejected("no answer")


def test_one_refusal_of_several_answers_is_a_refusal() -> None:
    """V2G-12: of a command that takes two calls neither may be missing."""
    assert outcome(Version.V16, RESET, [{"status": "Accepted"}, {"status": "Rejected"}]) == Rejected("Rejected")
    assert outcome(Version.V16, RESET, [{"status": "Accepted"}, {"status": "Accepted"}]) == Accepted()


@pytest.mark.parametrize(("given", "number"), [("7", 7), ("0", None), ("-1", None), ("tx-7", None), (None, None)])
def test_a_transaction_that_has_no_number_of_ours_cannot_be_stopped(given: str | None, number: int | None) -> None:
    """V2G-55: 0 and -1 are what stations send when a start was never answered."""
    assert transaction_number(None if given is None else TransactionId(given)) == number


def test_a_configuration_that_stopped_half_way_names_what_was_answered() -> None:
    """The edge stops where the station leaves: fewer results than calls (lesson 22)."""
    command = Configure(station=STATION, sample_interval_s=60)
    results = [{"status": "NotSupported"}, {"status": "Accepted"}]
    assert outcome(Version.V16, command, results) == Accepted(
        {
            "refused": ["ConnectionTimeOut"],
            "taken": ["MeterValueSampleInterval"],
            "reboot_required": [],
            "unanswered": ["MeterValuesSampledData"],
        }
    )


@pytest.mark.parametrize(("version", "length"), [(Version.V16, 20), (Version.V201, 36), (Version.V21, 255)])
def test_a_token_is_never_cut(version: Version, length: int) -> None:
    """A longer one than the version can carry gives no call."""

    def start(characters: int) -> StartTransaction:
        return StartTransaction(evse=EvseRef(STATION, 1), token=IdToken("x" * characters), remote_start_id=1)

    assert len(encode(version, start(length))) == 1
    assert encode(version, start(length + 1)) == ()


def test_measurand_lists_are_short() -> None:
    """Field lesson 22: above ~128 characters a station overwrote other settings; at most five measurands."""
    calls = encode(Version.V16, Configure(station=STATION, sample_interval_s=60))
    for call in calls:
        assert len(call.payload["value"]) < 128
        assert call.payload["value"].count(",") < 5
