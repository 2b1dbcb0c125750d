"""What one EVSE may do: its limits and its user's conditions as powers, W, + into the vehicle, with the reasons.

Formulas: reference demand-response §6.1. The user's limits are hard, whatever the policy (P4-P9).
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil, floor

from csms.domain.decision import Reason
from csms.domain.dr import DrEvent
from csms.domain.snapshot import EvseState, Terms, Use
from policies.pricing import Market, least_sell

MARGIN_H = 0.5
"""Finish early: two intervals of 15 min, for the taper at the end of charging and for what does not come."""
MARGIN_SHARE = 0.2
"""The margin of short stays, as a share of the time that is left."""
UNKNOWN_EFFICIENCY = 0.9
"""Of charging a battery of which nothing is known."""
LEAST_DISCHARGE_W = 100
"""Less than this is not worth a discharge."""

RESTING = {
    Use.IDLE: Reason.NO_VEHICLE,
    Use.HELD: Reason.AWAITING_PERMISSION,
    Use.NOTHING: Reason.NOT_PERMITTED,
}
"""Uses in which nothing flows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corridor:
    """Bounds of one EVSE's power without any DR event, and where in them it would be.

    ``least_w``: what flows whatever is asked (a station that cannot pause). ``required_w``: charging needed now to
    reach the required charge in time. ``wanted_w``: charging wanted while the price is within the conditions, >= must.
    ``minimum_w``: the least power that is not zero. ``uncontrolled_w``: the station takes this, whatever it is told.
    """

    least_w: int = 0
    required_w: int = 0
    wanted_w: int = 0
    minimum_w: int = 0
    uncontrolled_w: int | None = None
    reasons: tuple[Reason, ...] = ()


def corridor(evse: EvseState, market: Market) -> Corridor:
    """The corridor of one EVSE without DR."""
    if evse.use is Use.IDLE:
        return Corridor(reasons=(Reason.NO_VEHICLE,))
    minimum_w = max(1, least_power_w(evse))
    least_w = 0 if evse.can_pause or evse.use is Use.NOTHING else least_power_w(evse)
    must = _at_least_minimum(required_w(evse, market), minimum_w, up_to_w=most_w(evse, market))
    wanted, reason = wanted_charge(evse, market)
    reasons = (Reason.REQUIRED_CHARGE, reason) if must else (reason,)
    if evse.uncontrolled_w is not None:
        reasons = (Reason.NOT_FOLLOWING, *reasons)
    return Corridor(
        least_w=least_w,
        required_w=max(must, least_w),
        wanted_w=max(wanted, must, least_w),
        minimum_w=minimum_w,
        uncontrolled_w=evse.uncontrolled_w,
        reasons=reasons,
    )


def _at_least_minimum(power_w: int, minimum_w: int, *, up_to_w: int) -> int:
    """A required power is rounded up to the least one there is, unless the battery has no room for it."""
    stepped = max(power_w, minimum_w) if power_w > 0 else 0
    return stepped if stepped <= up_to_w else 0


def charge_power_w(evse: EvseState) -> int:
    """Rated charging power of EVSE and vehicle together."""
    rated = evse.ratings.max_charge_w
    return min(rated, evse.battery.max_charge_w) if evse.battery else rated


def least_power_w(evse: EvseState) -> int:
    """The least charging power that is not zero."""
    return min(evse.ratings.min_charge_w, charge_power_w(evse))


def most_w(evse: EvseState, market: Market) -> int:
    """Most charging power that neither breaks a rating nor overfills the battery within the horizon."""
    power = charge_power_w(evse)
    if evse.battery is None:
        return power
    room_wh = evse.battery.capacity_wh - evse.battery.energy_wh
    return max(0, min(power, floor(room_wh / (evse.battery.charge_efficiency * market.horizon_h))))


def need_wh(evse: EvseState) -> float:
    """Energy the battery lacks to its required charge, at the AC side. A battery that tells nothing may be empty."""
    if evse.use is not Use.RESOURCE:
        return 0.0
    if evse.battery is None:
        return evse.terms.required_wh / UNKNOWN_EFFICIENCY
    return max(0.0, evse.terms.required_wh - evse.battery.energy_wh) / evse.battery.charge_efficiency


def spare_hours(terms: Terms, market: Market) -> float:
    """Hours left for charging after this horizon, less the margin; 0 when no departure is known (P7)."""
    if terms.departure_at is None:
        return 0.0
    left_h = (terms.departure_at - market.now).total_seconds() / 3600
    return max(0.0, left_h - market.horizon_h - min(MARGIN_H, MARGIN_SHARE * left_h))


def required_w(evse: EvseState, market: Market) -> int:
    """Charging power needed during this horizon so that the required charge is reached before departure."""
    later_wh = charge_power_w(evse) * spare_hours(evse.terms, market)
    lacking_wh = need_wh(evse) - later_wh
    return min(most_w(evse, market), ceil(max(0.0, lacking_wh) / market.horizon_h))


def required_charge_w(evse: EvseState, market: Market) -> int:
    """Most power that only charges up to the required charge; its last step is made at the least power there is."""
    need = need_wh(evse)
    if need <= 0:
        return 0
    power = max(floor(need / market.horizon_h), least_power_w(evse))
    return min(power, most_w(evse, market))


def wanted_charge(evse: EvseState, market: Market) -> tuple[int, Reason]:
    """Charging power wanted without any DR event, and why. Below the least power it is zero."""
    if evse.use in RESTING:
        return 0, RESTING[evse.use]
    power, reason = _plain(evse, market) if evse.use is Use.PLAIN else _within_conditions(evse, market)
    if 0 < power < least_power_w(evse):
        return 0, Reason.FULL if power == most_w(evse, market) else Reason.BELOW_MINIMUM_POWER
    return power, reason


def _plain(evse: EvseState, market: Market) -> tuple[int, Reason]:
    power = most_w(evse, market)
    return power, Reason.PLAIN_CHARGING if power else Reason.FULL


def _within_conditions(evse: EvseState, market: Market) -> tuple[int, Reason]:
    limit, reason = charge_limit(evse, market, market.tariff_per_kwh)
    if limit == 0 or not _is_better_later(evse, market):
        return limit, reason
    return 0, Reason.CHEAPER_LATER


def charge_limit(evse: EvseState, market: Market, price_per_kwh: Decimal) -> tuple[int, Reason]:
    """Most charging power the user's conditions allow at this price, and why (P6, P7)."""
    most = most_w(evse, market)
    if most == 0:
        return 0, Reason.FULL
    required = required_charge_w(evse, market)
    if not evse.terms.charge:
        return required, Reason.REQUIRED_CHARGE if required else Reason.NOT_PERMITTED
    if evse.terms.entrust or is_price_within(evse.terms, price_per_kwh):
        return most, Reason.CHARGING_WITHIN_PRICE
    return required, Reason.REQUIRED_CHARGE if required else Reason.PRICE_ABOVE_MAX_BUY


def is_price_within(terms: Terms, price_per_kwh: Decimal) -> bool:
    """The price is at or below the user's maximum (P6)."""
    return terms.max_buy_per_kwh is None or price_per_kwh <= terms.max_buy_per_kwh


def _is_better_later(evse: EvseState, market: Market) -> bool:
    """Waiting costs less and what is wanted still fits: for entrusted vehicles in the cheaper hours before departure;
    for a required charge above the maximum price in the hours within it. A battery that tells nothing may need nothing:
    it waits as long as an empty one could."""
    terms = evse.terms
    if terms.departure_at is None:
        return False
    if evse.battery is None:
        return not terms.entrust and not is_price_within(terms, market.tariff_per_kwh)
    power = charge_power_w(evse)
    if terms.entrust:
        lacking_wh = (evse.battery.capacity_wh - evse.battery.energy_wh) / evse.battery.charge_efficiency
        return market.cheaper_hours(market.tariff_per_kwh, terms.departure_at) * power >= lacking_wh
    if terms.max_buy_per_kwh is None or is_price_within(terms, market.tariff_per_kwh):
        return False
    return market.cheapest_later(terms.departure_at) <= terms.max_buy_per_kwh


def discharge_limit(evse: EvseState, market: Market, event: DrEvent) -> tuple[int, Reason | None]:
    """Most discharging power (>= 0) for a DOWN event, and why not more (P4, P5, P7, V2G-33)."""
    why_not = _why_no_discharge(evse, market, event)
    if why_not is not None or evse.battery is None:
        return 0, why_not
    rated = min(evse.ratings.max_discharge_w, evse.battery.max_discharge_w)
    sure_wh = evse.battery.energy_wh - evse.battery.error_wh - evse.terms.required_wh
    sustained = floor(evse.battery.discharge_efficiency * sure_wh / market.horizon_h)
    power = min(rated, sustained)
    return (power, None) if power >= LEAST_DISCHARGE_W else (0, Reason.AT_REQUIRED_CHARGE)


def _why_no_discharge(evse: EvseState, market: Market, event: DrEvent) -> Reason | None:
    if evse.use is not Use.RESOURCE or not evse.terms.discharge or not is_slot_open(evse.terms, market.now):
        return RESTING.get(evse.use, Reason.NOT_PERMITTED)
    if not evse.can_discharge or not evse.can_pause or evse.ratings.max_discharge_w <= 0:
        return Reason.CANNOT_DISCHARGE
    if evse.battery is None:
        return Reason.SOC_UNKNOWN
    least = least_sell(evse.terms, market.tariff_per_kwh, evse.battery)
    pays = event.unit_price(market.tariff_per_kwh)
    return Reason.PRICE_BELOW_MIN_SELL if least is not None and pays < least else None


def is_slot_open(terms: Terms, now: datetime) -> bool:
    """The permitted time slot has not ended (P9)."""
    return terms.permitted_until is None or now < terms.permitted_until


def raise_limit(evse: EvseState, market: Market, event: DrEvent) -> tuple[int, Reason]:
    """Most charging power for an UP event, at the event's price (P6, P12)."""
    if evse.use is not Use.RESOURCE or not is_slot_open(evse.terms, market.now):
        return 0, RESTING.get(evse.use, Reason.NOT_PERMITTED)
    limit, reason = charge_limit(evse, market, event.unit_price(market.tariff_per_kwh))
    return (limit, reason) if limit >= least_power_w(evse) else (0, reason)
