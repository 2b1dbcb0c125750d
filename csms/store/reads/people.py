"""Reads about people and who may call the API."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from csms.domain.answers import TokenStatus
from csms.domain.conditions import Pattern
from csms.domain.facts import TokenType
from csms.domain.ids import UserId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.store.tables import API_TOKEN, ID_TOKEN, IDEMPOTENCY, PATTERN, SECRET, TERMINAL, USER, VEHICLE
from csms.store.values import CONDITIONS, instant


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
    """A user's vehicles, by id."""
    rows = conn.execute(select(VEHICLE).where(VEHICLE.c.user == user).order_by(VEHICLE.c.id))
    return [Vehicle(**row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's documented way to a mapping


def patterns(conn: Connection, user: UserId) -> list[Pattern]:
    """A user's named conditions, by name."""
    rows = conn.execute(select(PATTERN).where(PATTERN.c.user == user).order_by(PATTERN.c.name))
    return [
        Pattern(name=row.name, conditions=CONDITIONS.validate_json(row.conditions), prepared=row.prepared)
        for row in rows
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
