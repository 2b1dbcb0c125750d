"""Everything that is open now, to rebuild the live state from (design §3).

Newest status, reading and setpoint are looked up per provisioned EVSE through the index, so that the start stays quick
however long the history is. What came from EVSEs that are not provisioned is stored, but not part of this.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Subquery, Table, func, literal, select, union

from csms.domain.facts import Reading
from csms.domain.ids import EvseRef
from csms.domain.live import LiveState, StoredStatus
from csms.domain.station import ConnectorStatus
from csms.store.readings import reading_of
from csms.store.reads.dispatch import dr_events, open_plug_ins, setpoint_of
from csms.store.reads.stations import probes, stations
from csms.store.reads.transactions import open_transactions
from csms.store.tables import EVSE, METER_VALUE, SETPOINT, STATION, STATUS
from csms.store.values import instant


def live_state(conn: Connection, now: datetime | None = None) -> LiveState:
    """All that is open. ``events``: those that have not ended at ``now``; None = every event ever."""
    return LiveState(
        stations=stations(conn),
        statuses=_newest_statuses(conn),
        plug_ins=tuple(open_plug_ins(conn)),
        transactions=tuple(open_transactions(conn)),
        readings=_newest_readings(conn),
        probes=probes(conn),
        events=tuple(dr_events(conn, since=now)),
        setpoints=tuple(setpoint_of(row) for row in _newest(conn, SETPOINT, SETPOINT.c.decided_at)),
    )


def _places() -> Subquery:
    """Every provisioned EVSE, and EVSE 0 of every station."""
    c = EVSE.c
    evses = select(c.station.label("station"), c.evse.label("evse"))
    return union(evses, select(STATION.c.id, literal(0))).subquery("place")


def _newest(conn: Connection, table: Table, by: ColumnElement[int]) -> list[Row[Any]]:
    """The newest row of each place."""
    place, inner = _places(), table.alias()
    newest = (
        select(inner.c.id)
        .where(inner.c.station == place.c.station, inner.c.evse == place.c.evse)
        .order_by(inner.c[by.key or ""].desc(), inner.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    ids = select(newest).select_from(place)
    return list(conn.execute(select(table).where(table.c.id.in_(ids)).order_by(table.c.station, table.c.evse)))


def _newest_readings(conn: Connection) -> dict[EvseRef, Reading]:
    rows = _newest(conn, METER_VALUE, METER_VALUE.c.at)
    return {EvseRef(row.station, row.evse): reading_of(row) for row in rows}


def _newest_statuses(conn: Connection) -> tuple[StoredStatus, ...]:
    """By order of arrival: stations' clocks jump (lesson 16)."""
    most = conn.execute(select(func.max(EVSE.c.connectors))).scalar() or 1
    numbers = union(*(select(literal(n).label("n")) for n in range(most + 1))).subquery("number")
    place, inner = _places(), STATUS.alias()
    here = (inner.c.station == place.c.station) & (inner.c.evse == place.c.evse) & (inner.c.connector == numbers.c.n)
    newest = select(inner.c.id).where(here).order_by(inner.c.id.desc()).limit(1).scalar_subquery()
    ids = select(newest).select_from(place.join(numbers, literal(True)))
    c = STATUS.c
    rows = conn.execute(select(STATUS).where(c.id.in_(ids)).order_by(c.station, c.evse, c.connector))
    return tuple(
        StoredStatus(
            evse=EvseRef(row.station, row.evse),
            connector=row.connector,
            status=ConnectorStatus(row.status),
            at=instant(row.at),
        )
        for row in rows
    )
