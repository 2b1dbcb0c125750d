"""2.x TransactionEvents: stored once by (station, transaction, seqNo), merged into their transaction (V2G-56)."""

from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, case, func, select, update

from csms.domain.facts import TransactionPhase, TransactionReported
from csms.domain.ids import EvseRef, TransactionId
from csms.store.readings import UNKNOWN_EVSE, reading_rows
from csms.store.sql import insert, insert_new, rows_into
from csms.store.tables import METER_VALUE, QUARANTINE, TRANSACTION, TRANSACTION_EVENT
from csms.store.values import READINGS, micros, plain_json, text_digest, to_json

_T = TRANSACTION.c


def report(conn: Connection, fact: TransactionReported) -> bool:
    """Store a 2.x event; whether it is new. Events may come in any order: the transaction is the union of them."""
    row = _event_row(fact)
    if not insert_new(conn, TRANSACTION_EVENT, row):
        _keep_contradiction(conn, fact, row)
        return False
    evse = _merge(conn, fact)
    rows_into(conn, METER_VALUE, reading_rows(fact.origin, evse, fact.transaction, fact.readings))
    return True


def _event_row(fact: TransactionReported) -> dict[str, Any]:
    return {
        "station": fact.origin.station,
        "transaction": fact.transaction,
        "seq_no": fact.seq_no,
        "phase": fact.phase.value,
        "trigger": fact.trigger,
        "at": micros(fact.at),
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


def _keep_contradiction(conn: Connection, fact: TransactionReported, row: dict[str, Any]) -> None:
    """A station that numbers two different events alike: the second is kept in quarantine, never lost."""
    e = TRANSACTION_EVENT.c
    same = (e.station == row["station"]) & (e.transaction == row["transaction"]) & (e.seq_no == row["seq_no"])
    stored = conn.execute(select(e.phase, e.at).where(same)).one()
    if (stored.phase, stored.at) == (row["phase"], row["at"]):
        return
    raw = plain_json({**row, "readings": to_json(READINGS, fact.readings), "message_id": "", "received_at": 0})
    quarantined = {
        "station": row["station"],
        "message_id": row["message_id"],
        "received_at": row["received_at"],
        "action": "TransactionEvent",
        "raw": raw,
        "why": "seqNo used twice",
        "evse": row["evse"],
        "fields": "{}",
        "digest": text_digest(raw),
    }
    insert_new(conn, QUARANTINE, quarantined)


def _merge(conn: Connection, fact: TransactionReported) -> int:
    """Union of the transaction and one event of it; the EVSE, as far as known."""
    stored = conn.execute(_merging(conn.dialect.name), _transaction_part(fact)).one()
    if stored.evse is None:
        return UNKNOWN_EVSE
    if fact.evse is not None and stored.events > 1:
        _place_readings(conn, fact.evse, fact.transaction)
    return int(stored.evse)


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
    made: Executable = event.on_conflict_do_update(index_elements=["station", "transaction"], set_=merged).returning(
        _T.evse, _T.events
    )
    return made


_SET_ONCE = ("evse", "connector", "started_at", "remote_start_id")


def _transaction_part(fact: TransactionReported) -> dict[str, Any]:
    return {
        "station": fact.origin.station,
        "transaction": fact.transaction,
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
