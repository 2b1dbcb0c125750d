"""What was decided, with the reasons. Requirement: every decision can be explained (mission, must hold 4)."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from csms.domain.frequent import frequent
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


@dataclass(frozen=True, slots=True)
class Part:
    """What one of several DR events moves of one setpoint: W > 0 in its direction, at its frozen unit price (P11)."""

    event: DrEventId
    power_w: int
    price_per_kwh: Decimal


Parts = tuple[Part, ...]


def parts_within(parts: Parts, power_w: int) -> Parts:
    """The same parts where this much is moved in all: of less, the last to be moved is given up first; more is the
    first one's."""
    found: list[Part] = []
    more_w = max(0, power_w - sum(part.power_w for part in parts))
    for part in parts:
        kept = min(part.power_w + more_w, power_w - sum(each.power_w for each in found))
        more_w = 0
        if kept > 0:
            found.append(replace(part, power_w=kept))
    return tuple(found)


@frequent
class Setpoint:
    """Power wanted at one EVSE, W, + into the vehicle. ``counterfactual_w``: what would flow without any DR event.

    ``event``: the DR event that moved it from there, the most important one of several. ``price_per_kwh``: the unit
    price of what that event moves, frozen now (P11); None = the tariff. ``parts``: where several events moved it, what
    each did, from the counterfactual on, so that discharging comes last; () = ``event`` moved all of it. Each watt
    belongs to one event.
    """

    evse: EvseRef
    setpoint_w: int
    counterfactual_w: int
    expires_at: datetime
    reasons: tuple[Reason, ...] = ()
    event: DrEventId | None = None
    price_per_kwh: Decimal | None = None
    parts: Parts = ()

    @property
    def events(self) -> tuple[DrEventId, ...]:
        """All that moved it, the most important one first."""
        return events_of(self.event, self.parts)

    def with_power(self, power_w: int) -> "Setpoint":
        """The same, moved to another power."""
        if not self.parts:
            return self if power_w == self.setpoint_w else replace(self, setpoint_w=power_w)
        sign = 1 if self.setpoint_w > self.counterfactual_w else -1
        kept = parts_within(self.parts, sign * (power_w - self.counterfactual_w))
        return replace(self, setpoint_w=power_w, parts=kept)


def events_of(event: DrEventId | None, parts: Parts) -> tuple[DrEventId, ...]:
    """The events of a setpoint, each once, the most important one first."""
    return () if event is None else tuple(dict.fromkeys([event, *(part.event for part in parts)]))


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
