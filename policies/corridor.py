"""What one EVSE may do: its limits and its user's conditions as powers, W, + into the vehicle, with the reasons.

Formulas: reference demand-response §6.1. The user's limits are hard, whatever the policy (P4-P9).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil, floor

from csms.domain.decision import Reason
from csms.domain.snapshot import Battery, EvseState, Terms, Use
from policies.limits import NO_VEHICLE, Limits, battery_of, limits_of
from policies.pricing import Market, hours_between, is_raise_within, least_sell

LOOKAHEAD = timedelta(hours=24)
"""How far an entrusted vehicle looks for cheaper hours, whenever it leaves: its next stay may be as good."""
TRIFLE_WH = 1e-6
LEAST_DISCHARGE_W = 100
"""Less than this is not worth a discharge."""

RESTING = {
    Use.IDLE: Reason.NO_VEHICLE,
    Use.HELD: Reason.AWAITING_PERMISSION,
    Use.NOTHING: Reason.NOT_PERMITTED,
}
"""Uses in which nothing flows, but for a required charge where a host gives nothing else (P7 above P4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corridor:
    """Bounds of one EVSE's power without any DR event, and where in them it would be.

    ``least_w``: what flows whatever is asked (a station that cannot pause). ``required_w``: charging needed now to
    reach the required charge in time; ``due_w``: without any margin, so that what is missed now is never made up for.
    ``wanted_w``: charging wanted while the price is within the conditions, >= must.
    ``minimum_w``: the least power that is not zero. ``uncontrolled_w``: the station takes this, whatever it is told.
    ``limits``: of the EVSE and its vehicle, whatever the conditions.
    """

    least_w: int = 0
    required_w: int = 0
    due_w: int = 0
    wanted_w: int = 0
    minimum_w: int = 0
    limits: Limits = NO_VEHICLE
    uncontrolled_w: int | None = None
    reasons: tuple[Reason, ...] = ()


def corridor(evse: EvseState, market: Market) -> Corridor:
    """The corridor of one EVSE without DR."""
    if evse.use is Use.IDLE:
        return Corridor(reasons=(Reason.NO_VEHICLE,))
    limits = limits_of(evse, market)
    least_w = 0 if evse.can_pause or evse.use is Use.NOTHING else limits.least_w
    must = required_w(limits, market)
    wanted, reason = wanted_charge(evse, limits, market)
    reasons = (Reason.REQUIRED_CHARGE, reason) if must else (reason,)
    uncontrolled_w = evse.reserved_w if evse.uncontrolled_w is None and evse.reserved_w > 0 else evse.uncontrolled_w
    if uncontrolled_w is not None:
        reasons = (Reason.NOT_FOLLOWING, *reasons)
    return Corridor(
        least_w=least_w,
        required_w=max(must, least_w),
        due_w=due_w(evse, limits, market),
        wanted_w=max(wanted, must, least_w),
        minimum_w=max(1, limits.least_w),
        limits=limits,
        uncontrolled_w=uncontrolled_w,
        reasons=reasons,
    )


def required_w(limits: Limits, market: Market) -> int:
    """Charging power needed during this horizon so that the required charge is reached before departure, if no fuse is
    in the way (see ``feasibility``)."""
    return stepped_w(limits, market, limits.need_wh - limits.charge_w * limits.spare_h)


def due_w(evse: EvseState, limits: Limits, market: Market) -> int:
    """Charging power during this horizon without which the required charge cannot be reached before departure."""
    departure_at = evse.terms.departure_at
    stay_h = 0.0 if departure_at is None else hours_between(market.now, departure_at)
    later_wh = limits.charge_w * max(0.0, stay_h - market.horizon_h)
    return stepped_w(limits, market, limits.need_wh - later_wh)


def stepped_w(limits: Limits, market: Market, lacking_wh: float) -> int:
    """The power that charges this much within the horizon: at least the least power there is, unless the battery has no
    room for that."""
    if lacking_wh <= TRIFLE_WH:
        return 0
    power = min(limits.most_w, ceil((lacking_wh - TRIFLE_WH) / market.horizon_h))
    stepped = max(power, limits.least_w, 1) if power > 0 else 0
    return stepped if stepped <= limits.most_w else 0


def required_charge_w(limits: Limits, market: Market) -> int:
    """Most power that only charges up to the required charge; its last step is made at the least power there is."""
    if limits.need_wh <= 0:
        return 0
    power = max(floor(limits.need_wh / market.horizon_h), limits.least_w)
    return min(power, limits.most_w)


def wanted_charge(evse: EvseState, limits: Limits, market: Market) -> tuple[int, Reason]:
    """Charging power wanted without any DR event, and why. Below the least power it is zero."""
    if evse.use is Use.NOTHING and (required := required_charge_w(limits, market)):
        return required, Reason.REQUIRED_CHARGE
    if evse.use in RESTING:
        return 0, RESTING[evse.use]
    power, reason = _plain(evse, limits, market) if evse.use is Use.PLAIN else _within_conditions(evse, limits, market)
    if 0 < power < limits.least_w:
        return 0, Reason.FULL if power == limits.most_w else Reason.BELOW_MINIMUM_POWER
    return power, reason


def _plain(evse: EvseState, limits: Limits, market: Market) -> tuple[int, Reason]:
    """All there is, unless the terms say less: outside its time slots a permitted vehicle keeps its maximum price."""
    power, reason = charge_limit(evse, limits, market, market.tariff_per_kwh)
    return power, Reason.PLAIN_CHARGING if reason is Reason.CHARGING_WITHIN_PRICE else reason


def _within_conditions(evse: EvseState, limits: Limits, market: Market) -> tuple[int, Reason]:
    limit, reason = charge_limit(evse, limits, market, market.tariff_per_kwh)
    if limit == 0:
        return limit, reason
    if evse.terms.entrust and evse.terms.charge:
        return _entrusted(evse.terms, limits, market, (limit, reason))
    return (0, Reason.CHEAPER_LATER) if _is_cheap_enough_later(evse, market) else (limit, reason)


def charge_limit(evse: EvseState, limits: Limits, market: Market, price_per_kwh: Decimal) -> tuple[int, Reason]:
    """Most charging power the user's conditions allow at this price, and why (P6, P7)."""
    if limits.most_w == 0:
        return 0, Reason.FULL
    terms = evse.terms
    if terms.charge and (terms.entrust or is_price_within(terms, price_per_kwh)):
        return limits.most_w, Reason.CHARGING_WITHIN_PRICE
    required = required_charge_w(limits, market)
    if not terms.charge:
        return required, Reason.REQUIRED_CHARGE if required else Reason.NOT_PERMITTED
    return required, Reason.REQUIRED_CHARGE if required else Reason.PRICE_ABOVE_MAX_BUY


def is_price_within(terms: Terms, price_per_kwh: Decimal) -> bool:
    """The price is at or below the user's maximum (P6)."""
    return terms.max_buy_per_kwh is None or price_per_kwh <= terms.max_buy_per_kwh


def _is_cheap_enough_later(evse: EvseState, market: Market) -> bool:
    """A required charge above the maximum price waits while hours within that price come before departure. A battery
    that tells nothing may need nothing: it waits as long as an empty one could."""
    terms = evse.terms
    if terms.departure_at is None or is_price_within(terms, market.tariff_per_kwh) or terms.max_buy_per_kwh is None:
        return False
    if not battery_of(evse).is_told:
        return True
    return market.cheapest_later(terms.departure_at) <= terms.max_buy_per_kwh


def _entrusted(terms: Terms, limits: Limits, market: Market, now: tuple[int, Reason]) -> tuple[int, Reason]:
    """``now``, or in cheaper hours where what is wanted still fits into them (P8). The required charge has the hours
    before departure; what goes beyond it is bought only among the cheapest hours of a day or longer, so that a near
    departure, or one that is past, is no reason to buy at the peak."""
    if not terms.departure_at and limits.need_wh > 0:
        return now
    if _fits_cheaper(market, rolled(terms.departure_at, market.now), limits.charge_w, limits.room_wh):
        if not _fits_cheaper(market, terms.departure_at or market.now, limits.charge_w, limits.need_wh):
            return required_charge_w(limits, market), Reason.REQUIRED_CHARGE
        return 0, Reason.CHEAPER_LATER
    return now


def _fits_cheaper(market: Market, until: datetime, power_w: int, energy_wh: float) -> bool:
    """All of it can be bought below today's price until then."""
    if energy_wh <= 0:
        return True
    return market.cheaper_hours(until) * power_w >= energy_wh


def rolled(departure_at: datetime | None, now: datetime) -> datetime:
    """The end of the time in which an entrusted vehicle chooses its hours: departure, but at least a day ahead."""
    return max(departure_at or now, now + LOOKAHEAD)


def discharge_limit(
    evse: EvseState, limits: Limits, market: Market, price_per_kwh: Decimal
) -> tuple[int, Reason | None]:
    """Most discharging power (>= 0) for a DOWN event at its price, and why not more (P4, P5, P7, V2G-33)."""
    why_not = _why_no_discharge(evse, market, price_per_kwh)
    if why_not is not None or evse.battery is None:
        return 0, why_not
    if limits.need_wh > 0:
        return 0, Reason.AT_REQUIRED_CHARGE
    power = min(evse.ratings.max_discharge_w, evse.battery.max_discharge_w, _sustained_w(evse, evse.battery, market))
    return (power, None) if power >= LEAST_DISCHARGE_W else (0, Reason.AT_REQUIRED_CHARGE)


def _sustained_w(evse: EvseState, battery: Battery, market: Market) -> int:
    """What can flow out for a horizon without going below what the user requires, in the battery and since the
    plug-in."""
    sure_wh = (battery.energy_wh - battery.error_wh - evse.terms.required_wh) * battery.discharge_efficiency
    if evse.terms.required_added_wh > 0:
        sure_wh = min(sure_wh, evse.added_wh - evse.terms.required_added_wh)
    return floor(sure_wh / market.horizon_h)


def _why_no_discharge(evse: EvseState, market: Market, price_per_kwh: Decimal) -> Reason | None:
    if evse.use is not Use.RESOURCE or not evse.terms.discharge or not is_slot_open(evse.terms, market.now):
        return RESTING.get(evse.use, Reason.NOT_PERMITTED)
    if not evse.can_discharge or not evse.can_pause or evse.ratings.max_discharge_w <= 0:
        return Reason.CANNOT_DISCHARGE
    if evse.battery is None or not evse.battery.is_told:
        return Reason.SOC_UNKNOWN
    least = least_sell(evse.terms, market.tariff_per_kwh, evse.battery)
    return Reason.PRICE_BELOW_MIN_SELL if least is not None and price_per_kwh < least else None


def is_slot_open(terms: Terms, now: datetime) -> bool:
    """The permitted time slot has not ended (P9)."""
    return terms.permitted_until is None or now < terms.permitted_until


def raise_limit(evse: EvseState, limits: Limits, market: Market, price_per_kwh: Decimal) -> tuple[int, Reason]:
    """Most charging power for an UP event at its price (P6, P12): what a vehicle was seen to leave of a limit, it would
    leave of a higher one too."""
    if evse.use is not Use.RESOURCE or not is_slot_open(evse.terms, market.now):
        return 0, RESTING.get(evse.use, Reason.NOT_PERMITTED)
    if not is_raise_within(evse.terms, market.tariff_per_kwh, price_per_kwh):
        return required_charge_w(limits, market), Reason.PRICE_ABOVE_MAX_BUY
    limit, reason = charge_limit(evse, limits, market, price_per_kwh)
    if evse.drawn_w is not None and evse.drawn_w < limit:
        limit, reason = evse.drawn_w, Reason.FULL
    return (limit, reason) if limit >= limits.least_w else (0, reason)
