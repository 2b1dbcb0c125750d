"""Start and stop of 1.6 transactions, idempotent by natural key (design §3, field lessons 9-15, V2G-54, V2G-55).

**Stops that name no transaction of their station** ("-1", "0", another station's id; V2G-55) close the station's single
open transaction when time, register and id token agree, provisionally. Else they are parked, and confirmed: a
transaction whose start arrives afterwards is closed by ``reconcile_stops``. A stop that contradicts an earlier stop of
the same transaction is parked as well; the first one stands (lesson 12).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, text, update

from csms.domain.errors import Conflict
from csms.domain.facts import Origin, TransactionStarted, TransactionStopped
from csms.domain.ids import EvseRef, TransactionId
from csms.store.past import presume_others_ended
from csms.store.readings import reading_rows
from csms.store.sequence import reserve_transaction_ids
from csms.store.sql import insert_new, rows_into
from csms.store.tables import ISSUED_ID, METER_VALUE, PARKED_STOP, TRANSACTION
from csms.store.tables.intake import PRESUMED
from csms.store.values import READINGS, micros, to_json

_T = TRANSACTION.c
_P = PARKED_STOP.c
_M = METER_VALUE.c

MOST = 50
"""So many of a station's transactions are weighed against a stop, the newest."""


def start(conn: Connection, fact: TransactionStarted, transaction: int | None) -> int:
    """Store a 1.6 start; its transaction id, the same again for a repeated start (lesson 9)."""
    same = _same_starts(conn, fact)
    if same and not _is_another(conn, same[0], fact):
        return int(same[0].transaction)
    number = reserve_transaction_ids(conn, 1) if transaction is None else transaction
    if _completes(conn, fact, number, len(same)):
        return number
    if not insert_new(conn, TRANSACTION, _start_row(fact, number, len(same))):
        number = reserve_transaction_ids(conn, 1)  # another server gave that id to a transaction we adopted
        if not insert_new(conn, TRANSACTION, _start_row(fact, number, len(same))):
            raise Conflict(f"transaction id {number} of {fact.evse.station} is taken by another transaction")
    presume_others_ended(conn, fact.evse.station, fact.evse.evse, str(number), 0, micros(fact.at))
    return number


def _same_starts(conn: Connection, fact: TransactionStarted) -> Sequence[Row[Any]]:
    """Those with its natural key, the newest first."""
    same = (
        (_T.station == fact.evse.station)
        & (_T.evse == fact.evse.evse)
        & (_T.token == fact.token.key)
        & (_T.start_stated == stated(fact))
        & (_T.meter_start_wh == fact.meter_start_wh)
    )
    return conn.execute(select(TRANSACTION).where(same).order_by(_T.start_number.desc())).all()


def _completes(conn: Connection, fact: TransactionStarted, number: int, start_number: int) -> bool:
    """The start that nobody could read, of a transaction that was adopted since under the id it was answered with."""
    if not _was_issued_to(conn, fact.evse.station, str(number)):
        return False
    row = _start_row(fact, number, start_number)
    mine = (_T.station == row["station"]) & (_T.transaction == row["transaction"]) & (_T.evse == row["evse"])
    said = {name: row[name] for name in _OF_THE_START}
    return conn.execute(update(TRANSACTION).where(mine, _T.started_at.is_(None)).values(said)).rowcount == 1


_OF_THE_START = (
    *("token", "started_at", "start_stated", "start_number", "start_offset_s", "meter_start_wh"),
    *("start_message_id", "received_at"),
)


def _was_issued_to(conn: Connection, station: str, transaction: str) -> bool:
    here = (ISSUED_ID.c.station == station) & (ISSUED_ID.c.transaction == transaction)
    return conn.execute(select(ISSUED_ID.c.transaction).where(here)).first() is not None


NEVER_SET = timedelta(days=366)
"""A clock that is further off was never set, and counts from the same instant after each boot."""


def _is_another(conn: Connection, known: Row[Any], fact: TransactionStarted) -> bool:
    """Whether a start with the natural key of a known one is the next one all the same.

    A station repeats a start until it is answered, and names its id only then: one whose id it has named is repeated no
    more. A start that comes back all the same, by a clock that went on since, is a queue that was sent twice; so it
    takes a clock whose stamps tell nothing, as it stood still meanwhile or was never set. A stop that was matched
    without its id, an end that was presumed, and a status prove nothing: the answer may be lost (lessons 11 to 14).
    """
    said_at = fact.device_at or fact.at
    is_unset = abs(fact.origin.received_at - said_at) > NEVER_SET
    if known.stop_stated is not None and not known.provisional:
        return is_unset or bool(known.stop_stated == known.start_stated)
    here = (_M.station == known.station) & (_M.evse == known.evse) & (_M.transaction == known.transaction)
    then = _M.at >= known.started_at if is_unset else _M.device_at == micros(said_at)
    named = select(_M.id).where(here, then, _M.received_at > known.received_at).limit(1)
    return conn.execute(named).first() is not None


def stated(fact: TransactionStarted | TransactionStopped) -> str:
    """The station's own time as a natural key: its own words, which no clock and no correction of ours changes."""
    return fact.stated or (fact.device_at or fact.at).isoformat()


def _start_row(fact: TransactionStarted, transaction: int, start_number: int) -> dict[str, Any]:
    return {
        "station": fact.evse.station,
        "transaction": str(transaction),
        "evse": fact.evse.evse,
        "connector": 1,
        "token": fact.token.key,
        "started_at": micros(fact.at),
        "start_stated": stated(fact),
        "start_number": start_number,
        "start_offset_s": fact.origin.offset_s,
        "start_message_id": fact.origin.message_id,
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


def issue(conn: Connection, origin: Origin, transaction: int | None, why: str) -> int:
    """Keep an id that a station is given for a start that nobody could read or store; it names no transaction yet.

    None: one is reserved on the spot."""
    if transaction is None:
        transaction = reserve_transaction_ids(conn, 1)
    row = {"station": origin.station, "transaction": str(transaction), "message_id": origin.message_id, "why": why}
    insert_new(conn, ISSUED_ID, row | {"at": micros(origin.received_at)})
    return transaction


def stop(conn: Connection, fact: TransactionStopped) -> TransactionId | None:
    """Store a 1.6 stop; the transaction it closed (again the same for a repeated stop), or None when it is parked.

    An id that was given out closes the transaction that it was given to, or none: never another (B5).
    """
    row = _transaction_row(conn, fact.origin.station, fact.transaction)
    if row is not None:
        return _stop_known(conn, row, fact)
    parked = _parked_before(conn, fact)
    if parked is not None and parked.closed is not None:
        return TransactionId(parked.closed)
    if _was_issued(conn, fact.transaction):
        park(conn, fact, why="its start could not be read, or is another station's", closed=None)
        return None
    match = _single_plausible(conn, fact)
    if match is None:
        park(conn, fact, why="names no transaction of this station", closed=None)
        return None
    close(conn, match, fact, provisional=True)
    park(conn, fact, why="named another id", closed=match.transaction)
    return TransactionId(match.transaction)


def _was_issued(conn: Connection, transaction: TransactionId) -> bool:
    """Whether any station was given this id."""
    to_bad = select(ISSUED_ID.c.transaction).where(ISSUED_ID.c.transaction == transaction).limit(1)
    to_good = select(_T.id).where(_T.transaction == transaction, _T.first_seq_no.is_(None)).limit(1)
    return conn.execute(to_bad).first() is not None or conn.execute(to_good).first() is not None


def _transaction_row(conn: Connection, station: str, transaction: str) -> Row[Any] | None:
    here = (_T.station == station) & (_T.transaction == transaction)
    return conn.execute(select(TRANSACTION).where(here).order_by(_T.generation.desc()).limit(1)).one_or_none()


def _stop_known(conn: Connection, row: Row[Any], fact: TransactionStopped) -> TransactionId:
    if row.ended_at is None or row.provisional:
        close(conn, row, fact, provisional=False)
    elif (row.stop_stated, row.meter_stop_wh) != (stated(fact), fact.meter_stop_wh):
        park(conn, fact, why="contradicts an earlier stop", closed=row.transaction)
    return TransactionId(row.transaction)


def close(conn: Connection, row: Row[Any], fact: TransactionStopped, *, provisional: bool) -> None:
    """End a transaction by a stop, with the readings in it. Its registers count too: see ``reads.metered`` (F3)."""
    ending = {
        "ended_at": max(micros(fact.at), row.started_at or 0),  # a clock may be set back (lesson 16)
        "stop_stated": stated(fact),
        "stop_offset_s": fact.origin.offset_s,
        "stop_message_id": fact.origin.message_id,
        "stop_received_at": micros(fact.origin.received_at),
        "meter_stop_wh": fact.meter_stop_wh,
        "stopped_reason": fact.reason,
        "provisional": provisional,
    }
    conn.execute(update(TRANSACTION).where(_T.id == row.id).values(ending))
    transaction = TransactionId(row.transaction)
    rows_into(conn, METER_VALUE, reading_rows(fact.origin, row.evse, transaction, fact.readings))


def _parked_before(conn: Connection, fact: TransactionStopped) -> Row[Any] | None:
    same = (
        (_P.station == fact.origin.station)
        & (_P.transaction == fact.transaction)
        & (_P.stated == stated(fact))
        & (_P.meter_stop_wh == fact.meter_stop_wh)
    )
    return conn.execute(select(PARKED_STOP).where(same)).one_or_none()


def _single_plausible(conn: Connection, fact: TransactionStopped) -> Row[Any] | None:
    """The station's only open transaction, where the stop fits it; else the only one that was presumed over."""
    here = _T.station == fact.origin.station
    key = fact.token.key if fact.token else None

    def fitting(rows: Sequence[Row[Any]]) -> list[Row[Any]]:
        return [row for row in rows if _fits(row, micros(fact.at), fact.meter_stop_wh, key)]

    running = conn.execute(_newest(here, _T.ended_at.is_(None))).all()
    if found := fitting(running):
        return found[0] if len(running) == 1 else None
    presumed = fitting(conn.execute(_newest(here, text(PRESUMED))).all())
    return presumed[0] if len(presumed) == 1 else None


def _newest(*conditions: Any) -> Any:
    """Bounded, whatever the station sent: the writer's time is everybody's (C10)."""
    return select(TRANSACTION).where(*conditions).order_by(_T.id.desc()).limit(MOST)


def _fits(row: Row[Any], at: int, meter_stop_wh: int, token: str | None) -> bool:
    return (
        row.started_at is not None
        and row.started_at <= at
        and row.meter_start_wh is not None
        and row.meter_start_wh <= meter_stop_wh
        and token in (None, row.token)
    )


def park(conn: Connection, fact: TransactionStopped, *, why: str, closed: str | None) -> None:
    """Keep a stop that closed nothing by its own id."""
    row = {
        "station": fact.origin.station,
        "transaction": fact.transaction,
        "at": micros(fact.at),
        "stated": stated(fact),
        "offset_s": fact.origin.offset_s,
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
