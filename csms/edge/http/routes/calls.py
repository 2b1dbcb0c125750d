"""Any OCPP call by hand: POST /api/v1/stations/{id}/calls."""

import json
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field

from csms.domain.commands import CallFailed, CallOutcome, CallResult, Offline, TimedOut
from csms.domain.errors import StationOffline, StationSilent
from csms.domain.ids import StationId
from csms.edge.framelog import without_secrets
from csms.edge.http.auth import Operator
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.problems import Problem
from csms.edge.http.rooms import ClockDep, RegistryDep, StationsDep, StoreDep
from csms.edge.http.shapes import Body, Name
from csms.store import writes

router = APIRouter(prefix="/api/v1/stations", tags=["stations"])


def _sendable(payload: dict[str, Any]) -> dict[str, Any]:
    """JSON itself knows no NaN, no halves of characters and, for stations, no integers over 64 bits."""
    try:
        orjson.dumps(payload)
        json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot be sent as JSON: {error}") from error
    return payload


class CallBody(Body):
    """One call. The payload's keys go out in the order given."""

    action: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")]
    payload: Annotated[dict[str, Any], Field(default_factory=dict), AfterValidator(_sendable)]
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0


class CallError(BaseModel):
    code: str
    description: str
    details: dict[str, Any]


class CallAnswer(BaseModel):
    """The station's CALLRESULT or its CALLERROR, one of the two. ``fault``: how the result does not fit its schema."""

    result: dict[str, Any] | None = None
    fault: str | None = None
    error: CallError | None = None


ANSWERS: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "The station is offline"},
    504: {"model": Problem, "description": "No answer in time"},
}


@router.post("/{station}/calls", response_model=CallAnswer, response_model_exclude_none=True, responses=ANSWERS)
async def call(  # noqa: PLR0913, PLR0917  what it uses, by name
    registry: RegistryDep,
    stations: StationsDep,
    store: StoreDep,
    clock: ClockDep,
    caller: Operator,
    once: OnceDep,
    station: Name,
    body: CallBody,
) -> Response:
    """Send a call and wait for the station's own answer. 422 when the payload does not fit the version's schema."""
    id_ = registry.view(StationId(station)).station.id
    kept = _without_secrets(body.payload)

    async def work() -> dict[str, Any]:
        outcome = await stations.call(id_, body.action, body.payload, body.timeout_s)
        ended, at = type(outcome).__name__, clock.now()
        await store.writer.run(lambda conn: writes.save_call(conn, id_, body.action, kept, ended, at, caller.name))
        return _answer(id_, outcome, body.timeout_s)

    return await once.run(200, work)


def _without_secrets(payload: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a payload: nothing of one that names a password (AuthorizationKey, BasicAuthPassword …)."""
    text = orjson.dumps(payload)
    return payload if without_secrets(text) == text else {"hidden": "it holds a password"}


def _answer(station: StationId, outcome: CallOutcome, timeout_s: float) -> dict[str, Any]:
    match outcome:
        case CallResult(payload, fault):
            return {"result": payload} | ({"fault": fault} if fault else {})
        case CallFailed(code, description, details):
            return {"error": {"code": code, "description": description, "details": details}}
        case TimedOut():
            raise StationSilent(f"station {station} did not answer within {timeout_s:g} s")
        case Offline():
            raise StationOffline(f"station {station} is not connected")
