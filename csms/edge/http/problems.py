"""Errors as problem+json (RFC 9457): what is wrong, in which field, and the remedy."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from csms.domain import errors

STATUS: Mapping[type[errors.CsmsError], int] = {
    errors.NotFound: 404,
    errors.Gone: 410,
    errors.Forbidden: 403,
    errors.Conflict: 409,
    errors.BadRequest: 422,
    errors.StationOffline: 409,
    errors.StationSilent: 504,
    errors.Unavailable: 503,
}

REMEDIES: Mapping[str, str] = {
    "missing": "this field is missing; add it",
    "extra_forbidden": "unknown field; remove it or correct its spelling",
    "timezone_aware": "the time has no zone; end it with Z or an offset such as +09:00",
    "json_invalid": "the body is not valid JSON",
    "model_attributes_type": "the body must be a JSON object sent as Content-Type: application/json",
}


class FieldError(BaseModel):
    """One wrong field, by its path from the top of the body or query."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457. ``field`` is the first wrong field, ``errors`` has them all; ``reason`` is a word for programs."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = None
    reason: str | None = None
    errors: list[FieldError] | None = None


class ProblemResponse(JSONResponse):
    """Its own media type."""

    media_type = "application/problem+json"


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "What is wrong, in which field, and the remedy"},
}


def problem(
    status: int,
    detail: str,
    *,
    field: str | None = None,
    reason: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """A problem response; ``field`` falls back to the first of ``errors``."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        field=field or (errors[0].field if errors else None),
        reason=reason,
        errors=list(errors) or None,
    )
    return ProblemResponse(body.model_dump(exclude_none=True), status, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Every error of the application leaves as problem+json."""
    app.add_exception_handler(errors.CsmsError, _of_domain)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_bug)


async def _of_domain(_: Request, error: Exception) -> ProblemResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return problem(status, str(error), field=getattr(error, "field", None), reason=getattr(error, "reason", None))


async def _of_validation(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for this type)
    found = [_field_error(item) for item in error.errors()]
    return problem(422, "; ".join(f"{item.field}: {item.message}" for item in found[:3]), errors=found)


def _field_error(item: Mapping[str, Any]) -> FieldError:
    """Drops "body", "query", "path": callers think in their own fields."""
    where = [str(part) for part in item["loc"][1:]] if item["type"] != "json_invalid" else []
    message = REMEDIES.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")
    return FieldError(field=".".join(where) or str(item["loc"][0]), message=message)


async def _of_http(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for this type)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _of_bug(_: Request, _error: Exception) -> ProblemResponse:
    return problem(500, "an error on our side; it is in the server's log")
