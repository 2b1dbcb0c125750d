"""Transactions and meter values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from csms.domain.dispatch import TransactionRecord
from csms.domain.facts import Origin, Reading, Unintelligible
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.metering import StoredReading
from csms.store.readings import stored_reading
from csms.store.reads.open import is_in_time
from csms.store.tables import ISSUED_ID, METER_VALUE, QUARANTINE, TRANSACTION
from csms.store.values import instant, micros

_T = TRANSACTION.c
_M = METER_VALUE.c


def open_transactions(conn: Connection) -> list[TransactionRecord]:
    """Those that run, in the order they came."""
    return [
        transaction_of(row) for row in conn.execute(select(TRANSACTION).where(_T.ended_at.is_(None)).order_by(_T.id))
    ]


def transaction(conn: Connection, station: StationId, id: TransactionId) -> TransactionRecord | None:  # noqa: A002
    """One transaction, or None; the newest that a station gave this id."""
    here = (_T.station == station) & (_T.transaction == id)
    newest = select(TRANSACTION).where(here).order_by(_T.generation.desc()).limit(1)
    row = conn.execute(newest).one_or_none()
    return None if row is None else _with_registers(conn, row)


def transactions(
    conn: Connection,
    *,
    station: StationId | None = None,
    id_token: str | None = None,
    active: bool | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 100,
) -> list[TransactionRecord]:
    """A page of transactions in the order they came. ``after``: (station, transaction) of the last one seen."""
    query = select(TRANSACTION).order_by(_T.id).limit(limit)
    if station is not None:
        query = query.where(_T.station == station)
    if id_token is not None:
        query = query.where(_T.token == id_token.strip().upper())
    if active is not None:
        query = query.where(_T.ended_at.is_(None) if active else _T.ended_at.is_not(None))
    if after is not None:
        last = select(func.max(_T.id)).where(_T.station == after[0], _T.transaction == after[1]).scalar_subquery()
        query = query.where(_T.id > last)
    return [_with_registers(conn, row) for row in conn.execute(query).all()]


def _with_registers(conn: Connection, row: Row[Any]) -> TransactionRecord:
    """The record; 2.x has no meter start and stop but registers in its events: the first and the last of them."""
    record = transaction_of(row)
    if row.first_seq_no is None or row.evse is None:
        return record
    return replace(
        record,
        meter_start_wh=_register(conn, row, row.started_at, _M.at >= (row.started_at or 0) - _DAY, _M.at),
        meter_stop_wh=_register(conn, row, row.ended_at, _M.at <= (row.ended_at or 0) + _DAY, _M.at.desc()),
    )


_DAY = 86_400_000_000
"""In microseconds: so far may a station's clock be off, as readings are stored at our time. It bounds the search."""


def _register(
    conn: Connection, row: Row[Any], known_at: int | None, side: ColumnElement[bool], order: ColumnElement[Any]
) -> int | None:
    if known_at is None:
        return None
    of_it = (_M.station == row.station) & (_M.evse == row.evse) & (_M.transaction == row.transaction)
    metered = select(_M.import_wh).where(of_it, side, _M.import_wh.is_not(None)).order_by(order).limit(1)
    value = conn.execute(metered).scalar()
    return None if value is None else round(value)


def transaction_of(row: Row[Any]) -> TransactionRecord:
    """``incomplete``: closed on evidence only, or a 2.x start or sequence number is missing (V2G-56)."""
    return TransactionRecord(
        station=row.station,
        id=row.transaction,
        evse=None if row.evse is None else EvseRef(row.station, row.evse),
        token=row.token,
        started_at=instant(row.started_at),
        ended_at=instant(row.ended_at),
        meter_start_wh=row.meter_start_wh,
        meter_stop_wh=row.meter_stop_wh,
        stopped_reason=row.stopped_reason,
        incomplete=row.provisional or row.started_at is None or _has_gap(row),
    )


def _has_gap(row: Row[Any]) -> bool:
    return row.first_seq_no is not None and row.events < row.last_seq_no - row.first_seq_no + 1


def quarantined_message(conn: Connection, id: int) -> Unintelligible | None:  # noqa: A002
    """A message in quarantine as it came; None when there is none, or it is no message of a station."""
    row = conn.execute(select(QUARANTINE).where(QUARANTINE.c.id == id)).one_or_none()
    if row is None or row.received_at is None:
        return None
    origin = Origin(station=row.station, message_id=row.message_id, received_at=instant(row.received_at))
    evse = None if row.evse is None else EvseRef(row.station, row.evse)
    return Unintelligible(origin=origin, action=row.action, raw=row.raw, why=row.why, evse=evse)


def issued_id(conn: Connection, start: Origin) -> int | None:
    """The transaction id that a start which nobody could read was answered with, the last time where it was repeated.
    Many stations count their messages from 1 again after each boot: the next one of that name is another."""
    c, q, came_at = ISSUED_ID.c, QUARANTINE.c, micros(start.received_at)
    named = (q.station == start.station) & (q.message_id == start.message_id) & (q.received_at > came_at)
    next_at = conn.execute(select(func.min(q.received_at)).where(named)).scalar()
    here = (c.station == start.station) & (c.message_id == start.message_id) & (c.at >= came_at)
    query = select(c.transaction).where(here).order_by(c.at.desc()).limit(1)
    found = conn.execute(query if next_at is None else query.where(c.at < next_at)).scalar()
    return None if found is None else int(found)


def readings(conn: Connection, evse: EvseRef, start: datetime, end: datetime) -> list[StoredReading]:
    """Readings of one EVSE in [start, end], by time, with the nearest before and after that have each register.

    Import and export registers may come in separate readings, so up to two readings lie on either side.
    """
    first, last = micros(start), micros(end)
    within = [(_M.at >= first) & (_M.at <= last)]
    edges = [
        *(_edge(evse, _M.at < first, register, [_M.at.desc(), _M.id.desc()]) for register in _REGISTERS),
        *(_edge(evse, _M.at > last, register, [_M.at, _M.id]) for register in _REGISTERS),
    ]
    ids = {conn.execute(edge).scalar() for edge in edges} - {None}
    condition = (_M.station == evse.station) & (_M.evse == evse.evse) & (within[0] | _M.id.in_(ids))
    rows = conn.execute(select(METER_VALUE).where(condition).order_by(_M.at, _M.id))
    return [stored_reading(row) for row in rows]


def readings_since(conn: Connection, since: Mapping[EvseRef, datetime]) -> dict[EvseRef, list[Reading]]:
    """Readings of each EVSE from its instant on, in the order they came, but those of a transaction that was over by
    then. One statement: not for thousands at once."""
    found: dict[EvseRef, list[Reading]] = {evse: [] for evse in since}
    if not since:
        return found
    wanted = [
        (_M.station == evse.station) & (_M.evse == evse.evse) & (_M.at >= micros(at)) for evse, at in since.items()
    ]
    for row in conn.execute(select(METER_VALUE).where(or_(*wanted), is_in_time(METER_VALUE)).order_by(_M.id)):
        found[EvseRef(StationId(row.station), row.evse)].append(stored_reading(row).reading)
    return found


def metered(conn: Connection, evse: EvseRef, start: datetime, end: datetime) -> list[StoredReading]:
    """``readings``, and the registers that 1.6 tells at a transaction's start and stop (F3): see ``StoredReading``."""
    told = [*readings(conn, evse, start, end), *_registers_of_transactions(conn, evse, start, end)]
    return sorted(told, key=lambda stored: stored.reading.at)


def _registers_of_transactions(conn: Connection, evse: EvseRef, start: datetime, end: datetime) -> list[StoredReading]:
    """Those in [start, end], with the nearest before and after of the transactions around it."""
    around = (_T.started_at <= micros(end) + _DAY) & (_T.ended_at.is_(None) | (_T.ended_at >= micros(start) - _DAY))
    here = (_T.station == evse.station) & (_T.evse == evse.evse) & _T.meter_start_wh.is_not(None) & around
    told = [told for row in conn.execute(select(TRANSACTION).where(here)) for told in _start_and_stop(row)]
    told.sort(key=lambda stored: stored.reading.at)
    before = [stored for stored in told if stored.reading.at < start]
    after = [stored for stored in told if stored.reading.at > end]
    return [*before[-1:], *(stored for stored in told if start <= stored.reading.at <= end), *after[:1]]


def _start_and_stop(row: Row[Any]) -> Iterable[StoredReading]:
    ends = (
        (-2 * row.id, row.started_at, row.meter_start_wh, "Transaction.Begin"),
        (-2 * row.id - 1, row.ended_at, row.meter_stop_wh, "Transaction.End"),
    )
    for number, at, register_wh, context in ends:
        if at is not None and register_wh is not None:
            yield StoredReading(
                id=number,
                reading=Reading(at=instant(at), context=context, import_wh=float(register_wh)),
                received_at=instant(row.received_at),
                message_id="",
                transaction=row.transaction,
            )


_REGISTERS = (_M.import_wh, _M.export_wh)


def _edge(
    evse: EvseRef, side: ColumnElement[bool], register: ColumnElement[Any], order: Sequence[ColumnElement[Any]]
) -> Any:
    here = (_M.station == evse.station) & (_M.evse == evse.evse) & side & register.is_not(None)
    return select(_M.id).where(here).order_by(*order).limit(1)
