"""Translation between OCPP payloads (1.6, 2.0.1, 2.1) and the domain's facts and commands; nothing else (design §1)."""

from handlers.again import again
from handlers.directions import FROM_STATION
from handlers.encoding import encode
from handlers.outcomes import outcome
from handlers.quirks import QuirkEntry, load_registry, overridden, quirks_for
from handlers.routes import MUST_CONFIRM, ROUTES, SEND_ROUTES, quarantine_reply
from handlers.tolerant import tolerate
from handlers.typed import reader
from handlers.wire import Context, Payload, Route, WireCall

__all__ = [
    "FROM_STATION",
    "MUST_CONFIRM",
    "ROUTES",
    "SEND_ROUTES",
    "Context",
    "Payload",
    "QuirkEntry",
    "Route",
    "WireCall",
    "again",
    "encode",
    "load_registry",
    "outcome",
    "overridden",
    "quarantine_reply",
    "quirks_for",
    "reader",
    "tolerate",
]
