"""Callers of the API, and what the server keeps for itself."""

from typing import NamedTuple

from sqlalchemy import Connection, select

from csms.store.tables import API_TOKEN, IDEMPOTENCY, SECRET


def api_token(conn: Connection, token_hash: str) -> tuple[str, str] | None:
    """(scope, name) of a bearer token, or None."""
    c = API_TOKEN.c
    row = conn.execute(select(c.scope, c.name).where(c.token_hash == token_hash)).one_or_none()
    return None if row is None else (row.scope, row.name)


def secret(conn: Connection, name: str) -> str | None:
    """A secret the server made for itself."""
    return conn.execute(select(SECRET.c.value).where(SECRET.c.name == name)).scalar()


class EarlierAnswer(NamedTuple):
    """The answer an Idempotency-Key has got already."""

    fingerprint: str
    status: int
    body: str


def idempotency(conn: Connection, key: str) -> EarlierAnswer | None:
    """The answer stored by ``save_idempotency``, or None."""
    c = IDEMPOTENCY.c
    row = conn.execute(select(c.fingerprint, c.status, c.body).where(c.key == key)).one_or_none()
    return None if row is None else EarlierAnswer(row.fingerprint, row.status, row.body)
