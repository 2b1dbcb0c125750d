"""A station may answer anything: nothing raises, and the next station hears nothing of it. C11, C12."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import handlers
from csms.domain.commands import Accepted, CallResult, Configure, ReadSchedule, Rejected, Reset, StartTransaction
from csms.domain.ids import StationId
from csms.domain.station import Version
from csms.edge.schemas import Schemas
from csms.edge.verdicts import verdict
from tests.handlers.golden import cases, command_of

CS1 = StationId("CS1")
COMMANDS = [(case.version, command_of(case.data["command"])) for case in cases("out")]
GOOD = [result for case in cases("out") for result in case.data.get("results", [])]

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("Accepted"))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)


@st.composite
def mangled(draw: Any) -> dict[str, Any]:
    """An answer that a station could have given, with one thing in it replaced by anything."""
    answer = orjson.loads(orjson.dumps(draw(st.sampled_from(GOOD))))
    node: Any = answer
    while isinstance(node, dict | list) and node:
        key = draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[key], dict | list) or draw(st.booleans()):
            node[key] = draw(anything)
            break
        node = node[key]
    return answer


@given(command=st.sampled_from(COMMANDS), answers=st.lists(mangled() | st.dictionaries(st.text(max_size=5), anything)))
def test_c11_no_answer_raises_whatever_it_holds(command: tuple[Version, Any], answers: list[dict[str, Any]]) -> None:
    """C11: ``{"setVariableResult": ["x"]}`` or a statusInfo that is text ended the set-up of its station."""
    version, asked = command
    outcome = verdict(handlers, version, asked, [CallResult(answer, "beside") for answer in answers])
    assert isinstance(outcome, Accepted | Rejected)
    if isinstance(asked, StartTransaction) and isinstance(outcome, Accepted):
        assert isinstance(outcome.details.get("transaction", ""), str | int)
    if isinstance(asked, ReadSchedule) and isinstance(outcome, Accepted):
        assert all(isinstance(figure, int | float) for period in outcome.details["periods"] for figure in period)


CONFIGURE = Configure(station=CS1, sample_interval_s=60)


@pytest.mark.parametrize(
    "answer", [{"setVariableResult": ["x"]}, {"setVariableResult": 1}, {"setVariableResult": [{}]}]
)
def test_c11_a_malformed_answer_to_a_setting_is_a_refused_setting(answer: dict[str, Any]) -> None:
    calls = handlers.encode(Version.V201, CONFIGURE)
    fault = str(Schemas(Version.V201).response_fault("SetVariables", answer))
    outcome = verdict(handlers, Version.V201, CONFIGURE, [CallResult(answer, fault)] * len(calls))
    assert isinstance(outcome, Rejected) or outcome.details["refused"]


def test_c11_the_refusal_names_what_is_wrong_with_the_answer() -> None:
    answer = {"status": "Rejected", "statusInfo": "no"}
    fault = str(Schemas(Version.V201).response_fault("Reset", answer))
    outcome = verdict(handlers, Version.V201, Reset(station=CS1), [CallResult(answer, fault)])
    assert outcome == Rejected("the answer cannot be understood: statusInfo must be of type object")


async def test_c12_an_answer_beside_its_schema_is_marked(edge: Any) -> None:
    """C12: it came back to the operator as if it were right."""
    station = await edge.online()
    call = asyncio.ensure_future(edge.hub.call(CS1, "ClearCache", {}, 5))
    _, message_id, *_ = await station.hear()
    await station.say(3, message_id, {"status": "Perhaps"})
    outcome = await call
    assert outcome.payload == {"status": "Perhaps"}
    assert outcome.fault.startswith("status")
