"""Who may call the API, and what the server keeps for itself."""

from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big


class ApiTokenRow(SQLModel, table=True):
    """A bearer token, by its hash."""

    __tablename__ = "api_token"

    token_hash: str = Field(primary_key=True)
    scope: str
    name: str
    created_at: int = big()


class SecretRow(SQLModel, table=True):
    """A secret the server made for itself, such as the key that signs the EVSE links."""

    __tablename__ = "secret"

    name: str = Field(primary_key=True)
    value: str


class IdempotencyRow(SQLModel, table=True):
    """The answer to a POST with an Idempotency-Key; ``fingerprint`` tells another request with the same key."""

    __tablename__ = "idempotency"

    key: str = Field(primary_key=True)
    fingerprint: str
    status: int
    body: str
    at: int = big(index=True)
