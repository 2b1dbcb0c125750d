"""Stations, their EVSEs, their boots, and the calls made by hand."""

from sqlalchemy import Index, UniqueConstraint, true
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, later, row_id


class StationRow(SQLModel, table=True):
    """A provisioned station and its last BootNotification. ``quirks``: its own, by the operator, and ``learnt``: what
    it has shown of its ways, both JSON of fields of Quirks."""

    __tablename__ = "station"

    id: str = Field(primary_key=True)
    site: str
    host: str | None = None
    password_hash: str | None = None
    version: str | None = None
    registration: str
    boot_state: str
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    last_heard_at: int | None = big(default=None)
    failsafe_limit_w: int | None = None
    quirks: str = later("{}", "{}")
    learnt: str = later("{}", "{}")
    set_up_as: str | None = None


class EvseRow(SQLModel, table=True):
    """A configured EVSE with its ratings; ``allowed`` is a JSON list of users."""

    __tablename__ = "evse"

    station: str = Field(primary_key=True, foreign_key="station.id")
    evse: int = Field(primary_key=True)
    site: str
    connectors: int
    public: bool
    on_refusal: str | None = None
    on_no_answer: str | None = None
    allowed: str = later("[]", "[]")
    current: str
    phases: int
    voltage_v: int
    max_charge_w: int
    min_charge_w: int
    max_discharge_w: int
    approved: bool = later(default=True, sql_default=true())


class BootRow(SQLModel, table=True):
    """One BootNotification and what it was answered."""

    __tablename__ = "boot"
    __table_args__ = (UniqueConstraint("station", "message_id", "received_at", name="uq_boot"),)

    id: int | None = row_id()
    station: str
    message_id: str
    received_at: int = big()
    version: str
    vendor: str
    model: str
    serial: str
    firmware: str
    reason: str
    state: str


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
