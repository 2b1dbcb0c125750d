"""Stations, their EVSEs and what they said about themselves."""

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, row_id


class StationRow(SQLModel, table=True):
    """A provisioned station and its last BootNotification."""

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


class EvseRow(SQLModel, table=True):
    """A configured EVSE with its ratings."""

    __tablename__ = "evse"

    station: str = Field(primary_key=True, foreign_key="station.id")
    evse: int = Field(primary_key=True)
    site: str
    connectors: int
    public: bool
    current: str
    phases: int
    voltage_v: int
    max_charge_w: int
    min_charge_w: int
    max_discharge_w: int


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


class StatusRow(SQLModel, table=True):
    """One reported connector status. The newest row of a connector is its state: a replay adds none."""

    __tablename__ = "status"
    __table_args__ = (
        UniqueConstraint("station", "evse", "connector", "at", "status", "error_code", name="uq_status"),
        Index("ix_status_newest", "station", "evse", "connector", "id"),
    )

    id: int | None = row_id()
    station: str
    evse: int
    connector: int
    status: str
    at: int = big()
    received_at: int = big()
    message_id: str
    error_code: str
    info: str


class NoticeRow(SQLModel, table=True):
    """What a station told besides: charging needs, vendor data. ``content`` is JSON."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("station", "kind", "message_id", "received_at", name="uq_notice"),
        Index("ix_notice_station", "station", "id"),
    )

    id: int | None = row_id()
    station: str
    kind: str
    message_id: str
    received_at: int = big()
    content: str


class ProbeRow(SQLModel, table=True):
    """Newest discharge probe of an EVSE for one firmware (V2G-8)."""

    __tablename__ = "probe"

    station: str = Field(primary_key=True)
    evse: int = Field(primary_key=True)
    firmware: str = Field(primary_key=True)
    state: str
    at: int = big()
