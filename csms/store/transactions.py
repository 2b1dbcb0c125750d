"""Start and stop of 1.6 transactions, idempotent by natural key (design §3, field lessons 9-15, V2G-54, V2G-55).

**Stops that name no transaction of their station** ("-1", "0", another station's id; V2G-55) close the station's single
open transaction when time, register and id token agree, provisionally. Else they are parked, and confirmed: a
transaction whose start arrives afterwards is closed by ``reconcile_stops``. A stop that contradicts an earlier stop of
the same transaction is parked as well; the first one stands (lesson 12).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from csms.domain.errors import Conflict
from csms.domain.facts import IdToken, Origin, TransactionStarted, TransactionStopped
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.store.readings import reading_rows
from csms.store.sequence import reserve_transaction_ids
from csms.store.sql import insert_new, rows_into
from csms.store.tables import METER_VALUE, PARKED_STOP, TRANSACTION
from csms.store.values import READINGS, instant, micros, to_json

_T = TRANSACTION.c
_P = PARKED_STOP.c


def start(conn: Connection, fact: TransactionStarted, transaction: int | None) -> int:
    """Store a 1.6 start; its transaction id, the same again for a repeated start (lesson 9)."""
    known = _same_start(conn, fact)
    if known is not None:
        return known
    number = reserve_transaction_ids(conn, 1) if transaction is None else transaction
    if insert_new(conn, TRANSACTION, _start_row(fact, number)):
        return number
    number = reserve_transaction_ids(conn, 1)  # another server gave that id to a transaction we adopted
    if insert_new(conn, TRANSACTION, _start_row(fact, number)):
        return number
    raise Conflict(f"transaction id {number} of {fact.evse.station} is taken by another transaction")


def _same_start(conn: Connection, fact: TransactionStarted) -> int | None:
    same = (
        (_T.station == fact.evse.station)
        & (_T.evse == fact.evse.evse)
        & (_T.token == fact.token.key)
        & (_T.started_at == micros(fact.at))
        & (_T.meter_start_wh == fact.meter_start_wh)
    )
    known = conn.execute(select(_T.transaction).where(same)).scalar()
    return None if known is None else int(known)


def _start_row(fact: TransactionStarted, transaction: int) -> dict[str, Any]:
    return {
        "station": fact.evse.station,
        "transaction": str(transaction),
        "evse": fact.evse.evse,
        "connector": 1,
        "token": fact.token.key,
        "started_at": micros(fact.at),
        "meter_start_wh": fact.meter_start_wh,
        "received_at": micros(fact.origin.received_at),
    }


def adopt(conn: Connection, evse: EvseRef, transaction: TransactionId, at: datetime) -> bool:
    """A 1.6 transaction that runs although nobody told us of its start (lesson 25): kept as an incomplete record.

    Whether it runs: False when it is known to have ended, or as another EVSE's.
    """
    row = {"station": evse.station, "transaction": transaction, "evse": evse.evse, "connector": 1}
    insert_new(conn, TRANSACTION, row | {"received_at": micros(at)})
    known = _transaction_row(conn, evse.station, transaction)
    return known is not None and known.ended_at is None and known.evse == evse.evse


def stop(conn: Connection, fact: TransactionStopped) -> TransactionId | None:
    """Store a 1.6 stop; the transaction it closed (again the same for a repeated stop), or None when it is parked."""
    row = _transaction_row(conn, fact.origin.station, fact.transaction)
    if row is not None:
        return _stop_known(conn, row, fact)
    parked = _parked_before(conn, fact)
    if parked is not None and parked.closed is not None:
        return TransactionId(parked.closed)
    match = _single_plausible(conn, fact)
    if match is None:
        _park(conn, fact, why="names no transaction of this station", closed=None)
        return None
    _close(conn, match, fact, provisional=True)
    _park(conn, fact, why="named another id", closed=match.transaction)
    return TransactionId(match.transaction)


def _transaction_row(conn: Connection, station: str, transaction: str) -> Row[Any] | None:
    return conn.execute(select(TRANSACTION).where(_T.station == station, _T.transaction == transaction)).one_or_none()


def _stop_known(conn: Connection, row: Row[Any], fact: TransactionStopped) -> TransactionId:
    if row.ended_at is None or row.provisional:
        _close(conn, row, fact, provisional=False)
    elif (row.ended_at, row.meter_stop_wh) != (micros(fact.at), fact.meter_stop_wh):
        _park(conn, fact, why="contradicts an earlier stop", closed=row.transaction)
    return TransactionId(row.transaction)


def _close(conn: Connection, row: Row[Any], fact: TransactionStopped, *, provisional: bool) -> None:
    conn.execute(
        update(TRANSACTION)
        .where(_T.id == row.id)
        .values(
            ended_at=micros(fact.at),
            meter_stop_wh=fact.meter_stop_wh,
            stopped_reason=fact.reason,
            provisional=provisional,
        )
    )
    transaction = TransactionId(row.transaction)
    rows_into(conn, METER_VALUE, reading_rows(fact.origin, row.evse, transaction, fact.readings))


def presume_ended(conn: Connection, station: StationId, transaction: TransactionId, at: datetime) -> bool:
    """End a transaction whose end nobody reported, on evidence such as a new start at its EVSE (field lesson 13).

    Provisional: the real stop or Ended replaces it when it comes. False when it has ended already or is unknown.
    """
    running = update(TRANSACTION).where(_T.station == station, _T.transaction == transaction, _T.ended_at.is_(None))
    return conn.execute(running.values(ended_at=micros(at), provisional=True)).rowcount == 1


def _parked_before(conn: Connection, fact: TransactionStopped) -> Row[Any] | None:
    same = (
        (_P.station == fact.origin.station)
        & (_P.transaction == fact.transaction)
        & (_P.at == micros(fact.at))
        & (_P.meter_stop_wh == fact.meter_stop_wh)
    )
    return conn.execute(select(PARKED_STOP).where(same)).one_or_none()


def _single_plausible(conn: Connection, fact: TransactionStopped) -> Row[Any] | None:
    open_here = conn.execute(select(TRANSACTION).where(_T.station == fact.origin.station, _T.ended_at.is_(None))).all()
    key = fact.token.key if fact.token else None
    if len(open_here) == 1 and _fits(open_here[0], micros(fact.at), fact.meter_stop_wh, key):
        return open_here[0]
    return None


def _fits(row: Row[Any], at: int, meter_stop_wh: int, token: str | None) -> bool:
    return (
        row.started_at is not None
        and row.started_at <= at
        and row.meter_start_wh is not None
        and row.meter_start_wh <= meter_stop_wh
        and token in (None, row.token)
    )


def _park(conn: Connection, fact: TransactionStopped, *, why: str, closed: str | None) -> None:
    row = {
        "station": fact.origin.station,
        "transaction": fact.transaction,
        "at": micros(fact.at),
        "meter_stop_wh": fact.meter_stop_wh,
        "token": fact.token.value if fact.token else None,
        "reason": fact.reason,
        "readings": to_json(READINGS, fact.readings),
        "received_at": micros(fact.origin.received_at),
        "message_id": fact.origin.message_id,
        "why": why,
        "closed": closed,
    }
    insert_new(conn, PARKED_STOP, row)


def reconcile_stops(conn: Connection, station: StationId) -> tuple[TransactionId, ...]:
    """Close open transactions of a station by stops that came before their starts; those closed.

    A parked stop fits a transaction when the start was received after it, and time, register and id token agree. Only a
    pair without a second candidate on either side is used.
    """
    parked = conn.execute(select(PARKED_STOP).where(_P.station == station, _P.closed.is_(None))).all()
    running = conn.execute(select(TRANSACTION).where(_T.station == station, _T.ended_at.is_(None))).all()
    pairs = [(row, late) for row in running for late in parked if _came_before_start(row, late)]
    lone = [
        (row, late)
        for row, late in pairs
        if sum(r is row for r, _ in pairs) == 1 and sum(p is late for _, p in pairs) == 1
    ]
    for row, late in lone:
        _close(conn, row, _stop_fact(late), provisional=True)
        conn.execute(update(PARKED_STOP).where(_P.id == late.id).values(closed=row.transaction))
    return tuple(TransactionId(row.transaction) for row, _ in lone)


def _came_before_start(row: Row[Any], late: Row[Any]) -> bool:
    key = IdToken(late.token).key if late.token else None
    return bool(row.received_at >= late.received_at) and _fits(row, late.at, late.meter_stop_wh, key)


def _stop_fact(row: Row[Any]) -> TransactionStopped:
    received_at = instant(row.received_at)
    return TransactionStopped(
        origin=Origin(station=row.station, message_id=row.message_id, received_at=received_at),
        transaction=row.transaction,
        at=instant(row.at),
        meter_stop_wh=row.meter_stop_wh,
        reason=row.reason,
        readings=READINGS.validate_json(row.readings),
    )
