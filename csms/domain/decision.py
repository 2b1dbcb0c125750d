"""What was decided, with the reasons. Requirement: every decision can be explained (mission, must hold 4)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from csms.domain.ids import DrEventId, EvseRef, SiteId
from csms.domain.snapshot import Virtual


class Reason(StrEnum):
    """Why a setpoint is what it is, or why an event got less than it asked for."""

    NO_VEHICLE = "no_vehicle"
    AWAITING_PERMISSION = "awaiting_permission"
    NOT_PERMITTED = "not_permitted"
    PLAIN_CHARGING = "plain_charging"
    REQUIRED_CHARGE = "required_charge"
    CHARGING_WITHIN_PRICE = "charging_within_price"
    PRICE_ABOVE_MAX_BUY = "price_above_max_buy"
    PRICE_BELOW_MIN_SELL = "price_below_min_sell"
    CHEAPER_LATER = "cheaper_later"
    FULL = "full"
    AT_REQUIRED_CHARGE = "at_required_charge"
    SOC_UNKNOWN = "soc_unknown"
    CANNOT_DISCHARGE = "cannot_discharge"
    SITE_IMPORT_LIMIT = "site_import_limit"
    SITE_EXPORT_LIMIT = "site_export_limit"
    BELOW_MINIMUM_POWER = "below_minimum_power"
    NOT_FOLLOWING = "not_following"
    DR_STOP_CHARGING = "dr_stop_charging"
    DR_DISCHARGE = "dr_discharge"
    DR_CHARGE = "dr_charge"
    DR_SHORTFALL = "dr_shortfall"
    FAILSAFE_LIMIT = "failsafe"
    PROBE = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setpoint:
    """Power wanted at one EVSE, W, + into the vehicle. ``counterfactual_w``: what would flow without any DR event.

    ``event``: the DR event that moved it from there. ``price_per_kwh``: the unit price of what that event moves, frozen
    now (P11); None = the tariff.
    """

    evse: EvseRef
    setpoint_w: int
    counterfactual_w: int
    expires_at: datetime
    reasons: tuple[Reason, ...] = ()
    event: DrEventId | None = None
    price_per_kwh: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShare:
    """One DR event in one decision: W asked for, possible and allotted, all >= 0, in the event's direction."""

    event: DrEventId
    requested_w: int
    capacity_w: int
    allotted_w: int
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One setpoint per EVSE of the snapshot, in its order.

    ``virtual``: the counterfactual, to be given to the next snapshot. ``policies``: names and versions of the plugs
    that decided, as ``"objective=merit-1 baseline=frozen-1 …"``.
    """

    at: datetime
    setpoints: tuple[Setpoint, ...]
    events: tuple[EventShare, ...] = ()
    virtual: tuple[Virtual, ...] = ()
    policies: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A hard rule that a decision would break. ``rule`` is a short fixed name, ``text`` says the figures."""

    rule: str
    text: str
    evse: EvseRef | None = None
    site: SiteId | None = None
