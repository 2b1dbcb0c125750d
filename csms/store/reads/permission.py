"""People, their plug-ins and permissions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from csms.domain.answers import TokenStatus
from csms.domain.conditions import Pattern
from csms.domain.facts import TokenType
from csms.domain.ids import EvseRef, PlugInId, UserId, VehicleId
from csms.domain.people import IdTokenRecord, Terminal, User, Vehicle
from csms.domain.permission import Channel, Evidence, Permission, PermissionState, PlugIn
from csms.store.tables import (
    ID_TOKEN,
    PATTERN,
    PERMISSION_HISTORY,
    PLUG_IN,
    TERMINAL,
    USER,
    VEHICLE,
    VEHICLE_USER,
)
from csms.store.values import CONDITIONS, EVIDENCE, PERMISSION, instant, micros

_P = PLUG_IN.c
_IDS_PER_QUERY = 500
"""Databases bound the number of parameters."""


def plug_in(conn: Connection, id: PlugInId) -> PlugIn | None:  # noqa: A002
    """One plug-in, or None."""
    row = conn.execute(select(PLUG_IN).where(_P.id == id)).one_or_none()
    return None if row is None else plug_in_of(row)


def plug_ins(
    conn: Connection,
    *,
    user: UserId | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> list[PlugIn]:
    """Plug-ins that lasted at some time in [since, until), newest first; ``limit`` None = all."""
    query = select(PLUG_IN).order_by(_P.plugged_at.desc(), _P.id).limit(limit)
    if user is not None:
        query = query.where(_P.user == user)
    if since is not None:
        query = query.where(_P.unplugged_at.is_(None) | (_P.unplugged_at > micros(since)))
    if until is not None:
        query = query.where(_P.plugged_at < micros(until))
    return [plug_in_of(row) for row in conn.execute(query)]


def open_plug_ins(conn: Connection) -> list[PlugIn]:
    """Those whose cable is in, in the order of plugging in."""
    rows = conn.execute(select(PLUG_IN).where(_P.unplugged_at.is_(None)).order_by(_P.plugged_at, _P.id))
    return [plug_in_of(row) for row in rows]


def plug_in_of(row: Row[Any]) -> PlugIn:
    """The plug-in in a row."""
    return PlugIn(
        id=row.id,
        evse=EvseRef(row.station, row.evse),
        connector=row.connector,
        plugged_at=instant(row.plugged_at),
        unplugged_at=instant(row.unplugged_at),
        user=row.user,
        vehicle=row.vehicle,
        transaction=row.transaction,
        permission=_permission_of(row),
        soc_at_start_percent=row.soc_at_start_percent,
        soc_percent=row.soc_percent,
        soc_at=instant(row.soc_at),
        stated_soc_percent=row.stated_soc_percent,
        participating_since=instant(row.participating_since),
        evidence=EVIDENCE.validate_json(row.evidence) if row.evidence else Evidence(),
    )


def _permission_of(row: Row[Any]) -> Permission:
    return Permission(
        state=PermissionState(row.permission_state),
        asked_at=instant(row.asked_at),
        expires_at=instant(row.expires_at),
        answered_at=instant(row.answered_at),
        channel=Channel(row.channel) if row.channel else None,
        text_version=row.text_version,
        conditions=CONDITIONS.validate_json(row.conditions) if row.conditions else None,
        departure_at=instant(row.departure_at),
        pattern=row.pattern,
        revised_at=instant(row.revised_at),
    )


def permission_histories(conn: Connection, plug_ins: Sequence[PlugInId]) -> dict[PlugInId, list[Permission]]:
    """Every state the permission of these plug-ins was in, in the order of storing; see ``writes.save_plug_in``."""
    found: dict[PlugInId, list[Permission]] = {id_: [] for id_ in plug_ins}
    h = PERMISSION_HISTORY.c
    for first in range(0, len(plug_ins), _IDS_PER_QUERY):
        wanted = h.plug_in.in_(plug_ins[first : first + _IDS_PER_QUERY])
        for row in conn.execute(select(h.plug_in, h.permission).where(wanted).order_by(h.id)):
            found[row.plug_in].append(PERMISSION.validate_json(row.permission))
    return found


def user(conn: Connection, id: UserId) -> User | None:  # noqa: A002
    """One user, or None."""
    row = conn.execute(select(USER).where(USER.c.id == id)).one_or_none()
    return None if row is None else _user_of(row)


def users(conn: Connection, *, after: UserId | None = None, limit: int | None = None) -> list[User]:
    """Users by id, those after ``after``; ``limit`` None = all."""
    query = select(USER).order_by(USER.c.id).limit(limit)
    return [_user_of(row) for row in conn.execute(query if after is None else query.where(USER.c.id > after))]


def _user_of(row: Row[Any]) -> User:
    return User(id=row.id, name=row.name, language=row.language, created_at=instant(row.created_at))


def vehicles(conn: Connection, user: UserId) -> list[Vehicle]:
    """A user's vehicles and those that others share with them, by id."""
    shared = select(VEHICLE_USER.c.vehicle).where(VEHICLE_USER.c.user == user)
    theirs = (VEHICLE.c.user == user) | VEHICLE.c.id.in_(shared)
    rows = conn.execute(select(VEHICLE).where(theirs, ~VEHICLE.c.deleted).order_by(VEHICLE.c.id))
    return [_vehicle_of(row) for row in rows]


def _vehicle_of(row: Row[Any]) -> Vehicle:
    return Vehicle(
        id=row.id,
        user=row.user,
        name=row.name,
        capacity_wh=row.capacity_wh,
        max_charge_w=row.max_charge_w,
        max_discharge_w=row.max_discharge_w,
        charge_efficiency=row.charge_efficiency,
        discharge_efficiency=row.discharge_efficiency,
        plate=row.plate or "",
        vin=row.vin or "",
    )


def vehicle_users(conn: Connection, vehicle: VehicleId) -> list[UserId]:
    """Those who share a vehicle with its owner."""
    c = VEHICLE_USER.c
    return [
        UserId(user) for user in conn.execute(select(c.user).where(c.vehicle == vehicle).order_by(c.user)).scalars()
    ]


def last_vehicle(conn: Connection, user: UserId) -> VehicleId | None:
    """The vehicle of the user's newest plug-in that had one."""
    query = select(_P.vehicle).where(_P.user == user, _P.vehicle.is_not(None)).order_by(_P.plugged_at.desc()).limit(1)
    found = conn.execute(query).scalar()
    return None if found is None else VehicleId(found)


def vehicles_by_id(conn: Connection, ids: Sequence[VehicleId]) -> dict[VehicleId, Vehicle]:
    """These vehicles, as far as they are known."""
    found: dict[VehicleId, Vehicle] = {}
    for first in range(0, len(ids), _IDS_PER_QUERY):
        some = VEHICLE.c.id.in_(ids[first : first + _IDS_PER_QUERY])
        rows = conn.execute(select(VEHICLE).where(some))
        found |= {row.id: _vehicle_of(row) for row in rows}
    return found


def patterns(conn: Connection, user: UserId) -> list[Pattern]:
    """A user's named conditions, by name and vehicle; those for all vehicles first."""
    c = PATTERN.c
    return [_pattern_of(row) for row in conn.execute(select(PATTERN).where(c.user == user).order_by(c.vehicle, c.name))]


def _pattern_of(row: Row[Any]) -> Pattern:
    return Pattern(
        name=row.name,
        conditions=CONDITIONS.validate_json(row.conditions),
        prepared=row.prepared,
        vehicle=VehicleId(row.vehicle) if row.vehicle else None,
        chosen=row.chosen,
    )


def terminals(conn: Connection, user: UserId) -> list[Terminal]:
    """A user's terminals, the oldest first."""
    c = TERMINAL.c
    rows = conn.execute(select(TERMINAL).where(c.user == user).order_by(c.created_at, c.token_hash))
    return [
        Terminal(token_hash=row.token_hash, name=row.name or "", created_at=instant(row.created_at)) for row in rows
    ]


def terminal_user(conn: Connection, token_hash: str) -> UserId | None:
    """The user a terminal is linked to."""
    found = conn.execute(select(TERMINAL.c.user).where(TERMINAL.c.token_hash == token_hash)).scalar()
    return None if found is None else UserId(found)


def id_token(conn: Connection, key: str) -> IdTokenRecord | None:
    """What is known of an id token; ``key`` in any case."""
    row = conn.execute(select(ID_TOKEN).where(ID_TOKEN.c.key == key.strip().upper())).one_or_none()
    return None if row is None else _id_token_of(row)


def id_tokens(conn: Connection) -> list[IdTokenRecord]:
    """Every known id token, by key."""
    return [_id_token_of(row) for row in conn.execute(select(ID_TOKEN).order_by(ID_TOKEN.c.key))]


def _id_token_of(row: Row[Any]) -> IdTokenRecord:
    return IdTokenRecord(
        token=row.token,
        type=TokenType(row.type),
        status=TokenStatus(row.status),
        expires_at=instant(row.expires_at),
        group=row.group,
        user=row.user,
        vehicle=row.vehicle,
    )
