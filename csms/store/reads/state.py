"""What the rooms read: the present, DR events, prices."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Subquery,
    Table,
    func,
    literal,
    select,
    true,
    union,
)

from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import AreaId, DrEventId, EvseRef
from csms.domain.live import LiveState, StoredEnd, StoredStatus
from csms.domain.station import ConnectorStatus
from csms.domain.tariff import PriceStep, Tariff, TariffHistory
from csms.store.past import PRESUMED
from csms.store.readings import reading_of
from csms.store.reads.dispatch import probes, setpoint_of
from csms.store.reads.intake import open_transactions
from csms.store.reads.open import believed, freed, is_in_time, needs, words
from csms.store.reads.permission import open_plug_ins
from csms.store.reads.stations import stations
from csms.store.tables import (
    DR_EVENT,
    EVSE,
    METER_VALUE,
    PRICE_SERIES,
    SETPOINT,
    STATION,
    STATUS,
    TARIFF,
    TRANSACTION,
)
from csms.store.values import PERIODS, PRICE_STEPS, decimal_of, instant, micros

_D = DR_EVENT.c


def dr_event(conn: Connection, id: DrEventId) -> DrEvent | None:  # noqa: A002
    """One DR event, or None."""
    row = conn.execute(select(DR_EVENT).where(_D.id == id)).one_or_none()
    return None if row is None else _dr_event_of(row)


def dr_events(
    conn: Connection, *, since: datetime | None = None, until: datetime | None = None, limit: int | None = None
) -> list[DrEvent]:
    """DR events that hold at some time in [since, until), by start. A cancelled one holds until its cancellation."""
    query = select(DR_EVENT).order_by(_D.starts_at, _D.id).limit(limit)
    if since is not None:
        stops_at = func.coalesce(_D.cancelled_at, _D.ends_at)
        query = query.where(_D.ends_at > micros(since), stops_at > micros(since))
    if until is not None:
        query = query.where(_D.starts_at < micros(until))
    return [_dr_event_of(row) for row in conn.execute(query)]


def _dr_event_of(row: Row[Any]) -> DrEvent:
    return DrEvent(
        id=row.id,
        direction=Direction(row.direction),
        requested_w=row.requested_w,
        starts_at=instant(row.starts_at),
        ends_at=instant(row.ends_at),
        areas=frozenset(orjson.loads(row.areas)),
        incentive_per_kwh=decimal_of(row.incentive_per_kwh),
        price_per_kwh=decimal_of(row.price_per_kwh),
        created_at=instant(row.created_at),
        cancelled_at=instant(row.cancelled_at),
        priority=row.priority,
    )


def prices(conn: Connection, area: AreaId) -> list[tuple[tuple[PriceStep, ...], datetime | None]]:
    """Series published for an area with their ``until``, in the order of publication (see ``tariff.Published``)."""
    c = PRICE_SERIES.c
    rows = conn.execute(select(c.steps, c.until).where(c.area == area).order_by(c.id))
    return [(PRICE_STEPS.validate_json(row.steps), instant(row.until)) for row in rows]


def tariffs(conn: Connection) -> dict[AreaId, TariffHistory]:
    """Every area's tariffs with the time when each became known."""
    found: dict[AreaId, list[tuple[datetime, Tariff]]] = {}
    for row in conn.execute(select(TARIFF).order_by(TARIFF.c.id)):
        tariff = Tariff(currency=row.currency, zone=row.zone, periods=PERIODS.validate_json(row.periods))
        found.setdefault(AreaId(row.area), []).append((instant(row.known_at), tariff))
    return {area: TariffHistory(tuple(known)) for area, known in found.items()}


def live_state(conn: Connection, now: datetime | None = None) -> LiveState:
    """All that is open. ``events``: those that have not ended at ``now``; None = every event ever."""
    statuses, plug_ins, running = _newest_statuses(conn), tuple(open_plug_ins(conn)), tuple(open_transactions(conn))
    return LiveState(
        stations=stations(conn),
        statuses=statuses,
        plug_ins=plug_ins,
        transactions=running,
        ended=_newest_ended(conn),
        readings=_newest_readings(conn),
        words=words(conn, running),
        freed=freed(conn, plug_ins, statuses),
        needs=needs(conn),
        probes=probes(conn),
        events=tuple(dr_events(conn, since=now)),
        setpoints=tuple(setpoint_of(row) for row in _newest(conn, SETPOINT, SETPOINT.c.decided_at)),
    )


def _places() -> Subquery:
    """Every provisioned EVSE, and EVSE 0 of every station."""
    c = EVSE.c
    evses = select(c.station.label("station"), c.evse.label("evse"))
    return union(evses, select(STATION.c.id, literal(0))).subquery("place")


def _newest(
    conn: Connection,
    table: Table,
    by: ColumnElement[int],
    which: Callable[[FromClause], ColumnElement[bool]] = lambda _row: true(),
    nth: int = 0,
) -> list[Row[Any]]:
    """The newest row of each place, of those that ``which`` takes; or the ``nth`` before it."""
    place, inner = _places(), table.alias()
    newest = (
        select(inner.c.id)
        .where(inner.c.station == place.c.station, inner.c.evse == place.c.evse, inner.c[by.key or ""].is_not(None))
        .where(which(inner))
        .order_by(inner.c[by.key or ""].desc(), inner.c.id.desc())
        .limit(1)
        .offset(nth)
        .scalar_subquery()
    )
    ids = select(newest).select_from(place)
    return list(conn.execute(select(table).where(table.c.id.in_(ids)).order_by(table.c.station, table.c.evse)))


def _newest_ended(conn: Connection) -> dict[EvseRef, StoredEnd]:
    rows = _newest(conn, TRANSACTION, TRANSACTION.c.ended_at)
    return {EvseRef(row.station, row.evse): _end_of(row) for row in rows}


def _end_of(row: Row[Any]) -> StoredEnd:
    is_presumed = row.provisional and row.stopped_reason.startswith(PRESUMED)
    return StoredEnd(row.transaction, instant(row.ended_at), row.token, is_presumed, instant(row.started_at))


def _newest_readings(conn: Connection) -> dict[EvseRef, list[Reading]]:
    """The newest few of each EVSE, by time. What is said of a transaction after its end counts for nothing."""
    found: dict[EvseRef, list[Reading]] = {}
    for nth in reversed(range(_RECENT)):
        for row in _newest(conn, METER_VALUE, METER_VALUE.c.at, is_in_time, nth):
            found.setdefault(EvseRef(row.station, row.evse), []).append(reading_of(row))
    return found


_RECENT = 4
"""Readings that are looked at for what the newest leaves out."""


def _newest_statuses(conn: Connection) -> tuple[StoredStatus, ...]:
    """By order of arrival: stations' clocks jump (lesson 16). But a queue tells of before."""
    most = conn.execute(select(func.max(EVSE.c.connectors))).scalar() or 1
    numbers = union(*(select(literal(n).label("n")) for n in range(most + 1))).subquery("number")
    place, inner = _places(), STATUS.alias()
    here = (inner.c.station == place.c.station) & (inner.c.evse == place.c.evse) & (inner.c.connector == numbers.c.n)
    newest = select(inner.c.id).where(here).order_by(inner.c.id.desc()).limit(1).scalar_subquery()
    ids = select(newest).select_from(place.join(numbers, literal(True)))
    c = STATUS.c
    rows = conn.execute(select(STATUS).where(c.id.in_(ids)).order_by(c.station, c.evse, c.connector))
    return tuple(believed(conn, _status_of(row)) for row in rows.all())


def _status_of(row: Row[Any]) -> StoredStatus:
    return StoredStatus(
        evse=EvseRef(row.station, row.evse),
        connector=row.connector,
        status=ConnectorStatus(row.status),
        at=instant(row.at),
        received_at=instant(row.received_at),
    )
