"""The life of a setpoint: desired, acknowledged and observed are three things (design §4, V2G-12)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from csms.domain.decision import Parts, Reason, events_of
from csms.domain.frequent import frequent
from csms.domain.ids import DrEventId, EvseRef, PlugInId, TransactionId
from csms.domain.station import SetpointDriver


class SetpointState(StrEnum):
    """How far a setpoint got. Only OBSERVED power counts for DR, incentives and money."""

    DESIRED = "desired"
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    UNANSWERED = "unanswered"
    OBSERVED = "observed"
    NOT_FOLLOWED = "not_followed"


@frequent
class SetpointRecord:
    """One setpoint sent to one EVSE, with the why. ``observed_w`` is metered net power, + into the vehicle.

    ``price_per_kwh`` and ``parts``: see ``decision.Setpoint``.
    """

    id: str
    evse: EvseRef
    plug_in: PlugInId | None
    transaction: TransactionId | None
    event: DrEventId | None
    decided_at: datetime
    desired_w: int
    counterfactual_w: int
    expires_at: datetime
    driver: SetpointDriver
    reasons: tuple[Reason, ...]
    state: SetpointState = SetpointState.DESIRED
    acknowledged_at: datetime | None = None
    refusal: str = ""
    observed_w: int | None = None
    observed_at: datetime | None = None
    price_per_kwh: Decimal | None = None
    parts: Parts = ()

    @property
    def events(self) -> tuple[DrEventId, ...]:
        """All that moved it, the most important one first."""
        return events_of(self.event, self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRecord:
    """One transaction as stored. ``ended_at`` None = running."""

    station: str
    id: TransactionId
    evse: EvseRef | None
    token: str | None
    started_at: datetime | None
    ended_at: datetime | None
    meter_start_wh: int | None
    meter_stop_wh: int | None
    stopped_reason: str
    incomplete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DrResult:
    """One DR interval's result at one EVSE, in Wh; allotted and delivered are in the event's direction.

    ``within_wh``: the part of what was delivered that was allotted, >= 0.
    """

    event: DrEventId
    evse: EvseRef
    period_start: datetime
    period_end: datetime
    counterfactual_wh: Decimal
    metered_wh: Decimal
    delivered_wh: Decimal
    quality: str
    allotted_wh: Decimal = Decimal(0)
    within_wh: Decimal = Decimal(0)
