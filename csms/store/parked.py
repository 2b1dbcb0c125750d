"""Parked stops, tried again when their station has told of a start. V2G-55."""

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Row, select, update

from csms.domain.facts import IdToken, Origin, TransactionStopped
from csms.domain.ids import StationId, TransactionId
from csms.store.tables import ISSUED_ID, PARKED_STOP, TRANSACTION
from csms.store.transactions import close
from csms.store.values import READINGS, instant

_T = TRANSACTION.c
_P = PARKED_STOP.c

MOST = 50
"""Of a station with more open transactions, or more parked stops, the oldest are left to people: no pair is plausible
among so many, and the writer's time is everybody's."""


def reconcile_stops(conn: Connection, station: StationId) -> tuple[TransactionId, ...]:
    """Close open transactions of a station by stops that came before their starts; those closed.

    A parked stop fits a transaction when the start was received after it, and time, register and id token agree. Only a
    pair without a second candidate on either side is used. The work is bounded, whatever the station sent.
    """
    named = _closed_by_name(conn, station)
    is_open = (_P.station == station) & _P.closed.is_(None) & _P.transaction.not_in(_issued(station))
    parked = conn.execute(select(PARKED_STOP).where(is_open).order_by(_P.id.desc()).limit(MOST)).all()
    mine = (_T.station == station) & _T.ended_at.is_(None)
    running = conn.execute(select(TRANSACTION).where(mine).order_by(_T.id.desc()).limit(MOST)).all()
    stops_of = {row.id: [late for late in parked if _came_before_start(row, late)] for row in running}
    claims = Counter(late.id for found in stops_of.values() for late in found)
    lone = [(row, stops_of[row.id][0]) for row in running if [claims[late.id] for late in stops_of[row.id]] == [1]]
    for row, late in lone:
        close(conn, row, _stop_fact(late), provisional=True)
        conn.execute(update(PARKED_STOP).where(_P.id == late.id).values(closed=row.transaction))
    return tuple(TransactionId(row.transaction) for row in (*named, *(row for row, _ in lone)))


def _closed_by_name(conn: Connection, station: StationId) -> list[Row[Any]]:
    """Those whose stop named them, but came while their start was in quarantine."""
    is_open = (_P.station == station) & _P.closed.is_(None)
    pairs = select(TRANSACTION, _P.id.label("stop")).join(
        PARKED_STOP, (_P.station == _T.station) & (_P.transaction == _T.transaction)
    )
    found = conn.execute(pairs.where(is_open, _T.ended_at.is_(None)).limit(MOST)).all()
    for row in found:
        late = conn.execute(select(PARKED_STOP).where(_P.id == row.stop)).one()
        close(conn, row, _stop_fact(late), provisional=False)
        conn.execute(update(PARKED_STOP).where(_P.id == row.stop).values(closed=row.transaction))
    return list(found)


def _issued(station: StationId) -> Any:
    """Ids that were given for other starts."""
    return select(ISSUED_ID.c.transaction).where(ISSUED_ID.c.station == station)


def _came_before_start(row: Row[Any], late: Row[Any]) -> bool:
    key = IdToken(late.token).key if late.token else None
    return bool(
        row.received_at >= late.received_at
        and row.started_at is not None
        and row.started_at <= late.at
        and row.meter_start_wh is not None
        and row.meter_start_wh <= late.meter_stop_wh
        and key in (None, row.token)
    )


def _stop_fact(row: Row[Any]) -> TransactionStopped:
    received_at = instant(row.received_at)
    origin = Origin(station=row.station, message_id=row.message_id, received_at=received_at, offset_s=row.offset_s)
    return TransactionStopped(
        origin=origin,
        transaction=row.transaction,
        at=instant(row.at),
        stated=row.stated,
        meter_stop_wh=row.meter_stop_wh,
        reason=row.reason,
        readings=READINGS.validate_json(row.readings),
    )
