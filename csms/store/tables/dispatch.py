"""Plug-ins, permissions, decisions and setpoints."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, row_id


class PlugInRow(SQLModel, table=True):
    """A plug-in with the newest state of its permission; ``conditions`` is JSON."""

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


class PermissionHistoryRow(SQLModel, table=True):
    """Every state a permission was in, as JSON, in order."""

    __tablename__ = "permission_history"

    id: int | None = row_id()
    plug_in: str = Field(foreign_key="plug_in.id", index=True)
    state: str
    permission: str


class DecisionRow(SQLModel, table=True):
    """One decision; its setpoints are kept where they were sent, in ``setpoint``."""

    __tablename__ = "decision"

    id: int | None = row_id()
    at: int = big(index=True)
    evses: int


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
    """One setpoint for one EVSE: desired, acknowledged, observed (design §4)."""

    __tablename__ = "setpoint"
    __table_args__ = (
        Index("ix_setpoint_evse", "station", "evse", "decided_at"),
        Index("ix_setpoint_event", "event", "decided_at"),
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
    refusal: str
    observed_w: int | None = None
    observed_at: int | None = big(default=None)
