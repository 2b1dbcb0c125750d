"""People, what is theirs, plug-ins and permissions."""

from sqlalchemy import Index, false
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, later, row_id


class PlugInRow(SQLModel, table=True):
    """A plug-in with the newest state of its permission; ``conditions`` and ``evidence`` are JSON."""

    __tablename__ = "plug_in"
    __table_args__ = (
        Index("ix_plug_in_user", "user", "plugged_at"),
        Index("ix_plug_in_open", "unplugged_at"),
        Index("ix_plug_in_evse", "station", "evse", "plugged_at"),
    )

    id: str = Field(primary_key=True)
    station: str
    evse: int
    connector: int
    plugged_at: int = big()
    unplugged_at: int | None = big(default=None)
    user: str | None = Field(default=None, foreign_key="user.id")
    vehicle: str | None = Field(default=None, foreign_key="vehicle.id")
    transaction: str | None = None
    permission_state: str
    asked_at: int | None = big(default=None)
    expires_at: int | None = big(default=None)
    answered_at: int | None = big(default=None)
    channel: str | None = None
    text_version: str
    conditions: str | None = None
    departure_at: int | None = big(default=None)
    soc_at_start_percent: float | None = None
    soc_percent: float | None = None
    soc_at: int | None = big(default=None)
    stated_soc_percent: float | None = None
    participating_since: int | None = big(default=None)
    pattern: str | None = None
    revised_at: int | None = big(default=None)
    evidence: str | None = None


class PermissionHistoryRow(SQLModel, table=True):
    """Every state a permission was in, as JSON, in order."""

    __tablename__ = "permission_history"

    id: int | None = row_id()
    plug_in: str = Field(foreign_key="plug_in.id", index=True)
    state: str
    permission: str


class UserRow(SQLModel, table=True):
    """A person."""

    __tablename__ = "user"

    id: str = Field(primary_key=True)
    name: str
    language: str
    created_at: int = big()


class TerminalRow(SQLModel, table=True):
    """A phone, in-vehicle screen or panel, known by the hash of its token. ``name`` is what its user calls it."""

    __tablename__ = "terminal"

    token_hash: str = Field(primary_key=True)
    user: str = Field(foreign_key="user.id", index=True)
    created_at: int = big()
    name: str | None = None


class LinkCodeRow(SQLModel, table=True):
    """A short code that links a terminal to a user, or, where ``vehicle`` is set, another user to a vehicle (P1).

    Only its hash is kept; used once, the row is gone.
    """

    __tablename__ = "link_code"

    code_hash: str = Field(primary_key=True)
    user: str = Field(foreign_key="user.id")
    vehicle: str | None = Field(default=None, foreign_key="vehicle.id")
    expires_at: int = big()


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
    plate: str | None = None
    vin: str | None = None
    deleted: bool = later(False, false())


class VehicleUserRow(SQLModel, table=True):
    """A user who shares a vehicle with its owner (P1)."""

    __tablename__ = "vehicle_user"

    vehicle: str = Field(primary_key=True, foreign_key="vehicle.id")
    user: str = Field(primary_key=True, foreign_key="user.id", index=True)


class PatternRow(SQLModel, table=True):
    """A user's named conditions, as JSON (P10); ``vehicle`` empty = for all vehicles of the user.

    ``chosen``: the one that is used at the next plug-in.
    """

    __tablename__ = "pattern"

    user: str = Field(primary_key=True, foreign_key="user.id")
    name: str = Field(primary_key=True)
    vehicle: str = Field(primary_key=True, default="")
    conditions: str
    prepared: bool
    chosen: bool = False


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
