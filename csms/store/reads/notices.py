"""What stations told besides."""

import orjson
from sqlalchemy import Connection, select

from csms.domain.facts import NoticeKind
from csms.domain.ids import StationId
from csms.domain.notices import Notice
from csms.store.tables import NOTICE
from csms.store.values import instant

_N = NOTICE.c


def notices(
    conn: Connection, station: StationId, *, kind: NoticeKind | None = None, before: int | None = None, limit: int = 100
) -> list[Notice]:
    """The newest first, before an id."""
    query = select(NOTICE).where(_N.station == station).order_by(_N.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(_N.kind == kind.value)
    if before is not None:
        query = query.where(_N.id < before)
    return [
        Notice(
            id=row.id,
            station=row.station,
            kind=NoticeKind(row.kind),
            received_at=instant(row.received_at),
            message_id=row.message_id,
            content=orjson.loads(row.content),
        )
        for row in conn.execute(query)
    ]
