"""Decisions, setpoints and discharge probes."""

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, row_id

_IS_SHARED = text("parts IS NOT NULL")


class ProbeRow(SQLModel, table=True):
    """Newest discharge probe of an EVSE for one firmware (V2G-8)."""

    __tablename__ = "probe"

    station: str = Field(primary_key=True)
    evse: int = Field(primary_key=True)
    firmware: str = Field(primary_key=True)
    state: str
    at: int = big()


class DecisionRow(SQLModel, table=True):
    """One decision; its setpoints are kept where they were sent, in ``setpoint``."""

    __tablename__ = "decision"

    id: int | None = row_id()
    at: int = big(index=True)
    evses: int
    policies: str | None = None


class CounterfactualRow(SQLModel, table=True):
    """One vehicle in the world without the events that run now, as the newest decision left it."""

    __tablename__ = "counterfactual"

    station: str = Field(primary_key=True)
    evse: int = Field(primary_key=True)
    plug_in: str
    frozen_at: int = big()
    at: int = big()
    energy_wh: float
    added_wh: float
    power_w: int


class EventShareRow(SQLModel, table=True):
    """What one decision gave one DR event."""

    __tablename__ = "event_share"

    decision: int = big(primary_key=True, foreign_key="decision.id")
    event: str = Field(primary_key=True, index=True)
    requested_w: int
    capacity_w: int
    allotted_w: int
    reasons: str


class ViolationRow(SQLModel, table=True):
    """A hard rule that a decision would have broken; it was not dispatched."""

    __tablename__ = "violation"

    id: int | None = row_id()
    decision: int = big(foreign_key="decision.id", index=True)
    rule: str
    text: str
    station: str | None = None
    evse: int | None = None
    site: str | None = None


class SetpointRow(SQLModel, table=True):
    """One setpoint for one EVSE: desired, acknowledged, observed (design §4). ``parts``: where DR events share it, what
    each moved, as JSON [[event, W, price per kWh], …]."""

    __tablename__ = "setpoint"
    __table_args__ = (
        Index("ix_setpoint_evse", "station", "evse", "decided_at"),
        Index("ix_setpoint_event", "event", "decided_at"),
        Index("ix_setpoint_decided", "decided_at"),
        Index("ix_setpoint_shared", "decided_at", sqlite_where=_IS_SHARED, postgresql_where=_IS_SHARED),
    )

    id: str = Field(primary_key=True)
    station: str
    evse: int
    plug_in: str | None = None
    transaction: str | None = None
    event: str | None = None
    decided_at: int = big()
    desired_w: int
    counterfactual_w: int
    expires_at: int = big()
    driver: str
    reasons: str
    state: str
    acknowledged_at: int | None = big(default=None)
    price_per_kwh: str | None = None
    parts: str | None = None
    refusal: str
    observed_w: int | None = None
    observed_at: int | None = big(default=None)
