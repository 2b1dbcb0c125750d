"""What is written about people, their plug-ins and permissions."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from csms.domain.conditions import Pattern
from csms.domain.ids import UserId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.domain.permission import PlugIn
from csms.store.sql import upsert
from csms.store.tables import (
    ID_TOKEN,
    PATTERN,
    PERMISSION_HISTORY,
    PLUG_IN,
    TERMINAL,
    USER,
    VEHICLE,
)
from csms.store.values import CONDITIONS, PERMISSION, micros, to_json


def save_plug_in(conn: Connection, plug_in: PlugIn) -> None:
    """A plug-in as it is now; a changed permission is also appended to its history (V2G-28)."""
    upsert(conn, PLUG_IN, _plug_in_row(plug_in))
    h = PERMISSION_HISTORY.c
    newest = select(h.permission).where(h.plug_in == plug_in.id).order_by(h.id.desc()).limit(1)
    permission = to_json(PERMISSION, plug_in.permission)
    if conn.execute(newest).scalar() != permission:
        row = {"plug_in": plug_in.id, "state": plug_in.permission.state.value, "permission": permission}
        conn.execute(PERMISSION_HISTORY.insert(), row)


def _plug_in_row(plug_in: PlugIn) -> dict[str, Any]:
    permission = plug_in.permission
    return {
        "id": plug_in.id,
        "station": plug_in.evse.station,
        "evse": plug_in.evse.evse,
        "connector": plug_in.connector,
        "plugged_at": micros(plug_in.plugged_at),
        "unplugged_at": micros(plug_in.unplugged_at),
        "user": plug_in.user,
        "vehicle": plug_in.vehicle,
        "transaction": plug_in.transaction,
        "permission_state": permission.state.value,
        "asked_at": micros(permission.asked_at),
        "expires_at": micros(permission.expires_at),
        "answered_at": micros(permission.answered_at),
        "channel": permission.channel.value if permission.channel else None,
        "text_version": permission.text_version,
        "conditions": to_json(CONDITIONS, permission.conditions) if permission.conditions else None,
        "departure_at": micros(permission.departure_at),
        "soc_at_start_percent": plug_in.soc_at_start_percent,
        "soc_percent": plug_in.soc_percent,
        "soc_at": micros(plug_in.soc_at),
    }


def add_user(conn: Connection, user: User) -> None:
    """A new user, or a new name or language of one."""
    row = {"id": user.id, "name": user.name, "language": user.language, "created_at": micros(user.created_at)}
    upsert(conn, USER, row, ["name", "language"])


def add_vehicle(conn: Connection, vehicle: Vehicle) -> None:
    """A new vehicle, or new particulars of one."""
    row = {
        "id": vehicle.id,
        "user": vehicle.user,
        "name": vehicle.name,
        "capacity_wh": vehicle.capacity_wh,
        "max_charge_w": vehicle.max_charge_w,
        "max_discharge_w": vehicle.max_discharge_w,
        "charge_efficiency": vehicle.charge_efficiency,
        "discharge_efficiency": vehicle.discharge_efficiency,
    }
    upsert(conn, VEHICLE, row)


def add_terminal(conn: Connection, token_hash: str, user: UserId, at: datetime) -> None:
    """Link a terminal, known by the hash of its token, to a user (P1)."""
    upsert(conn, TERMINAL, {"token_hash": token_hash, "user": user, "created_at": micros(at)})


def save_pattern(conn: Connection, user: UserId, pattern: Pattern) -> None:
    """A user's named conditions; the same name again replaces them (P10)."""
    conditions = to_json(CONDITIONS, pattern.conditions)
    upsert(conn, PATTERN, {"user": user, "name": pattern.name, "conditions": conditions, "prepared": pattern.prepared})


def upsert_id_token(conn: Connection, record: IdTokenRecord) -> None:
    """What is known of an id token, whatever its case (V2G-31)."""
    row = {
        "key": record.token.strip().upper(),
        "token": record.token,
        "type": record.type.value,
        "status": record.status.value,
        "expires_at": micros(record.expires_at),
        "group": record.group,
        "user": record.user,
        "vehicle": record.vehicle,
    }
    upsert(conn, ID_TOKEN, row)
