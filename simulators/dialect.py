"""What the dialects of OCPP 1.6 and 2.x have in common."""

import re
from datetime import datetime, timedelta
from typing import Protocol

from simulators.hardware import Evse, Hardware, Payload
from simulators.rpc import CallError, Reply


class Dialect(Protocol):
    """How one OCPP version's station speaks. ``reset_asked``: the boot reason of a reset to come, or empty."""

    reset_asked: str

    def boot(self, reason: str) -> tuple[str, Payload]: ...
    def all_statuses(self) -> None: ...
    def plugged(self, evse: Evse) -> None: ...
    def unplugged(self, evse: Evse) -> None: ...
    def present(self, evse: Evse, token: str, token_type: str) -> None: ...
    def tick(self, evse: Evse) -> None: ...
    def sample(self, evse: Evse, context: str = "Sample.Periodic") -> None: ...
    def handle(self, action: str, payload: Payload) -> Reply: ...


def answered_by(calls: object, action: str, payload: Payload) -> Reply:
    """Call ``on_<action>``. Raises CallError: NotImplemented for the unknown, FormationViolation for the malformed."""
    handler = getattr(calls, "on_" + snake(action), None)
    if handler is None:
        raise CallError("NotImplemented", f"{action} is not known here")
    try:
        reply: Reply = handler(payload)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise CallError("GenericError", f"{action}: {type(error).__name__} {error}") from error
    return reply


def snake(action: str) -> str:
    """``GetCompositeSchedule`` -> ``get_composite_schedule``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()


def deadline(hardware: Hardware, since: datetime) -> datetime:
    """When the connection time-out strikes."""
    return since + timedelta(seconds=hardware.configuration.number("connection_timeout"))
