"""The golden frames of tests/frames, read in both directions."""

from typing import Any

import pytest

from handlers import ROUTES, encode, outcome
from tests.handlers.golden import (
    Case,
    answer_of,
    as_data,
    cases,
    command_of,
    request_validator,
    response_validator,
)

INCOMING, OUTGOING = cases("in"), cases("out")


def _without_origin(fact: Any) -> Any:
    if isinstance(fact, list):
        return [_without_origin(item) for item in fact]
    if isinstance(fact, dict):
        return {key: _without_origin(item) for key, item in fact.items() if key != "origin"}
    return fact


@pytest.mark.parametrize("case", INCOMING, ids=lambda case: case.id)
def test_a_frame_of_a_station_becomes_this_fact(case: Case) -> None:
    """Design §2: decode, against the golden frames."""
    _, message_id, action, payload = case.data["frame"]
    assert request_validator(case.version, action, formats=False).is_valid(payload)
    fact = ROUTES[case.version][action].decode(payload, case.context, message_id)
    assert fact.origin.message_id == message_id
    assert _without_origin(as_data(fact)) == case.data["fact"]


@pytest.mark.parametrize("case", [case for case in INCOMING if "answer" in case.data], ids=lambda case: case.id)
def test_an_answer_is_spelt_like_this(case: Case) -> None:
    """Design §2: replies validate against the schema of the version."""
    _, _, action, payload = case.data["frame"]
    reply = ROUTES[case.version][action].reply(answer_of(case.data["answer"]), payload)
    assert reply == case.data["reply"]
    assert list(response_validator(case.version, action).iter_errors(reply)) == []


@pytest.mark.parametrize("case", OUTGOING, ids=lambda case: case.id)
def test_a_command_is_spelt_like_this(case: Case) -> None:
    """V2G-1, V2G-58, V2G-72: encode, against the golden frames and the schema."""
    calls = encode(case.version, command_of(case.data["command"]))
    assert [[2, frame[1], *call] for call, frame in zip(calls, case.data["frames"], strict=True)] == case.data["frames"]
    for action, payload in calls:
        assert list(request_validator(case.version, action).iter_errors(payload)) == []


@pytest.mark.parametrize("case", [case for case in OUTGOING if "results" in case.data], ids=lambda case: case.id)
def test_the_answers_of_a_station_mean_this(case: Case) -> None:
    """What the CALLRESULTs of a command say."""
    command = command_of(case.data["command"])
    for (action, _), result in zip(encode(case.version, command), case.data["results"], strict=False):
        assert response_validator(case.version, action).is_valid(result)
    assert as_data(outcome(case.version, command, case.data["results"])) == case.data["outcome"]


@pytest.mark.parametrize("version", ROUTES, ids=lambda version: version.value)
def test_every_route_has_a_golden_frame_with_its_answer(version: Any) -> None:
    """Nothing is understood, and nothing answered, that is not shown in a golden frame."""
    shown = {case.data["frame"][2] for case in INCOMING if case.version is version}
    answered = {case.data["frame"][2] for case in INCOMING if case.version is version and "answer" in case.data}
    assert shown == set(ROUTES[version])
    assert answered == shown
