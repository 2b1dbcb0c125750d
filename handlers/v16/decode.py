"""OCPP 1.6 requests from stations, to facts. Sections: OCPP 1.6 edition 2. Connector N is EVSE N, connector 1."""

from typing import Final

from csms.domain.facts import (
    AuthorizeAsked,
    Booted,
    DataSent,
    Heartbeat,
    Metered,
    StatusReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.ids import TransactionId
from csms.domain.station import ConnectorStatus
from handlers.readings import readings
from handlers.spellings import MISSING
from handlers.times import instant, stamp
from handlers.tokens import token_16
from handlers.wire import MOST_EVSES, MOST_WHOLE, Context, Payload, within

STATUSES: Final = {
    "Available": ConnectorStatus.AVAILABLE,
    "Preparing": ConnectorStatus.PREPARING,
    "Charging": ConnectorStatus.CHARGING,
    "SuspendedEVSE": ConnectorStatus.SUSPENDED_EVSE,
    "SuspendedEV": ConnectorStatus.SUSPENDED_EV,
    "Finishing": ConnectorStatus.FINISHING,
    "Reserved": ConnectorStatus.RESERVED,
    "Unavailable": ConnectorStatus.UNAVAILABLE,
    "Faulted": ConnectorStatus.FAULTED,
}


def boot(payload: Payload, context: Context, message_id: str) -> Booted:
    """§4.2 BootNotification. Some stations put their serial number in ``chargeBoxSerialNumber`` only."""
    return Booted(
        origin=context.origin(message_id),
        vendor=payload["chargePointVendor"],
        model=payload["chargePointModel"],
        serial=payload.get("chargePointSerialNumber") or payload.get("chargeBoxSerialNumber", ""),
        firmware=payload.get("firmwareVersion", ""),
    )


def heartbeat(payload: Payload, context: Context, message_id: str) -> Heartbeat:
    """§4.6 Heartbeat."""
    return Heartbeat(origin=context.origin(message_id))


def authorize(payload: Payload, context: Context, message_id: str) -> AuthorizeAsked:
    """§4.1 Authorize: does not say at which connector."""
    return AuthorizeAsked(origin=context.origin(message_id), token=token_16(payload["idTag"]))


def status(payload: Payload, context: Context, message_id: str) -> StatusReported:
    """§4.9 StatusNotification; connector 0 is the station. The vendor's own error code is joined to the info."""
    notes = (payload.get("info", ""), payload.get("vendorErrorCode", ""))
    return StatusReported(
        origin=context.origin(message_id),
        evse=context.evse(payload["connectorId"]),
        connector=0 if payload["connectorId"] == 0 else 1,
        status=STATUSES[payload["status"]],
        at=instant(payload.get("timestamp"), context.received_at),
        error_code=payload["errorCode"],
        info=" ".join(note for note in notes if note),
    )


def _stated(text: str) -> str:
    """The time in the station's own words, unless the tolerant reader had to put some there."""
    return "" if text == MISSING["timestamp"] else text


def start(payload: Payload, context: Context, message_id: str) -> TransactionStarted:
    """§4.10 StartTransaction. Reservation 0 means none (SteVe #1414)."""
    at, device_at = stamp(payload["timestamp"], context.received_at)
    return TransactionStarted(
        origin=context.origin(message_id),
        evse=context.evse(within("connectorId", payload["connectorId"], 1, MOST_EVSES)),
        token=token_16(payload["idTag"]),
        at=at,
        device_at=device_at,
        stated=_stated(payload["timestamp"]),
        meter_start_wh=within("meterStart", payload["meterStart"], -MOST_WHOLE, MOST_WHOLE),
        reservation=payload.get("reservationId") or None,
    )


def stop(payload: Payload, context: Context, message_id: str) -> TransactionStopped:
    """§4.8 StopTransaction. The id is kept as sent: 0, -1 and unknown ones are reconciled later (V2G-55)."""
    id_tag = payload.get("idTag")
    at, device_at = stamp(payload["timestamp"], context.received_at)
    return TransactionStopped(
        origin=context.origin(message_id),
        transaction=TransactionId(str(payload["transactionId"])),
        at=at,
        device_at=device_at,
        stated=_stated(payload["timestamp"]),
        meter_stop_wh=within("meterStop", payload["meterStop"], -MOST_WHOLE, MOST_WHOLE),
        token=token_16(id_tag) if id_tag else None,
        reason=payload.get("reason", ""),
        readings=readings(payload.get("transactionData", ()), context),
    )


def meter_values(payload: Payload, context: Context, message_id: str) -> Metered:
    """§4.7 MeterValues. Transaction 0 or less means none (SteVe #1415)."""
    transaction = payload.get("transactionId", 0)
    return Metered(
        origin=context.origin(message_id),
        evse=context.evse(payload["connectorId"]),
        transaction=TransactionId(str(transaction)) if transaction > 0 else None,
        readings=readings(payload["meterValue"], context),
    )


def data_transfer(payload: Payload, context: Context, message_id: str) -> DataSent:
    """§4.3 DataTransfer."""
    return DataSent(
        origin=context.origin(message_id),
        vendor=payload["vendorId"],
        message=payload.get("messageId", ""),
        data=payload.get("data", ""),
    )
