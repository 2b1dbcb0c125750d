"""What is written about people and who may call the API."""

from datetime import datetime

from sqlalchemy import Connection

from csms.domain.conditions import Pattern
from csms.domain.ids import UserId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.store.sql import insert_new, upsert
from csms.store.tables import API_TOKEN, ID_TOKEN, IDEMPOTENCY, PATTERN, SECRET, TERMINAL, USER, VEHICLE
from csms.store.values import CONDITIONS, micros, to_json


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


def add_api_token(conn: Connection, token_hash: str, scope: str, name: str, at: datetime) -> None:
    """A bearer token of the API, by its hash."""
    upsert(conn, API_TOKEN, {"token_hash": token_hash, "scope": scope, "name": name, "created_at": micros(at)})


def put_secret(conn: Connection, name: str, value: str) -> None:
    """Keep a secret that the server made for itself; the same name again replaces it."""
    upsert(conn, SECRET, {"name": name, "value": value})


def save_idempotency(conn: Connection, key: str, fingerprint: str, status: int, body: str, at: datetime) -> bool:
    """Keep the answer to a POST with an Idempotency-Key; False when the key has an answer already.

    ``fingerprint`` is a hash of caller, method, path and body, by which the same key on another request is told.
    """
    row = {"key": key, "fingerprint": fingerprint, "status": status, "body": body, "at": micros(at)}
    return insert_new(conn, IDEMPOTENCY, row)
