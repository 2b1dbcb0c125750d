"""Any OCPP call by hand: POST /api/v1/stations/{id}/calls."""

import json
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field

from csms.domain.commands import CallFailed, CallOutcome, CallResult, Offline, TimedOut
from csms.domain.errors import NotFound, StationOffline, StationSilent
from csms.domain.ids import StationId
from csms.edge.http.auth import Caller, ControlDep, Operator
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.ports import Control
from csms.edge.http.problems import Problem
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
    """The station's CALLRESULT or its CALLERROR, one of the two."""

    result: dict[str, Any] | None = None
    error: CallError | None = None


ANSWERS: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "The station is offline"},
    504: {"model": Problem, "description": "No answer in time"},
}


@router.post("/{station}/calls", response_model=CallAnswer, response_model_exclude_none=True, responses=ANSWERS)
async def call(control: ControlDep, caller: Operator, once: OnceDep, station: Name, body: CallBody) -> Response:
    """Send a call and wait for the station's own answer. 422 when the payload does not fit the version's schema."""
    if control.station_view(StationId(station)) is None:
        raise NotFound(f"there is no station {station}; add it with POST /api/v1/stations", field="station")
    return await once.run(200, lambda: _call(control, caller, StationId(station), body))


async def _call(control: Control, caller: Caller, station: StationId, body: CallBody) -> dict[str, Any]:
    outcome = await control.stations.call(station, body.action, body.payload, body.timeout_s)
    text, at, by = type(outcome).__name__, control.clock.now(), caller.name
    await control.store.writer.run(
        lambda conn: writes.save_call(conn, station, body.action, body.payload, text, at, by)
    )
    return _answer(station, outcome, body.timeout_s)


def _answer(station: StationId, outcome: CallOutcome, timeout_s: float) -> dict[str, Any]:
    match outcome:
        case CallResult(payload):
            return {"result": payload}
        case CallFailed(code, description, details):
            return {"error": {"code": code, "description": description, "details": details}}
        case TimedOut():
            raise StationSilent(f"station {station} did not answer within {timeout_s:g} s")
        case Offline():
            raise StationOffline(f"station {station} is not connected")
