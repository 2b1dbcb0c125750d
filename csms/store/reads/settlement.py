"""The ledger and its sums."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, select, true

from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, UserId, VehicleId
from csms.domain.ledger import Balance, EntryKind, LedgerEntry, Posting, SettledUntil, user_account
from csms.domain.permission import PlugIn
from csms.store.reads.intake import metered
from csms.store.reads.permission import plug_in_of
from csms.store.tables import (
    LEDGER_ENTRY,
    LEDGER_POSTING,
    METER_VALUE,
    PLUG_IN,
    SETPOINT,
    SETTLED_AREA,
    SETTLEMENT_DUE,
    SETTLEMENT_MARK,
)
from csms.store.values import decimal_of, instant, micros

_E = LEDGER_ENTRY.c
_L = LEDGER_POSTING.c


_IDS_PER_QUERY = 500
"""Databases bound the number of parameters."""


NO_CURRENCY = "XXX"
"""ISO 4217: no currency involved; the balance of somebody without entries."""


def ledger(  # noqa: PLR0913  filters, all by name
    conn: Connection,
    *,
    user: UserId | None = None,
    event: DrEventId | None = None,
    plug_in: PlugInId | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: int | None = None,
    limit: int = 100,
    newest: bool = False,
) -> list[tuple[int, LedgerEntry]]:
    """A page of (id, entry) in the order of posting. [start, end) bounds the beginning of the settled period.
    ``newest``: the last ones posted, the last first."""
    wanted: dict[ColumnElement[Any], Any] = {_E.user: user, _E.event: event, _E.plug_in: plug_in}
    query = select(LEDGER_ENTRY).order_by(_E.id.desc() if newest else _E.id).limit(limit)
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    query = query.where(_period(None, start, end))
    if after is not None:
        query = query.where(_E.id > after)
    return _with_postings(conn, conn.execute(query).all())


def entries_within(conn: Connection, start: datetime, end: datetime) -> dict[str, list[LedgerEntry]]:
    """Every entry whose settled period begins in [start, end), by cause; the revisions of a cause in order."""
    query = select(LEDGER_ENTRY).where(_period(None, start, end)).order_by(_E.cause, _E.revision)
    found: dict[str, list[LedgerEntry]] = {}
    for _, entry in _with_postings(conn, conn.execute(query).all()):
        found.setdefault(entry.cause, []).append(entry)
    return found


def _with_postings(conn: Connection, rows: Sequence[Row[Any]]) -> list[tuple[int, LedgerEntry]]:
    postings: dict[int, list[Posting]] = {row.id: [] for row in rows}
    ids = list(postings)
    for first in range(0, len(ids), _IDS_PER_QUERY):
        wanted = _L.entry.in_(ids[first : first + _IDS_PER_QUERY])
        for line in conn.execute(select(LEDGER_POSTING).where(wanted).order_by(_L.entry, _L.line)):
            postings[line.entry].append(Posting(line.account, line.amount_minor))
    return [(row.id, _entry_of(row, postings)) for row in rows]


def _entry_of(row: Row[Any], postings: Mapping[int, Sequence[Posting]]) -> LedgerEntry:
    return LedgerEntry(
        cause=row.cause,
        revision=row.revision,
        kind=EntryKind(row.kind),
        posted_at=instant(row.posted_at),
        period_start=instant(row.period_start),
        period_end=instant(row.period_end),
        user=row.user,
        vehicle=row.vehicle,
        evse=EvseRef(row.station, row.evse),
        plug_in=row.plug_in,
        event=row.event,
        energy_wh=row.energy_wh,
        price_per_kwh=decimal_of(row.price_per_kwh),
        currency=row.currency,
        postings=tuple(postings[row.id]),
        evidence=orjson.loads(row.evidence),
    )


def balance(
    conn: Connection,
    user: UserId,
    vehicle: VehicleId | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    currency: str | None = None,
) -> Balance:
    """A user's sums over the entries whose period begins in [start, end), of all vehicles or one.

    Corrections count with what they correct. ``currency`` None = that of the user's newest entry; amounts in other
    currencies are never added to it.
    """
    money = currency or _newest_currency(conn, user)
    which = (_E.user == user) & (_E.currency == money) & _period(vehicle, start, end)
    empty = Balance(user=user, vehicle=vehicle, start=start, end=end, currency=money)
    return _with_sums(empty, _sums(conn, which, user, _E.user).get(user, {}))


def balance_by_plug_in(
    conn: Connection, user: UserId, start: datetime | None, end: datetime | None, currency: str
) -> dict[PlugInId, Balance]:
    """The same for each plug-in by itself, of those that have entries: their sum is the user's."""
    which = (_E.user == user) & (_E.currency == currency) & _period(None, start, end)
    empty = Balance(user=user, start=start, end=end, currency=currency)
    return {id_: _with_sums(empty, sums) for id_, sums in _sums(conn, which, user, _E.plug_in).items()}


def _with_sums(empty: Balance, sums: Mapping[str, tuple[int, int]]) -> Balance:
    sold_wh, earned = sums.get(EntryKind.SALE, (0, 0))
    bought_wh, credited = sums.get(EntryKind.PURCHASE, (0, 0))
    rewarded_wh, rewarded = sums.get(EntryKind.REWARD, (0, 0))
    return replace(
        empty,
        sold_wh=sold_wh,
        earned_minor=earned,
        bought_wh=bought_wh,
        spent_minor=-credited,
        rewarded_wh=rewarded_wh,
        rewarded_minor=rewarded,
    )


def _newest_currency(conn: Connection, user: UserId) -> str:
    newest = select(_E.currency).where(_E.user == user).order_by(_E.id.desc()).limit(1)
    return conn.execute(newest).scalar() or NO_CURRENCY


def _period(vehicle: VehicleId | None, start: datetime | None, end: datetime | None) -> ColumnElement[bool]:
    bounds: list[ColumnElement[bool]] = []
    if vehicle is not None:
        bounds.append(_E.vehicle == vehicle)
    if start is not None:
        bounds.append(_E.period_start >= micros(start))
    if end is not None:
        bounds.append(_E.period_start < micros(end))
    return and_(true(), *bounds)


def _sums(
    conn: Connection, which: ColumnElement[bool], user: UserId, per: ColumnElement[Any]
) -> dict[Any, dict[str, tuple[int, int]]]:
    """By ``per``: flow -> (Wh, minor units credited to the user)."""
    credit = select(_L.entry, func.sum(_L.amount_minor).label("minor")).where(_L.account == user_account(user))
    per_entry = credit.group_by(_L.entry).subquery()
    by = per.label("by")
    query = (
        select(by, _E.flow, func.sum(_E.energy_wh), func.coalesce(func.sum(per_entry.c.minor), 0))
        .select_from(LEDGER_ENTRY.outerjoin(per_entry, per_entry.c.entry == _E.id))
        .where(which)
        .group_by(by, _E.flow)
    )
    found: dict[Any, dict[str, tuple[int, int]]] = {}
    for key, flow, energy_wh, minor in conn.execute(query):
        found.setdefault(key, {})[flow] = (int(energy_wh), int(minor))
    return found


def settled_areas(conn: Connection, plug_ins: Sequence[PlugInId]) -> dict[PlugInId, AreaId]:
    """The area of each of these plug-ins that has been settled."""
    found: dict[PlugInId, AreaId] = {}
    c = SETTLED_AREA.c
    for first in range(0, len(plug_ins), _IDS_PER_QUERY):
        wanted = c.plug_in.in_(plug_ins[first : first + _IDS_PER_QUERY])
        found.update({row.plug_in: row.area for row in conn.execute(select(SETTLED_AREA).where(wanted))})
    return found


def untold_resources(conn: Connection, since: datetime, until: datetime) -> list[PlugIn]:
    """Those plug-ins of some time in [since, until] that have ended, told no state of charge and were moved by an
    event: what their vehicles could have taken follows from all that was metered in them."""
    p, s = PLUG_IN.c, SETPOINT.c
    moved = exists().where(s.station == p.station, s.evse == p.evse, s.plug_in == p.id, s.event.is_not(None))
    here = (p.plugged_at <= micros(until)) & (p.unplugged_at >= micros(since))
    rows = conn.execute(select(PLUG_IN).where(here, p.soc_percent.is_(None), moved))
    return [plug_in_of(row) for row in rows]


def settled_until(conn: Connection) -> SettledUntil | None:
    """How far everything is settled; None before the first settlement."""
    mark = conn.execute(select(SETTLEMENT_MARK)).one_or_none()
    if mark is None:
        return None
    due = conn.execute(select(SETTLEMENT_DUE.c.start)).scalars()
    return SettledUntil(
        until=instant(mark.settled_until), due=frozenset(instant(start) for start in due), reading_id=mark.reading_id
    )


def newest_reading(conn: Connection) -> int:
    """The id of the meter value stored last; 0 = none."""
    return conn.execute(select(func.max(METER_VALUE.c.id))).scalar() or 0


def late_spans(conn: Connection, reading_id: int, before: datetime) -> list[tuple[datetime, datetime]]:
    """The times whose energy is another by the meter values of before an instant that were stored after this one: per
    EVSE from the reading before the first of them to the one after the last."""
    c = METER_VALUE.c
    late = select(c.station, c.evse, func.min(c.at), func.max(c.at)).where(c.id > reading_id, c.at < micros(before))
    found: list[tuple[datetime, datetime]] = []
    for station, number, first, last in conn.execute(late.where(c.evse.is_not(None)).group_by(c.station, c.evse)).all():
        evse, since, until = EvseRef(station, number), instant(first), instant(last)
        around = [stored.reading.at for at in (since, until) for stored in metered(conn, evse, at, at)]
        found.append((min(around), max(around)))
    return found


def readings_after(conn: Connection, reading_id: int) -> tuple[datetime, datetime] | None:
    """The earliest and latest time of the meter values stored after this one."""
    times = select(func.min(METER_VALUE.c.at), func.max(METER_VALUE.c.at)).where(METER_VALUE.c.id > reading_id)
    first, last = conn.execute(times).one()
    return None if first is None else (instant(first), instant(last))


def first_plug_in(conn: Connection) -> datetime | None:
    """When the first plug-in began."""
    return instant(conn.execute(select(func.min(PLUG_IN.c.plugged_at))).scalar())
