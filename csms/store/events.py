"""2.x TransactionEvents: stored once by (station, transaction, seqNo, own time), merged into transactions (V2G-56)."""

from enum import IntEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, case, func, select, update

from csms.domain.facts import TransactionPhase, TransactionReported
from csms.domain.ids import EvseRef, TransactionId
from csms.store.past import presume_others_ended
from csms.store.readings import UNKNOWN_EVSE, reading_rows
from csms.store.sql import insert, insert_new, rows_into
from csms.store.tables import METER_VALUE, TRANSACTION, TRANSACTION_EVENT
from csms.store.values import micros

_T = TRANSACTION.c


class Taken(IntEnum):
    """What an event adds. ``OVER``: it is new, but came after the end of its transaction; nothing runs by it."""

    KNOWN = 0
    NEW = 1
    OVER = 2


def report(conn: Connection, fact: TransactionReported) -> Taken:
    """Store a 2.x event; whether it is new, and whether its transaction is over.

    Events may come in any order: the transaction is the union of them.

    After a reset a station may give an id, or its numbers, anew: what has the number of an event that is stored but
    another phase or own time is another event. A start at another time than the one that is known begins the id's next
    generation; the one before is over then, whoever failed to say so (field lesson 13).
    """
    row = _event_row(fact)
    stored = conn.execute(_same_number(row)).all()
    if any((one.phase, one.device_at) == (row["phase"], row["device_at"]) for one in stored):
        return Taken.KNOWN
    row["generation"] = generation = _generation_of(conn, fact)
    row["numbering"] = sum(one.generation == generation for one in stored)
    insert_new(conn, TRANSACTION_EVENT, row)
    evse, is_over = _merge(conn, fact, generation)
    rows_into(conn, METER_VALUE, reading_rows(fact.origin, evse, fact.transaction, fact.readings))
    if fact.phase is TransactionPhase.STARTED:
        presume_others_ended(conn, fact.origin.station, evse, fact.transaction, generation, micros(fact.at))
    return Taken.OVER if is_over and fact.phase is not TransactionPhase.ENDED else Taken.NEW


def _same_number(row: dict[str, Any]) -> Executable:
    e = TRANSACTION_EVENT.c
    same = (e.station == row["station"]) & (e.transaction == row["transaction"]) & (e.seq_no == row["seq_no"])
    return select(e.generation, e.phase, e.device_at).where(same)


def _generation_of(conn: Connection, fact: TransactionReported) -> int:
    """The generation of its id that an event belongs to: the newest, or the next when it cannot be that one's."""
    here = (_T.station == fact.origin.station) & (_T.transaction == fact.transaction)
    newest = conn.execute(select(TRANSACTION).where(here).order_by(_T.generation.desc()).limit(1)).one_or_none()
    if newest is None:
        return 0
    at = micros(fact.at)
    begins = fact.phase is TransactionPhase.STARTED and newest.started_at is not None and newest.started_at < at
    is_clash = newest.ended_at is not None and newest.ended_at < at and not newest.provisional
    goes_on = is_clash and fact.seq_no <= newest.last_seq_no
    return int(newest.generation) + (begins or goes_on)


def _event_row(fact: TransactionReported) -> dict[str, Any]:
    return {
        "station": fact.origin.station,
        "transaction": fact.transaction,
        "seq_no": fact.seq_no,
        "phase": fact.phase.value,
        "trigger": fact.trigger,
        "at": micros(fact.at),
        "device_at": micros(fact.device_at or fact.at),
        "offset_s": fact.origin.offset_s,
        "received_at": micros(fact.origin.received_at),
        "message_id": fact.origin.message_id,
        "evse": fact.evse.evse if fact.evse else None,
        "connector": fact.connector,
        "token": fact.token.key if fact.token else None,
        "charging_state": fact.charging_state,
        "offline": fact.offline,
        "stopped_reason": fact.stopped_reason,
        "operation_mode": fact.operation_mode,
    }


def _merge(conn: Connection, fact: TransactionReported, generation: int) -> tuple[int, bool]:
    """Union of the transaction and one event of it; the EVSE, as far as known, and whether its own end is."""
    stored = conn.execute(_merging(conn.dialect.name), _transaction_part(fact, generation)).one()
    is_over = stored.ended_at is not None and not stored.provisional
    if stored.evse is None:
        return UNKNOWN_EVSE, is_over
    if fact.evse is not None and stored.events > 1:
        _place_readings(conn, fact.evse, fact.transaction)
    return int(stored.evse), is_over


@cache
def _merging(dialect: str) -> Executable:
    """Events come in any order: what is known stays, what is new is added; the start's id token counts."""
    event = insert(TRANSACTION, dialect)
    new = event.excluded
    known = {name: func.coalesce(_T[name], new[name]) for name in _SET_ONCE}
    token = case(
        (new.started_at.is_not(None), func.coalesce(new.token, _T.token)), else_=func.coalesce(_T.token, new.token)
    )
    merged = known | {
        "token": token,
        "ended_at": case(
            (_T.provisional, func.coalesce(new.ended_at, _T.ended_at)), else_=func.coalesce(_T.ended_at, new.ended_at)
        ),
        "provisional": _T.provisional & new.ended_at.is_(None),
        "stopped_reason": case((new.stopped_reason != "", new.stopped_reason), else_=_T.stopped_reason),
        "first_seq_no": case((new.first_seq_no < _T.first_seq_no, new.first_seq_no), else_=_T.first_seq_no),
        "last_seq_no": case((new.last_seq_no > _T.last_seq_no, new.last_seq_no), else_=_T.last_seq_no),
        "events": _T.events + 1,
    }
    made: Executable = event.on_conflict_do_update(
        index_elements=["station", "transaction", "generation"], set_=merged
    ).returning(_T.evse, _T.events, _T.ended_at, _T.provisional)
    return made


_SET_ONCE = ("evse", "connector", "started_at", "remote_start_id")


def _transaction_part(fact: TransactionReported, generation: int) -> dict[str, Any]:
    return {
        "station": fact.origin.station,
        "transaction": fact.transaction,
        "generation": generation,
        "evse": fact.evse.evse if fact.evse else None,
        "connector": fact.connector,
        "token": fact.token.key if fact.token else None,
        "started_at": micros(fact.at) if fact.phase is TransactionPhase.STARTED else None,
        "ended_at": micros(fact.at) if fact.phase is TransactionPhase.ENDED else None,
        "stopped_reason": fact.stopped_reason,
        "remote_start_id": fact.remote_start_id,
        "first_seq_no": fact.seq_no,
        "last_seq_no": fact.seq_no,
        "events": 1,
        "received_at": micros(fact.origin.received_at),
    }


def _place_readings(conn: Connection, evse: EvseRef, transaction: TransactionId) -> None:
    place = {"at_station": evse.station, "of_transaction": transaction, "known_evse": evse.evse}
    conn.execute(_PLACE, place)


_M = METER_VALUE.c
_PLACE = (
    update(METER_VALUE)
    .where(_M.station == bindparam("at_station"), _M.evse == UNKNOWN_EVSE)
    .where(_M.transaction == bindparam("of_transaction"))
    .values(evse=bindparam("known_evse"))
)
