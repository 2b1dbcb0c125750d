"""Which requests of a station are understood, per version. An action that is not here is answered
NotImplemented or NotSupported: a confirmation of what we do not keep would be a lie."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from csms.domain.station import Version
from handlers import notices
from handlers.v2 import decode as v2
from handlers.v2 import needs
from handlers.v2 import replies as v2_replies
from handlers.v16 import decode as v16
from handlers.v16 import replies as v16_replies
from handlers.v21 import replies as v21_replies
from handlers.wire import Route, acknowledge

_V16: Final = {
    "Authorize": Route(v16.authorize, v16_replies.authorize),
    "BootNotification": Route(v16.boot, v16_replies.boot),
    "DataTransfer": Route(v16.data_transfer, v16_replies.data_transfer),
    "Heartbeat": Route(v16.heartbeat, v16_replies.heartbeat),
    "MeterValues": Route(v16.meter_values, acknowledge),
    "StartTransaction": Route(v16.start, v16_replies.start),
    "StatusNotification": Route(v16.status, acknowledge),
    "StopTransaction": Route(v16.stop, v16_replies.stop),
    **notices.ROUTES_16,
}

_V201: Final = {
    "Authorize": Route(v2.authorize, v2_replies.authorize),
    "BootNotification": Route(v2.boot, v16_replies.boot),
    "DataTransfer": Route(v2.data_transfer, v16_replies.data_transfer),
    "Heartbeat": Route(v2.heartbeat, v16_replies.heartbeat),
    "MeterValues": Route(v2.meter_values, acknowledge),
    "NotifyEVChargingNeeds": Route(needs.decode, v2_replies.charging_needs),
    "NotifyEvent": Route(v2.events, acknowledge),
    "StatusNotification": Route(v2.status, acknowledge),
    "TransactionEvent": Route(v2.transaction_event, v2_replies.transaction_event),
    **notices.ROUTES_201,
}

_V21: Final = (
    _V201
    | notices.ROUTES_21
    | {
        "Authorize": Route(v2.authorize, v21_replies.authorize),
        "NotifyEVChargingNeeds": Route(needs.decode, v21_replies.charging_needs),
    }
)

ROUTES: Final[Mapping[Version, Mapping[str, Route]]] = MappingProxyType(
    {
        Version.V16: MappingProxyType(_V16),
        Version.V201: MappingProxyType(_V201),
        Version.V21: MappingProxyType(_V21),
    }
)

SEND_ROUTES: Final[Mapping[str, Route]] = MappingProxyType({})
"""2.1 SEND (unconfirmed) actions: none is opened by us, so none is expected."""

MUST_CONFIRM: Final = notices.EMPTY_CONFIRMATION | {
    "StartTransaction",
    "StopTransaction",
    "MeterValues",
    "StatusNotification",
    "TransactionEvent",
    "NotifyEvent",
}
"""Confirmed whatever they say: a CALLERROR makes a station repeat them for ever (field lesson 8, V2G-39)."""


def quarantine_reply(version: Version, action: str) -> dict[str, Any]:
    """The confirmation of a MUST_CONFIRM message that could not be understood.

    1.6 StartTransaction needs a transaction id: answer it through its route, with a StartAnswer. KeyError for it and
    for messages that need not be confirmed.
    """
    if action not in MUST_CONFIRM or (version is Version.V16 and action == "StartTransaction"):
        raise KeyError(action)
    return {}
