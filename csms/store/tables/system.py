"""What the server keeps about its own work."""

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, row_id


class SecretRow(SQLModel, table=True):
    """A secret the server made for itself, such as the key that signs the EVSE links."""

    __tablename__ = "secret"

    name: str = Field(primary_key=True)
    value: str


class CallLogRow(SQLModel, table=True):
    """A call made by hand and how it ended; ``payload`` is JSON."""

    __tablename__ = "call_log"
    __table_args__ = (Index("ix_call_log_station", "station", "id"),)

    id: int | None = row_id()
    station: str
    action: str
    payload: str
    outcome: str
    at: int = big()
    by: str


class QuarantineRow(SQLModel, table=True):
    """What could not be understood or stored, raw (V2G-39). ``digest``: of action and raw text."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("station", "digest", name="uq_quarantine"),)

    id: int | None = row_id()
    station: str
    message_id: str
    received_at: int | None = big(default=None)
    action: str
    raw: str
    why: str
    evse: int | None = None
    fields: str
    digest: int = big()


class IdempotencyRow(SQLModel, table=True):
    """The answer to a POST with an Idempotency-Key; ``fingerprint`` tells another request with the same key."""

    __tablename__ = "idempotency"

    key: str = Field(primary_key=True)
    fingerprint: str
    status: int
    body: str
    at: int = big(index=True)
