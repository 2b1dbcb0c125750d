"""What is written about people, their plug-ins and permissions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from csms.domain.conditions import Pattern
from csms.domain.ids import PlugInId, UserId, VehicleId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.domain.permission import Evidence, PlugIn
from csms.store.sql import upsert
from csms.store.tables import (
    ID_TOKEN,
    LINK_CODE,
    PATTERN,
    PERMISSION_HISTORY,
    PLUG_IN,
    TERMINAL,
    USER,
    VEHICLE,
    VEHICLE_USER,
)
from csms.store.values import CONDITIONS, EVIDENCE, PERMISSION, micros, to_json


def save_plug_in(conn: Connection, plug_in: PlugIn) -> None:
    """A plug-in as it is now; a changed permission is also appended to its history (V2G-28)."""
    upsert(conn, PLUG_IN, _told_row(plug_in) | _answer_row(plug_in))
    _append_permission(conn, plug_in)


def note_plug_in(conn: Connection, plug_in: PlugIn) -> None:
    """What the station tells of a plug-in; its user and their answer are left as they are stored."""
    told = _told_row(plug_in)
    upsert(conn, PLUG_IN, told | _answer_row(plug_in), [name for name in told if name != "id"])


def save_answer(conn: Connection, plug_in: PlugIn) -> None:
    """Whose plug-in it is and what the user says of it; what the station tells is left as it is stored."""
    answer = _answer_row(plug_in)
    upsert(conn, PLUG_IN, _told_row(plug_in) | answer, list(answer))
    _append_permission(conn, plug_in)


def save_evidence(conn: Connection, plug_in: PlugInId, evidence: Evidence) -> None:
    """How it is known whose plug-in it is, and nothing else of it: an answer may be about to be stored."""
    row = {"evidence": to_json(EVIDENCE, evidence)}
    conn.execute(update(PLUG_IN).where(PLUG_IN.c.id == plug_in).values(row))


def _append_permission(conn: Connection, plug_in: PlugIn) -> None:
    h = PERMISSION_HISTORY.c
    newest = select(h.permission).where(h.plug_in == plug_in.id).order_by(h.id.desc()).limit(1)
    permission = to_json(PERMISSION, plug_in.permission)
    if conn.execute(newest).scalar() != permission:
        row = {"plug_in": plug_in.id, "state": plug_in.permission.state.value, "permission": permission}
        conn.execute(PERMISSION_HISTORY.insert(), row)


def _told_row(plug_in: PlugIn) -> dict[str, Any]:
    return {
        "id": plug_in.id,
        "station": plug_in.evse.station,
        "evse": plug_in.evse.evse,
        "connector": plug_in.connector,
        "plugged_at": micros(plug_in.plugged_at),
        "unplugged_at": micros(plug_in.unplugged_at),
        "transaction": plug_in.transaction,
        "soc_at_start_percent": plug_in.soc_at_start_percent,
        "soc_percent": plug_in.soc_percent,
        "soc_at": micros(plug_in.soc_at),
    }


def _answer_row(plug_in: PlugIn) -> dict[str, Any]:
    permission = plug_in.permission
    return {
        "user": plug_in.user,
        "vehicle": plug_in.vehicle,
        "stated_soc_percent": plug_in.stated_soc_percent,
        "participating_since": micros(plug_in.participating_since),
        "permission_state": permission.state.value,
        "asked_at": micros(permission.asked_at),
        "expires_at": micros(permission.expires_at),
        "answered_at": micros(permission.answered_at),
        "channel": permission.channel.value if permission.channel else None,
        "text_version": permission.text_version,
        "conditions": to_json(CONDITIONS, permission.conditions) if permission.conditions else None,
        "departure_at": micros(permission.departure_at),
        "pattern": permission.pattern,
        "revised_at": micros(permission.revised_at),
        "evidence": to_json(EVIDENCE, plug_in.evidence),
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
        "plate": vehicle.plate,
        "vin": vehicle.vin,
        "deleted": False,
    }
    upsert(conn, VEHICLE, row, [name for name in row if name not in {"id", "user"}])


def change_vehicle(conn: Connection, vehicle: VehicleId, changed: Mapping[str, Any]) -> None:
    """The particulars that are given, by their names in ``Vehicle``, of a vehicle that is not deleted."""
    here = (VEHICLE.c.id == vehicle) & ~VEHICLE.c.deleted
    conn.execute(update(VEHICLE).where(here).values(dict(changed)))


def delete_vehicle(conn: Connection, vehicle: VehicleId) -> None:
    """It is no longer anybody's; what was recorded of it stays."""
    conn.execute(update(VEHICLE).where(VEHICLE.c.id == vehicle).values(deleted=True))
    conn.execute(delete(VEHICLE_USER).where(VEHICLE_USER.c.vehicle == vehicle))
    conn.execute(delete(PATTERN).where(PATTERN.c.vehicle == vehicle))
    conn.execute(delete(LINK_CODE).where(LINK_CODE.c.vehicle == vehicle))
    conn.execute(update(ID_TOKEN).where(ID_TOKEN.c.vehicle == vehicle).values(vehicle=None))


def share_vehicle(conn: Connection, vehicle: VehicleId, user: UserId) -> None:
    """Another user of a vehicle (P1)."""
    upsert(conn, VEHICLE_USER, {"vehicle": vehicle, "user": user}, ["user"])


def unshare_vehicle(conn: Connection, vehicle: VehicleId, user: UserId) -> None:
    """That user's no more: neither by a card or conditions of theirs, nor by a code that they may know."""
    for table in (VEHICLE_USER, PATTERN):
        conn.execute(delete(table).where(table.c.vehicle == vehicle, table.c.user == user))
    conn.execute(delete(LINK_CODE).where(LINK_CODE.c.vehicle == vehicle))
    theirs = (ID_TOKEN.c.vehicle == vehicle) & (ID_TOKEN.c.user == user)
    conn.execute(update(ID_TOKEN).where(theirs).values(vehicle=None))


def add_terminal(conn: Connection, token_hash: str, user: UserId, at: datetime, name: str = "") -> None:
    """Link a terminal, known by the hash of its token, to a user (P1)."""
    upsert(conn, TERMINAL, {"token_hash": token_hash, "user": user, "created_at": micros(at), "name": name})


def revoke_terminal(conn: Connection, user: UserId, token_hash: str) -> bool:
    """Whether the user had such a terminal; it is none any more, and no code that it may have made opens anything."""
    c = TERMINAL.c
    gone = delete(TERMINAL).where(c.user == user, c.token_hash == token_hash)
    if not conn.execute(gone).rowcount:
        return False
    conn.execute(delete(LINK_CODE).where(LINK_CODE.c.user == user))
    return True


def add_link_code(
    conn: Connection, code_hash: str, user: UserId, vehicle: VehicleId | None, at: datetime, expires_at: datetime
) -> None:
    """A code that somebody may use once, until it expires; those that have expired are forgotten."""
    conn.execute(delete(LINK_CODE).where(LINK_CODE.c.expires_at <= micros(at)))
    row = {"code_hash": code_hash, "user": user, "vehicle": vehicle, "expires_at": micros(expires_at)}
    upsert(conn, LINK_CODE, row)


def take_link_code(
    conn: Connection, code_hash: str, at: datetime, *, for_vehicle: bool
) -> tuple[UserId, VehicleId | None] | None:
    """Whose code it is, and the vehicle it is for; None = no such code now. It cannot be used again."""
    c = LINK_CODE.c
    is_kind = c.vehicle.is_not(None) if for_vehicle else c.vehicle.is_(None)
    valid = (c.code_hash == code_hash) & (c.expires_at > micros(at)) & is_kind
    row = conn.execute(select(c.user, c.vehicle).where(valid)).one_or_none()
    if row is None or not conn.execute(delete(LINK_CODE).where(valid)).rowcount:
        return None
    return UserId(row.user), None if row.vehicle is None else VehicleId(row.vehicle)


def save_pattern(conn: Connection, user: UserId, pattern: Pattern) -> None:
    """A user's named conditions; the same name again replaces them (P10). Where it is the chosen one, the one that was
    chosen before is not; where it is not, that stays as it is."""
    vehicle = pattern.vehicle or ""
    key = {"user": user, "name": pattern.name, "vehicle": vehicle}
    row = key | {"conditions": to_json(CONDITIONS, pattern.conditions), "prepared": pattern.prepared, "chosen": False}
    upsert(conn, PATTERN, row, ["conditions", "prepared"])
    if pattern.chosen:
        own = update(PATTERN).where(PATTERN.c.user == user, PATTERN.c.vehicle == vehicle)
        conn.execute(own.values(chosen=PATTERN.c.name == pattern.name))


def delete_pattern(conn: Connection, user: UserId, name: str, vehicle: VehicleId | None = None) -> bool:
    """Whether the user had such a pattern; it is gone."""
    c = PATTERN.c
    gone = delete(PATTERN).where(c.user == user, c.name == name, c.vehicle == (vehicle or ""))
    return bool(conn.execute(gone).rowcount)


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
