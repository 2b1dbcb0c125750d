"""What could not be understood, raw."""

from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from csms.domain.ids import StationId
from csms.domain.quarantine import Quarantined
from csms.store.tables import QUARANTINE
from csms.store.values import instant

_Q = QUARANTINE.c


def quarantined(
    conn: Connection, *, station: StationId | None = None, after: int | None = None, limit: int = 100
) -> list[Quarantined]:
    """In the order of arrival, after an id."""
    query = select(QUARANTINE).order_by(_Q.id).limit(limit)
    if station is not None:
        query = query.where(_Q.station == station)
    if after is not None:
        query = query.where(_Q.id > after)
    return [_quarantined_of(row) for row in conn.execute(query)]


def _quarantined_of(row: Row[Any]) -> Quarantined:
    return Quarantined(
        id=row.id,
        station=row.station,
        message_id=row.message_id,
        received_at=instant(row.received_at),
        action=row.action,
        raw=row.raw,
        why=row.why,
        evse=row.evse,
        fields=orjson.loads(row.fields),
    )
