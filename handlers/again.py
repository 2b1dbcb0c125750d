"""A quarantined message read once more, after this program has learnt to (V2G-39)."""

from typing import Any

import orjson

from csms.domain.facts import StationFact, Unintelligible
from csms.domain.station import Quirks, Version
from handlers.routes import ROUTES
from handlers.tolerant import tolerate
from handlers.wire import Context


def again(version: Version, quirks: Quirks, kept: Unintelligible) -> StationFact | None:
    """The fact of a message that was kept raw, as received then; None when it still cannot be understood."""
    route = ROUTES[version].get(kept.action)
    payload = _payload(kept.raw)
    if route is None or not payload:
        return None
    context = Context(kept.origin.station, version, quirks, kept.origin.received_at)
    mended, _ = tolerate(version, kept.action, payload)
    try:
        return route.decode(mended, context, kept.origin.message_id)
    except (ValueError, LookupError, ArithmeticError, TypeError, AttributeError):
        return None


def _payload(raw: str) -> dict[str, Any]:
    """The payload of a CALL frame; {} when the text is none."""
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    is_call = isinstance(frame, list) and len(frame) == 4 and isinstance(frame[3], dict)
    return frame[3] if is_call else {}
