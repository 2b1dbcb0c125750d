"""What settlement may still ask for, and so has to stay, however old it is (design §3, M2)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, or_, select

from csms.domain.ledger import OPEN_FOR
from csms.store.reads.settlement import settled_until
from csms.store.tables import (
    EVSE,
    LEDGER_ENTRY,
    LEDGER_POSTING,
    METER_VALUE,
    PLUG_IN,
    SENT_CALL,
    STATUS,
    TRANSACTION,
    TRANSACTION_EVENT,
)
from csms.store.values import instant, micros

A_DAY: Final = timedelta(days=1)
"""No market interval is longer."""


class Needed(NamedTuple):
    """What settlement may still ask for.

    ``since``: all from then on, and all of a plug-in that was there then, however long before it began; the last
    registers of each EVSE before, as those bound the energy after them. ``held``: when frames of the latter came, µs,
    sorted.
    """

    since: datetime
    held: tuple[int, ...] = ()


def needed(conn: Connection, now: datetime, frames_cut: datetime) -> Needed:
    """What must stay. ``frames_cut``: frames from then on stay anyway."""
    since = _unsettled_since(conn, now)
    cut = micros(min(frames_cut, since))
    told_at = {*_of_long_plug_ins(conn, cut, micros(since)), *_last_registers(conn, cut)}
    return Needed(since, tuple(sorted(at for at in told_at if at is not None)))


def _unsettled_since(conn: Connection, now: datetime) -> datetime:
    """From when on energy may be settled, or settled anew."""
    settled = settled_until(conn)
    if settled is None:
        first = conn.execute(select(func.min(PLUG_IN.c.plugged_at))).scalar()
        open_since = [instant(first) if first is not None else now]
    else:
        open_since = [settled.until - OPEN_FOR, *settled.due]
    odd = select(LEDGER_POSTING.c.entry).group_by(LEDGER_POSTING.c.entry)
    odd = odd.having(func.sum(LEDGER_POSTING.c.amount_minor) != 0)
    unbalanced = select(func.min(LEDGER_ENTRY.c.period_start)).where(LEDGER_ENTRY.c.id.in_(odd))
    if (at := conn.execute(unbalanced).scalar()) is not None:
        open_since.append(instant(at))
    return min(open_since) - A_DAY


def _of_long_plug_ins(conn: Connection, cut: int, since: int) -> Iterator[int | None]:
    """When everything came that was said before ``cut`` in a plug-in that still counts, and the registers before it."""
    p, t = PLUG_IN.c, TRANSACTION.c
    lasts = p.unplugged_at.is_(None) | (p.unplugged_at >= since)
    for plug_in in conn.execute(select(p.station, p.evse, p.plugged_at).where(p.plugged_at < cut, lasts)).all():
        for table, time, told_at in _SAID:
            c = table.c
            here = (c.station == plug_in.station) & or_(c.evse == plug_in.evse, c.evse.is_(None))
            then = (c[time] >= plug_in.plugged_at) & (c[told_at] < cut)
            yield from conn.execute(select(c[told_at]).where(here, then)).scalars()
        yield from _registers_before(conn, plug_in.station, plug_in.evse, plug_in.plugged_at)
        here = (t.station == plug_in.station) & (t.evse == plug_in.evse) & (t.received_at < cut)
        for row in conn.execute(select(t.received_at, t.stop_received_at).where(here)):
            yield from row


_SAID: Final = (
    (METER_VALUE, "at", "received_at"),
    (TRANSACTION_EVENT, "at", "received_at"),
    (STATUS, "at", "received_at"),
    (SENT_CALL, "at", "at"),
)


def _last_registers(conn: Connection, cut: int) -> Iterator[int | None]:
    """When the newest registers before ``cut`` came, of each EVSE: readings, starts and stops."""
    t = TRANSACTION.c
    for station, evse in conn.execute(select(EVSE.c.station, EVSE.c.evse)).all():
        yield from _registers_before(conn, station, evse, cut)
    newest = select(func.max(t.received_at), func.max(t.stop_received_at)).where(t.received_at < cut)
    for row in conn.execute(newest.group_by(t.station, t.evse)):
        yield from row


def _registers_before(conn: Connection, station: str, evse: int, before: int) -> Iterator[int | None]:
    m = METER_VALUE.c
    for register in (m.import_wh, m.export_wh):
        here = (m.station == station) & (m.evse == evse) & (m.at < before) & register.is_not(None)
        yield conn.execute(select(m.received_at).where(here).order_by(m.at.desc(), m.id.desc()).limit(1)).scalar()
