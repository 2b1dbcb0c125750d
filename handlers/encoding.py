"""Commands, in the words of the station's version."""

from collections.abc import Callable, Mapping
from typing import Final

from csms.domain.commands import Command
from csms.domain.station import Version
from handlers.v2 import encode as v2
from handlers.v16 import encode as v16
from handlers.v21 import encode as v21
from handlers.wire import WireCall

_ENCODERS: Final[Mapping[Version, Callable[[Command], tuple[WireCall, ...]]]] = {
    Version.V16: v16.encode,
    Version.V201: lambda command: v2.encode(command, Version.V201),
    Version.V21: v21.encode,
}


def encode(version: Version, command: Command) -> tuple[WireCall, ...]:
    """The calls, to be sent in order; () = this version cannot express the command, and nothing may be sent."""
    return _ENCODERS[version](command)
