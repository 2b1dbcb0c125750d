"""What is written about callers of the API, and for the server itself."""

from datetime import datetime

from sqlalchemy import Connection, select

from csms.store.sql import insert_new, upsert
from csms.store.tables import API_TOKEN, IDEMPOTENCY, SECRET
from csms.store.values import micros


def add_api_token(conn: Connection, token_hash: str, scope: str, name: str, at: datetime) -> None:
    """A bearer token of the API, by its hash."""
    upsert(conn, API_TOKEN, {"token_hash": token_hash, "scope": scope, "name": name, "created_at": micros(at)})


def put_secret(conn: Connection, name: str, value: str) -> None:
    """Keep a secret that the server made for itself; the same name again replaces it."""
    upsert(conn, SECRET, {"name": name, "value": value})


def secret_once(conn: Connection, name: str, value: str) -> str:
    """The secret of this name; ``value`` becomes it where there is none yet."""
    insert_new(conn, SECRET, {"name": name, "value": value})
    return str(conn.execute(select(SECRET.c.value).where(SECRET.c.name == name)).scalar_one())


def save_idempotency(conn: Connection, key: str, fingerprint: str, status: int, body: str, at: datetime) -> bool:
    """Keep the answer to a POST with an Idempotency-Key; False when the key has an answer already.

    ``fingerprint`` is a hash of caller, method, path and body, by which the same key on another request is told.
    """
    row = {"key": key, "fingerprint": fingerprint, "status": status, "body": body, "at": micros(at)}
    return insert_new(conn, IDEMPOTENCY, row)
