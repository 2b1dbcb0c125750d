"""Parked stops, tried again when their station has told of a start. V2G-55."""

from collections import Counter
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, exists, select, update

from csms.domain.facts import IdToken, Origin, TransactionStopped
from csms.domain.ids import StationId, TransactionId
from csms.store.tables import ISSUED_ID, PARKED_STOP, TRANSACTION
from csms.store.transactions import close
from csms.store.values import READINGS, instant

_T = TRANSACTION.c
_P = PARKED_STOP.c

MOST = 20
"""Of a station with more open transactions, or more parked stops, the oldest are left to people: no pair is plausible
among so many, and the writer's time is everybody's."""


def reconcile_stops(conn: Connection, station: StationId, started: TransactionId) -> tuple[TransactionId, ...]:
    """Close open transactions of a station by stops that came before their starts; those closed.

    A parked stop that names the transaction that has just ``started`` is its stop. Else one fits a transaction when
    the start was received after it, and time, register and id token agree; only a pair without a second candidate on
    either side is used. The work is bounded, whatever the station sent.
    """
    named = _closed_by_name(conn, station, started)
    parked = conn.execute(_PARKED, {"at_station": station}).all()
    running = conn.execute(_RUNNING, {"at_station": station}).all() if parked else []
    keys = {late.id: IdToken(late.token).key if late.token else None for late in parked}
    stops_of = {row.id: [late for late in parked if _came_before_start(row, late, keys[late.id])] for row in running}
    claims = Counter(late.id for found in stops_of.values() for late in found)
    lone = [(row, stops_of[row.id][0]) for row in running if [claims[late.id] for late in stops_of[row.id]] == [1]]
    for row, late in lone:
        _close(conn, row, late, provisional=True)
    return tuple(TransactionId(row.transaction) for row in (*named, *(row for row, _ in lone)))


_IS_ISSUED = exists().where(ISSUED_ID.c.station == _P.station, ISSUED_ID.c.transaction == _P.transaction)
"""The id that a stop names was given for another start."""
_HERE: BindParameter[str] = bindparam("at_station")
_PARKED = (
    select(PARKED_STOP).where(_P.station == _HERE, _P.closed.is_(None), ~_IS_ISSUED).order_by(_P.id.desc()).limit(MOST)
)
_RUNNING = select(TRANSACTION).where(_T.station == _HERE, _T.ended_at.is_(None)).order_by(_T.id.desc()).limit(MOST)


def _closed_by_name(conn: Connection, station: StationId, started: TransactionId) -> list[Row[Any]]:
    """The one whose stop named it, but came while its start was in quarantine."""
    named = (_P.station == station) & (_P.transaction == started) & _P.closed.is_(None)
    late = conn.execute(select(PARKED_STOP).where(named).order_by(_P.id).limit(1)).one_or_none()
    mine = (_T.station == station) & (_T.transaction == started) & _T.ended_at.is_(None)
    row = conn.execute(select(TRANSACTION).where(mine)).one_or_none() if late else None
    if row is None or late is None:
        return []
    _close(conn, row, late, provisional=False)
    return [row]


def _close(conn: Connection, row: Row[Any], late: Row[Any], *, provisional: bool) -> None:
    close(conn, row, _stop_fact(late), provisional=provisional)
    conn.execute(update(PARKED_STOP).where(_P.id == late.id).values(closed=row.transaction))


def _came_before_start(row: Row[Any], late: Row[Any], key: str | None) -> bool:
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
