"""Messages that are kept and read by people, and change nothing by themselves. Their content is the payload as it came.

OCPP 1.6 security whitepaper §4-7 and 1.6 §4.4, 4.5; 2.0.1 part 2: A04, B07, D01, H, I, K11-K13, L, M, N, O; 2.1: K21.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from csms.domain.answers import Answer
from csms.domain.facts import Noticed, NoticeKind
from handlers.wire import Context, Payload, Route, acknowledge

_ANY_VERSION: Final[Mapping[str, NoticeKind]] = {
    "FirmwareStatusNotification": NoticeKind.FIRMWARE_STATUS,
    "LogStatusNotification": NoticeKind.LOG_STATUS,
    "SecurityEventNotification": NoticeKind.SECURITY_EVENT,
}
_ONLY_16: Final[Mapping[str, NoticeKind]] = {
    "DiagnosticsStatusNotification": NoticeKind.DIAGNOSTICS_STATUS,
    "SignedFirmwareStatusNotification": NoticeKind.FIRMWARE_STATUS,
}
_FROM_201: Final[Mapping[str, NoticeKind]] = {
    "ClearedChargingLimit": NoticeKind.CHARGING_LIMIT_CLEARED,
    "NotifyChargingLimit": NoticeKind.CHARGING_LIMIT,
    "NotifyCustomerInformation": NoticeKind.CUSTOMER_INFORMATION,
    "NotifyDisplayMessages": NoticeKind.DISPLAY_MESSAGES,
    "NotifyMonitoringReport": NoticeKind.MONITORING_REPORT,
    "NotifyReport": NoticeKind.REPORT,
    "PublishFirmwareStatusNotification": NoticeKind.PUBLISH_FIRMWARE_STATUS,
    "ReportChargingProfiles": NoticeKind.CHARGING_PROFILES,
    "ReservationStatusUpdate": NoticeKind.RESERVATION_UPDATE,
}
_FROM_21: Final[Mapping[str, NoticeKind]] = {"NotifyPriorityCharging": NoticeKind.PRIORITY_CHARGING}


def _decoder(kind: NoticeKind) -> Callable[[Payload, Context, str], Noticed]:
    def decode(payload: Payload, context: Context, message_id: str) -> Noticed:
        return Noticed(origin=context.origin(message_id), kind=kind, content=payload)

    return decode


def _routes(kinds: Mapping[str, NoticeKind]) -> dict[str, Route]:
    return {action: Route(_decoder(kind), acknowledge) for action, kind in kinds.items()}


def _processed(answer: Answer, request: Payload) -> dict[str, Any]:
    """NotifyEVChargingSchedule: "Accepted" says that the message was processed, not that the schedule is approved."""
    return {"status": "Accepted"}


ROUTES_16: Final = _routes({**_ANY_VERSION, **_ONLY_16})
ROUTES_201: Final = _routes({**_ANY_VERSION, **_FROM_201}) | {
    "NotifyEVChargingSchedule": Route(_decoder(NoticeKind.EV_CHARGING_SCHEDULE), _processed)
}
ROUTES_21: Final = ROUTES_201 | _routes(_FROM_21)

EMPTY_CONFIRMATION: Final = frozenset({**_ANY_VERSION, **_ONLY_16, **_FROM_201, **_FROM_21})
"""Stations repeat some of these for ever after a CALLERROR, and hold back what follows (F4)."""
