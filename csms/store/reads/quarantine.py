"""What could not be understood, raw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from csms.domain.ids import StationId
from csms.domain.quarantine import Quarantined, Replay
from csms.store.tables import QUARANTINE, REPLAY
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
    rows = conn.execute(query).all()
    replays = _replays(conn, [row.id for row in rows])
    return [_quarantined_of(row, replays[row.id]) for row in rows]


def one_quarantined(conn: Connection, id: int) -> Quarantined | None:  # noqa: A002
    """One of them, or None."""
    row = conn.execute(select(QUARANTINE).where(_Q.id == id)).one_or_none()
    return None if row is None else _quarantined_of(row, _replays(conn, [row.id])[row.id])


def _replays(conn: Connection, ids: Sequence[int]) -> Mapping[int, list[Replay]]:
    found: dict[int, list[Replay]] = {id_: [] for id_ in ids}
    for row in conn.execute(select(REPLAY).where(REPLAY.c.quarantine.in_(ids)).order_by(REPLAY.c.id)):
        replay = Replay(at=instant(row.at), by=row.by, taken_as=row.taken_as, raw=row.raw)
        found[row.quarantine].append(replay)
    return found


def _quarantined_of(row: Row[Any], replays: Iterable[Replay]) -> Quarantined:
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
        replays=tuple(replays),
    )
