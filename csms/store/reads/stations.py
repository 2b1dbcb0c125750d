"""Stations as they were provisioned and as they last spoke."""

from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from csms.domain.ids import EvseRef, StationId
from csms.domain.station import BootState, Current, Evse, Ratings, Station, Version
from csms.store.tables import EVSE, STATION
from csms.store.values import instant


def stations(conn: Connection) -> tuple[Station, ...]:
    """Every provisioned station, by id."""
    evses: dict[str, list[Evse]] = {}
    for row in conn.execute(select(EVSE).order_by(EVSE.c.station, EVSE.c.evse)):
        evses.setdefault(row.station, []).append(_evse_of(row))
    rows = conn.execute(select(STATION).order_by(STATION.c.id))
    return tuple(_station_of(row, evses.get(row.id, [])) for row in rows)


def station(conn: Connection, id: StationId) -> Station | None:  # noqa: A002  the name all reads share
    """One station, or None."""
    row = conn.execute(select(STATION).where(STATION.c.id == id)).one_or_none()
    if row is None:
        return None
    evses = conn.execute(select(EVSE).where(EVSE.c.station == id).order_by(EVSE.c.evse))
    return _station_of(row, [_evse_of(evse) for evse in evses])


def _station_of(row: Row[Any], evses: list[Evse]) -> Station:
    return Station(
        id=row.id,
        site=row.site,
        evses=tuple(evses),
        host=row.host,
        version=Version(row.version) if row.version else None,
        registration=BootState(row.registration),
        boot_state=BootState(row.boot_state),
        vendor=row.vendor,
        model=row.model,
        serial=row.serial,
        firmware=row.firmware,
        last_heard_at=instant(row.last_heard_at),
        quirks=orjson.loads(row.quirks),
        learnt=orjson.loads(row.learnt),
    )


def _evse_of(row: Row[Any]) -> Evse:
    return Evse(
        ref=EvseRef(row.station, row.evse),
        site=row.site,
        ratings=Ratings(
            current=Current(row.current),
            phases=row.phases,
            voltage_v=row.voltage_v,
            max_charge_w=row.max_charge_w,
            min_charge_w=row.min_charge_w,
            max_discharge_w=row.max_discharge_w,
        ),
        connectors=row.connectors,
        public=row.public,
        on_refusal=row.on_refusal,
        on_no_answer=row.on_no_answer,
        allowed=tuple(orjson.loads(row.allowed)),
        approved=row.approved,
    )


def set_ups(conn: Connection) -> dict[StationId, str]:
    """Which set-up each station took, those that took one."""
    known = select(STATION.c.id, STATION.c.set_up_as).where(STATION.c.set_up_as.is_not(None))
    return {StationId(row.id): str(row.set_up_as) for row in conn.execute(known)}


def failsafe_limits(conn: Connection) -> dict[StationId, int]:
    """The failsafe limit of each station that has accepted one, W per EVSE."""
    known = select(STATION.c.id, STATION.c.failsafe_limit_w).where(STATION.c.failsafe_limit_w.is_not(None))
    return {StationId(row.id): int(row.failsafe_limit_w) for row in conn.execute(known)}


def password_hashes(conn: Connection) -> dict[StationId, str]:
    """What is kept of the password of each station that has one."""
    known = select(STATION.c.id, STATION.c.password_hash).where(STATION.c.password_hash.is_not(None))
    return {StationId(row.id): row.password_hash for row in conn.execute(known)}
