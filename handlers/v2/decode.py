"""OCPP 2.0.1 and 2.1 requests from stations, to facts. Functional blocks: OCPP 2.0.1 part 2."""

from typing import Any, Final

import orjson

from csms.domain.facts import (
    AuthorizeAsked,
    Booted,
    DataSent,
    Heartbeat,
    Metered,
    StatusesReported,
    StatusReported,
    TransactionPhase,
    TransactionReported,
)
from csms.domain.ids import TransactionId
from csms.domain.station import ConnectorStatus
from handlers.readings import readings
from handlers.times import instant, stamp
from handlers.tokens import evccid, token_2
from handlers.wire import MOST_COUNT, MOST_EVSES, Context, Payload, within

STATUSES: Final = {
    "available": ConnectorStatus.AVAILABLE,
    "occupied": ConnectorStatus.OCCUPIED,
    "reserved": ConnectorStatus.RESERVED,
    "unavailable": ConnectorStatus.UNAVAILABLE,
    "faulted": ConnectorStatus.FAULTED,
}


def boot(payload: Payload, context: Context, message_id: str) -> Booted:
    """B01 BootNotification."""
    station = payload["chargingStation"]
    return Booted(
        origin=context.origin(message_id),
        vendor=station["vendorName"],
        model=station["model"],
        serial=station.get("serialNumber", ""),
        firmware=station.get("firmwareVersion", ""),
        reason=payload["reason"],
    )


def heartbeat(payload: Payload, context: Context, message_id: str) -> Heartbeat:
    """G02 Heartbeat."""
    return Heartbeat(origin=context.origin(message_id))


def authorize(payload: Payload, context: Context, message_id: str) -> AuthorizeAsked:
    """C01 Authorize."""
    token = payload["idToken"]
    return AuthorizeAsked(origin=context.origin(message_id), token=token_2(token), evccid=evccid(token))


def status(payload: Payload, context: Context, message_id: str) -> StatusReported:
    """G01 StatusNotification; EVSE 0 is the station."""
    return StatusReported(
        origin=context.origin(message_id),
        evse=context.evse(payload["evseId"]),
        connector=within("connectorId", payload["connectorId"], 0, MOST_EVSES),
        status=STATUSES[payload["connectorStatus"].lower()],
        at=instant(payload["timestamp"], context.received_at),
    )


def events(payload: Payload, context: Context, message_id: str) -> StatusesReported:
    """N07 NotifyEvent: AvailabilityState of connectors (G01.FR.03); other events are kept as they came."""
    found = [(event, _availability(event, context, message_id)) for event in payload["eventData"]]
    return StatusesReported(
        origin=context.origin(message_id),
        statuses=tuple(status for _, status in found if status is not None),
        others=tuple(event for event, status in found if status is None),
    )


def _availability(event: dict[str, Any], context: Context, message_id: str) -> StatusReported | None:
    evse = event["component"].get("evse")
    names = (event["component"]["name"].lower(), event["variable"]["name"].lower())
    state = STATUSES.get(event["actualValue"].strip().lower())
    if names != ("connector", "availabilitystate") or state is None or evse is None:
        return None
    return StatusReported(
        origin=context.origin(message_id),
        evse=context.evse(evse["id"]),
        connector=within("connectorId", evse.get("connectorId", 1), 0, MOST_EVSES),
        status=state,
        at=instant(event["timestamp"], context.received_at),
        info=event.get("techInfo", ""),
    )


def transaction_event(payload: Payload, context: Context, message_id: str) -> TransactionReported:
    """E02 and following: TransactionEvent."""
    info = payload["transactionInfo"]
    evse = payload.get("evse")
    token = payload.get("idToken")
    at, device_at = stamp(payload["timestamp"], context.received_at)
    return TransactionReported(
        origin=context.origin(message_id),
        transaction=TransactionId(info["transactionId"]),
        phase=TransactionPhase(payload["eventType"]),
        seq_no=within("seqNo", payload["seqNo"], 0, MOST_COUNT),
        trigger=payload["triggerReason"],
        at=at,
        device_at=device_at,
        evse=context.evse(evse["id"]) if evse else None,
        connector=_connector(evse),
        token=token_2(token) if token else None,
        charging_state=info.get("chargingState", ""),
        remote_start_id=_remote_start(info),
        offline=payload.get("offline", False),
        stopped_reason=info.get("stoppedReason", ""),
        operation_mode=info.get("operationMode", ""),
        readings=readings(payload.get("meterValue", ()), context),
    )


def _connector(evse: Any) -> int | None:
    """One that cannot be is left out: the event counts all the same (V2G-39)."""
    number = evse.get("connectorId") if evse else None
    return number if number is not None and 0 <= number <= MOST_EVSES else None


def _remote_start(info: dict[str, Any]) -> int | None:
    number = info.get("remoteStartId")
    return number if number is not None and abs(number) <= MOST_COUNT else None


def meter_values(payload: Payload, context: Context, message_id: str) -> Metered:
    """J01 MeterValues: outside transactions (inside, TransactionEvent carries them)."""
    return Metered(
        origin=context.origin(message_id),
        evse=context.evse(payload["evseId"]),
        transaction=None,
        readings=readings(payload["meterValue"], context),
    )


def data_transfer(payload: Payload, context: Context, message_id: str) -> DataSent:
    """P02 DataTransfer: ``data`` is any JSON; what is not text is kept as JSON text."""
    data = payload.get("data", "")
    return DataSent(
        origin=context.origin(message_id),
        vendor=payload["vendorId"],
        message=payload.get("messageId", ""),
        data=data if isinstance(data, str) else orjson.dumps(data).decode(),
    )
