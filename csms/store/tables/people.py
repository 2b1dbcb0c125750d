"""Users, what is theirs, and who may call the API."""

from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big


class UserRow(SQLModel, table=True):
    """A person."""

    __tablename__ = "user"

    id: str = Field(primary_key=True)
    name: str
    language: str
    created_at: int = big()


class TerminalRow(SQLModel, table=True):
    """A phone, in-vehicle screen or panel, known by the hash of its token."""

    __tablename__ = "terminal"

    token_hash: str = Field(primary_key=True)
    user: str = Field(foreign_key="user.id", index=True)
    created_at: int = big()


class VehicleRow(SQLModel, table=True):
    """A vehicle and its battery."""

    __tablename__ = "vehicle"

    id: str = Field(primary_key=True)
    user: str = Field(foreign_key="user.id", index=True)
    name: str
    capacity_wh: int
    max_charge_w: int
    max_discharge_w: int
    charge_efficiency: float
    discharge_efficiency: float


class PatternRow(SQLModel, table=True):
    """A user's named conditions, as JSON (P10)."""

    __tablename__ = "pattern"

    user: str = Field(primary_key=True, foreign_key="user.id")
    name: str = Field(primary_key=True)
    conditions: str
    prepared: bool


class IdTokenRow(SQLModel, table=True):
    """An id token; ``key`` is its value in capitals (V2G-31)."""

    __tablename__ = "id_token"

    key: str = Field(primary_key=True)
    token: str
    type: str
    status: str
    expires_at: int | None = big(default=None)
    group: str | None = None
    user: str | None = Field(default=None, foreign_key="user.id")
    vehicle: str | None = Field(default=None, foreign_key="vehicle.id")


class ApiTokenRow(SQLModel, table=True):
    """A bearer token, by its hash."""

    __tablename__ = "api_token"

    token_hash: str = Field(primary_key=True)
    scope: str
    name: str
    created_at: int = big()
