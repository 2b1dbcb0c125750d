"""What is no longer needed goes, a few rows at a time (design §3).

The ledger, plug-ins, answers, transactions and people stay. So does whatever the energy of a time may still be computed
from: see ``Needed``. Rows are walked in the order in which they came, so that a slice never looks for its rows.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, exists, func, select, true, tuple_

from csms.store.needed import Needed
from csms.store.tables import (
    BOOT,
    CALL_LOG,
    DECISION,
    EVENT_SHARE,
    FRAME_PAGE,
    IDEMPOTENCY,
    METER_VALUE,
    NOTICE,
    PLUG_IN,
    QUARANTINE,
    REPLAY,
    SENT_CALL,
    SETPOINT,
    STATUS,
    TRANSACTION_EVENT,
    VIOLATION,
)
from csms.store.values import micros

MOST_ROWS: Final = 500
"""Of one slice: databases bound the number of parameters."""

MayGo = Callable[[Any, Any], ColumnElement[bool]]
"""The cut and ``Needed.since``, µs."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Rows that go by their age. ``order``: they are walked by it, the last of it is their key; ``may_go``: of the rows
    that are old enough, by the cut and ``Needed.since``; ``children``: go with them."""

    table: Table
    time: str
    order: tuple[str, ...] = ("id",)
    may_go: MayGo = lambda _cut, _since: true()
    children: tuple[ColumnElement[Any], ...] = ()

    @property
    def key(self) -> Any:
        return self.table.c[self.order[-1]]


def _a_plug_in_that_counts(table: Table, since: Any, *of_it: ColumnElement[bool]) -> ColumnElement[bool]:
    """At the EVSE of a row: it was there at ``since``, or came later."""
    p, c = PLUG_IN.c, table.c
    lasts = p.unplugged_at.is_(None) | (p.unplugged_at >= since)
    return exists().where(p.station == c.station, p.evse == c.evse, lasts, *of_it).correlate_except(PLUG_IN)


def _not_of_a_plug_in_that_counts(table: Table, time: str) -> MayGo:
    def may_go(_cut: Any, since: Any) -> ColumnElement[bool]:
        return ~_a_plug_in_that_counts(table, since, PLUG_IN.c.plugged_at <= table.c[time])

    return may_go


def _reading_may_go(cut: Any, since: Any) -> ColumnElement[bool]:
    """Not the last one that tells a register before the cut, or before a plug-in that counts."""
    m, n, plugged_at = METER_VALUE.c, METER_VALUE.alias("newer").c, PLUG_IN.c.plugged_at
    is_between = _a_plug_in_that_counts(METER_VALUE, since, plugged_at > m.at, plugged_at <= n.at)

    def is_followed(register: str) -> ColumnElement[bool]:
        later = (n.at > m.at) | ((n.at == m.at) & (n.id > m.id))
        here = (n.station == m.station) & (n.evse == m.evse) & (n.at < cut) & (n.received_at < cut)
        return m[register].is_(None) | exists().where(here, later, n[register].is_not(None), ~is_between)

    its = _not_of_a_plug_in_that_counts(METER_VALUE, "at")(cut, since)
    return and_(m.at < cut, is_followed("import_wh"), is_followed("export_wh"), its)


def _status_may_go(cut: Any, since: Any) -> ColumnElement[bool]:
    """Not the newest of its connector."""
    s, n = STATUS.c, STATUS.alias("newer").c
    newer = exists().where(n.station == s.station, n.evse == s.evse, n.connector == s.connector, n.id > s.id)
    return newer & _not_of_a_plug_in_that_counts(STATUS, "at")(cut, since)


def _boot_may_go(_cut: Any, _since: Any) -> ColumnElement[bool]:
    newer = BOOT.alias("newer").c
    return exists().where(newer.station == BOOT.c.station, newer.id > BOOT.c.id)


def _is_resolved(_cut: Any, _since: Any) -> ColumnElement[bool]:
    return exists().where(REPLAY.c.quarantine == QUARANTINE.c.id)


FRAMES: Final = Kind(FRAME_PAGE, "last_at")

KINDS: Final[Mapping[str, tuple[Kind, ...]]] = MappingProxyType(
    {
        "frames": (FRAMES, Kind(SENT_CALL, "at")),
        "readings": (
            Kind(METER_VALUE, "received_at", may_go=_reading_may_go),
            Kind(
                TRANSACTION_EVENT,
                "received_at",
                may_go=_not_of_a_plug_in_that_counts(TRANSACTION_EVENT, "received_at"),
            ),
        ),
        "setpoints": (
            Kind(
                SETPOINT,
                "decided_at",
                ("decided_at", "id"),
                _not_of_a_plug_in_that_counts(SETPOINT, "decided_at"),
            ),
        ),
        "statuses": (Kind(STATUS, "received_at", may_go=_status_may_go),),
        "notices": (
            Kind(NOTICE, "received_at"),
            Kind(BOOT, "received_at", may_go=_boot_may_go),
            Kind(CALL_LOG, "at"),
        ),
        "decisions": (Kind(DECISION, "at", children=(EVENT_SHARE.c.decision, VIOLATION.c.decision)),),
        "quarantine": (Kind(QUARANTINE, "received_at", may_go=_is_resolved, children=(REPLAY.c.quarantine,)),),
        "requests": (Kind(IDEMPOTENCY, "at", ("at", "key")),),
    }
)
"""By the names of the settings."""


class Slice(NamedTuple):
    """What one slice did. ``last``: where the next one goes on; None = there is nothing left."""

    gone: int
    last: tuple[Any, ...] | None


def prune(
    conn: Connection, kind: Kind, cut: datetime, needed: Needed, after: tuple[Any, ...] | None, limit: int
) -> Slice:
    """Delete of the next ``limit`` rows those older than ``cut`` that may go."""
    rows = _next(conn, kind, after, limit)
    going = list(_going(conn, kind, rows, cut, needed))
    if going:
        for statement in _deletes(kind):
            conn.execute(statement, {"going": going})
    is_over = len(rows) < limit or not _reaches_old(rows, micros(cut))
    return Slice(len(going), None if is_over else tuple(rows[-1])[: len(kind.order)])


def prunable(conn: Connection, kind: Kind, cut: datetime, needed: Needed) -> int:
    """How many rows ``prune`` would delete in the end."""
    found, after = 0, None
    while True:
        rows = _next(conn, kind, after, MOST_ROWS)
        found += sum(1 for _ in _going(conn, kind, rows, cut, needed))
        if len(rows) < MOST_ROWS or not _reaches_old(rows, micros(cut)):
            return found
        after = tuple(rows[-1])[: len(kind.order)]


def _next(conn: Connection, kind: Kind, after: tuple[Any, ...] | None, limit: int) -> Sequence[Any]:
    order = [kind.table.c[name] for name in kind.order]
    query = select(*order, kind.table.c[kind.time].label("told_at")).order_by(*order).limit(limit)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*after))
    return conn.execute(query).all()


def _reaches_old(rows: Sequence[Any], cut: int) -> bool:
    """Some came late, or by a clock that was set: one that is young does not end the walk, a whole slice of them
    does."""
    return any(row.told_at is None or row.told_at < cut for row in rows)


def _going(conn: Connection, kind: Kind, rows: Sequence[Any], cut: datetime, needed: Needed) -> Iterator[Any]:
    place = len(kind.order) - 1
    old = [row[place] for row in rows if row.told_at is not None and row.told_at < micros(cut)]
    if not old:
        return iter(())
    values = {"old": old, "cut": micros(cut), "since": micros(needed.since)}
    rows = conn.execute(_candidates(kind), values).all()
    if kind is FRAMES and needed.held:
        return _not_held(rows, needed.held)
    return (row[0] for row in rows)


@cache
def _candidates(kind: Kind) -> Any:
    """Of the old rows those that may go. Built once: building it costs more than running it."""
    may_go = kind.may_go(bindparam("cut"), bindparam("since"))
    query = select(kind.key).where(kind.key.in_(bindparam("old", expanding=True)), may_go)
    if kind.table.autoincrement_column is not None:  # SQLite would give the number of the newest row again
        query = query.where(kind.key < select(func.max(kind.key)).scalar_subquery())
    return query.add_columns(FRAME_PAGE.c.first_at, FRAME_PAGE.c.last_at) if kind is FRAMES else query


@cache
def _deletes(kind: Kind) -> tuple[Any, ...]:
    columns = (*kind.children, kind.key)
    return tuple(delete(column.table).where(column.in_(bindparam("going", expanding=True))) for column in columns)


def _not_held(rows: Sequence[Any], held: Sequence[int]) -> Iterator[int]:
    for id_, first, last in rows:
        place = bisect_left(held, first)
        if place == len(held) or held[place] > last:
            yield id_
