"""A quarantined message read once more, after this program has learnt to, or somebody has corrected it (V2G-39)."""

from collections.abc import Callable
from typing import Any

import orjson

from csms.domain.facts import StationFact, Unintelligible
from csms.domain.station import Quirks, Version
from handlers.routes import ROUTES
from handlers.tolerant import tolerate
from handlers.wire import Context

Fits = Callable[[Version, str, Any], object | None]
"""What is wrong with the payload of a CALL, by its schema; None = it fits."""


def again(fault_of: Fits, version: Version, quirks: Quirks, kept: Unintelligible) -> StationFact:
    """The fact of a message that was kept raw, as received then. Raises ValueError, which says what is wrong."""
    route = ROUTES[version].get(kept.action)
    if route is None:
        raise ValueError(f"OCPP {version.value} has no message {kept.action} of a station")
    context = Context(kept.origin.station, version, quirks, kept.origin.received_at)
    mended, _ = tolerate(version, kept.action, _payload(kept.raw))
    if (fault := fault_of(version, kept.action, mended)) is not None:
        raise ValueError(str(fault))
    try:
        return route.decode(mended, context, kept.origin.message_id)
    except (ValueError, LookupError, ArithmeticError, TypeError, AttributeError) as error:
        raise ValueError(f"{kept.action} cannot be read: {str(error)[:100]}") from error


def _payload(raw: str) -> dict[str, Any]:
    """The payload of a CALL frame. Raises ValueError when the text is none."""
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError("it is no JSON") from error
    if not (isinstance(frame, list) and len(frame) == 4 and isinstance(frame[3], dict)):
        raise ValueError("it is no CALL with a payload")
    payload: dict[str, Any] = frame[3]
    return payload
