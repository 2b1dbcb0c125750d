"""Meter readings to rows and back."""

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import Row

from csms.domain.facts import Origin, Reading
from csms.domain.ids import TransactionId
from csms.domain.metering import StoredReading
from csms.store.values import digest, instant, micros, plain_json, text_digest

UNKNOWN_EVSE = -1
"""Rows of a 2.x transaction that has not said yet at which EVSE it runs; moved when it does."""


def reading_rows(
    origin: Origin, evse: int, transaction: TransactionId | None, readings: Iterable[Reading]
) -> list[dict[str, Any]]:
    """One ``meter_value`` row per reading."""
    received_at = micros(origin.received_at)
    return [_row(origin, received_at, evse, transaction, reading) for reading in readings]


def _row(
    origin: Origin, received_at: int, evse: int, transaction: TransactionId | None, reading: Reading
) -> dict[str, Any]:
    extra = plain_json(dict(reading.extra)) if reading.extra else None
    content = (
        transaction,
        reading.context,
        reading.import_wh,
        reading.export_wh,
        reading.power_import_w,
        reading.power_export_w,
        reading.power_offered_w,
        reading.current_a,
        reading.voltage_v,
        reading.soc_percent,
        extra,
    )
    at = micros(reading.at)
    return {
        "station": origin.station,
        "evse": evse,
        "transaction": transaction,
        "at": at,
        "device_at": at if reading.device_at is None else micros(reading.device_at),
        "offset_s": origin.offset_s,
        "received_at": received_at,
        "message_id": origin.message_id,
        # Of the content only: a retry has another message id and comes later.
        "digest": _content_digest(content),
        "context": reading.context,
        "import_wh": reading.import_wh,
        "export_wh": reading.export_wh,
        "power_import_w": reading.power_import_w,
        "power_export_w": reading.power_export_w,
        "power_offered_w": reading.power_offered_w,
        "current_a": reading.current_a,
        "voltage_v": reading.voltage_v,
        "soc_percent": reading.soc_percent,
        "extra": extra,
    }


def _content_digest(content: tuple[Any, ...]) -> int:
    try:
        return digest(orjson.dumps(content))
    except TypeError:  # what JSON cannot say, such as an integer beyond 64 bits
        return text_digest(repr(content))


def reading_of(row: Row[Any]) -> Reading:
    """The reading in a ``meter_value`` row."""
    return Reading(
        at=instant(row.at),
        context=row.context,
        import_wh=row.import_wh,
        export_wh=row.export_wh,
        power_import_w=row.power_import_w,
        power_export_w=row.power_export_w,
        power_offered_w=row.power_offered_w,
        current_a=row.current_a,
        voltage_v=row.voltage_v,
        soc_percent=row.soc_percent,
        extra=orjson.loads(row.extra) if row.extra else None,
        device_at=None if row.device_at == row.at else instant(row.device_at),
    )


def stored_reading(row: Row[Any]) -> StoredReading:
    """The reading with where it came from."""
    return StoredReading(
        id=row.id,
        reading=reading_of(row),
        received_at=instant(row.received_at),
        message_id=row.message_id,
        transaction=row.transaction,
    )
