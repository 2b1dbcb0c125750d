"""What one EVSE may do: its limits and its user's conditions as powers, W, + into the vehicle, with the reasons.

Formulas: reference demand-response §6.1. The user's limits are hard, whatever the policy (P4-P9).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil, floor

from csms.domain.decision import Reason
from csms.domain.snapshot import Battery, EvseState, Terms, Use
from policies.pricing import Market, least_sell

MARGIN_H = 0.5
"""Finish early: two intervals of 15 min, for the taper at the end of charging and for what does not come."""
MARGIN_SHARE = 0.2
"""The margin of short stays, as a share of the time that is left."""
MARGIN_HORIZONS = 2.5
UNKNOWN_EFFICIENCY = 0.9
"""Of charging a battery of which nothing is known."""
UNKNOWN_CAPACITY_WH = 40_000
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
CHARGEABLE = frozenset({Use.PLAIN, Use.NOTHING, Use.RESOURCE})
"""Uses in which a required charge holds: only who has not answered yet, or is not there, waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corridor:
    """Bounds of one EVSE's power without any DR event, and where in them it would be.

    ``least_w``: what flows whatever is asked (a station that cannot pause). ``required_w``: charging needed now to
    reach the required charge in time. ``wanted_w``: charging wanted while the price is within the conditions, >= must.
    ``minimum_w``: the least power that is not zero. ``uncontrolled_w``: the station takes this, whatever it is told.
    ``need_wh``: what lacks to the required charge, at the AC side.
    """

    least_w: int = 0
    required_w: int = 0
    wanted_w: int = 0
    minimum_w: int = 0
    need_wh: float = 0.0
    uncontrolled_w: int | None = None
    reasons: tuple[Reason, ...] = ()


def corridor(evse: EvseState, market: Market) -> Corridor:
    """The corridor of one EVSE without DR."""
    if evse.use is Use.IDLE:
        return Corridor(reasons=(Reason.NO_VEHICLE,))
    minimum_w = max(1, least_power_w(evse))
    least_w = 0 if evse.can_pause or evse.use is Use.NOTHING else least_power_w(evse)
    must = required_w(evse, market)
    wanted, reason = wanted_charge(evse, market)
    reasons = (Reason.REQUIRED_CHARGE, reason) if must else (reason,)
    uncontrolled_w = evse.reserved_w if evse.uncontrolled_w is None and evse.reserved_w > 0 else evse.uncontrolled_w
    if uncontrolled_w is not None:
        reasons = (Reason.NOT_FOLLOWING, *reasons)
    return Corridor(
        least_w=least_w,
        required_w=max(must, least_w),
        wanted_w=max(wanted, must, least_w),
        minimum_w=minimum_w,
        need_wh=need_wh(evse),
        uncontrolled_w=uncontrolled_w,
        reasons=reasons,
    )


def battery_of(evse: EvseState) -> Battery:
    """The vehicle's battery; where no record of it is known, one of which only the metered energy is sure."""
    if evse.battery is not None:
        return evse.battery
    metered_wh = max(0.0, evse.added_wh) * UNKNOWN_EFFICIENCY
    return Battery(
        capacity_wh=UNKNOWN_CAPACITY_WH,
        energy_wh=min(metered_wh, UNKNOWN_CAPACITY_WH),
        max_charge_w=evse.ratings.max_charge_w,
        max_discharge_w=0,
        charge_efficiency=UNKNOWN_EFFICIENCY,
        is_told=False,
    )


def charge_power_w(evse: EvseState) -> int:
    """Rated charging power of EVSE and vehicle together, with or without a state of charge."""
    rated = evse.ratings.max_charge_w
    return min(rated, evse.battery.max_charge_w) if evse.battery else rated


def least_power_w(evse: EvseState) -> int:
    """The least charging power that is not zero."""
    return min(evse.ratings.min_charge_w, charge_power_w(evse))


def room_wh(evse: EvseState) -> float:
    """What the battery can still take, at the AC side; at most, when no state of charge is told."""
    battery = battery_of(evse)
    return max(0.0, battery.capacity_wh - battery.energy_wh) / battery.charge_efficiency


def most_w(evse: EvseState, market: Market) -> int:
    """Most charging power that neither breaks a rating nor overfills the battery within the horizon. A battery that
    tells nothing is not overfilled: the vehicle stops by itself."""
    power = charge_power_w(evse)
    if evse.battery is None or not evse.battery.is_told:
        return power
    return max(0, min(power, floor(room_wh(evse) / market.horizon_h)))


def need_wh(evse: EvseState) -> float:
    """Energy that lacks to the required charge, at the AC side: of the battery's content, or of what was to be added
    since the plug-in (P7). It falls with every metered Wh; whether the vehicle is a resource does not matter."""
    if evse.use not in CHARGEABLE:
        return 0.0
    battery = battery_of(evse)
    content_wh = (evse.terms.required_wh - battery.energy_wh) / battery.charge_efficiency
    to_add_wh = evse.terms.required_added_wh
    return max(0.0, content_wh, to_add_wh - evse.added_wh if to_add_wh > 0 else 0.0)


def spare_hours(terms: Terms, market: Market) -> float:
    """Hours left for charging after this horizon, less the margin; 0 when no departure is known (P7).

    The margin shrinks with the time that is left, but not below some horizons: what is required to the last Wh is
    approached ever more slowly, since no setpoint may go beyond it.
    """
    if terms.departure_at is None:
        return 0.0
    left_h = (terms.departure_at - market.now).total_seconds() / 3600
    margin_h = max(min(MARGIN_H, MARGIN_SHARE * left_h), MARGIN_HORIZONS * market.horizon_h)
    return max(0.0, left_h - market.horizon_h - margin_h)


def required_w(evse: EvseState, market: Market) -> int:
    """Charging power needed during this horizon so that the required charge is reached before departure, if no fuse is
    in the way (see ``feasibility``)."""
    later_wh = charge_power_w(evse) * spare_hours(evse.terms, market)
    return stepped_w(evse, market, need_wh(evse) - later_wh)


def stepped_w(evse: EvseState, market: Market, lacking_wh: float) -> int:
    """The power that charges this much within the horizon: at least the least power there is, unless the battery has no
    room for that."""
    most = most_w(evse, market)
    power = min(most, ceil(max(0.0, lacking_wh - TRIFLE_WH) / market.horizon_h))
    stepped = max(power, least_power_w(evse), 1) if power > 0 else 0
    return stepped if stepped <= most else 0


def required_charge_w(evse: EvseState, market: Market) -> int:
    """Most power that only charges up to the required charge; its last step is made at the least power there is."""
    need = need_wh(evse)
    if need <= 0:
        return 0
    power = max(floor(need / market.horizon_h), least_power_w(evse))
    return min(power, most_w(evse, market))


def wanted_charge(evse: EvseState, market: Market) -> tuple[int, Reason]:
    """Charging power wanted without any DR event, and why. Below the least power it is zero."""
    if evse.use is Use.NOTHING and (required := required_charge_w(evse, market)):
        return required, Reason.REQUIRED_CHARGE
    if evse.use in RESTING:
        return 0, RESTING[evse.use]
    power, reason = _plain(evse, market) if evse.use is Use.PLAIN else _within_conditions(evse, market)
    if 0 < power < least_power_w(evse):
        return 0, Reason.FULL if power == most_w(evse, market) else Reason.BELOW_MINIMUM_POWER
    return power, reason


def _plain(evse: EvseState, market: Market) -> tuple[int, Reason]:
    """All there is, unless the terms say less: outside its time slots a permitted vehicle keeps its maximum price."""
    power, reason = charge_limit(evse, market, market.tariff_per_kwh)
    return power, Reason.PLAIN_CHARGING if reason is Reason.CHARGING_WITHIN_PRICE else reason


def _within_conditions(evse: EvseState, market: Market) -> tuple[int, Reason]:
    limit, reason = charge_limit(evse, market, market.tariff_per_kwh)
    if limit == 0:
        return limit, reason
    if evse.terms.entrust and evse.terms.charge:
        return _entrusted(evse, market, limit, reason)
    return (0, Reason.CHEAPER_LATER) if _is_cheap_enough_later(evse, market) else (limit, reason)


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


def _is_cheap_enough_later(evse: EvseState, market: Market) -> bool:
    """A required charge above the maximum price waits while hours within that price come before departure. A battery
    that tells nothing may need nothing: it waits as long as an empty one could."""
    terms = evse.terms
    if terms.departure_at is None or is_price_within(terms, market.tariff_per_kwh) or terms.max_buy_per_kwh is None:
        return False
    if not battery_of(evse).is_told:
        return True
    return market.cheapest_later(terms.departure_at) <= terms.max_buy_per_kwh


def _entrusted(evse: EvseState, market: Market, limit: int, reason: Reason) -> tuple[int, Reason]:
    """Now, or in cheaper hours where what is wanted still fits into them (P8). The required charge has the hours before
    departure; what goes beyond it is bought only among the cheapest hours of a day or longer, so that a near departure,
    or one that is past, is no reason to buy at the peak."""
    power, terms = charge_power_w(evse), evse.terms
    if not terms.departure_at and need_wh(evse) > 0:
        return limit, reason
    if _fits_cheaper(market, rolled(terms.departure_at, market.now), power, room_wh(evse)):
        if not _fits_cheaper(market, terms.departure_at or market.now, power, need_wh(evse)):
            return required_charge_w(evse, market), Reason.REQUIRED_CHARGE
        return 0, Reason.CHEAPER_LATER
    return limit, reason


def _fits_cheaper(market: Market, until: datetime, power_w: int, energy_wh: float) -> bool:
    """All of it can be bought below today's price until then."""
    if energy_wh <= 0:
        return True
    return market.cheaper_hours(until) * power_w >= energy_wh


def rolled(departure_at: datetime | None, now: datetime) -> datetime:
    """The end of the time in which an entrusted vehicle chooses its hours: departure, but at least a day ahead."""
    return max(departure_at or now, now + LOOKAHEAD)


def discharge_limit(evse: EvseState, market: Market, price_per_kwh: Decimal) -> tuple[int, Reason | None]:
    """Most discharging power (>= 0) for a DOWN event at its price, and why not more (P4, P5, P7, V2G-33)."""
    why_not = _why_no_discharge(evse, market, price_per_kwh)
    if why_not is not None or evse.battery is None:
        return 0, why_not
    if need_wh(evse) > 0:
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


def raise_limit(evse: EvseState, market: Market, price_per_kwh: Decimal) -> tuple[int, Reason]:
    """Most charging power for an UP event at its price (P6, P12): what a vehicle was seen to leave of a limit, it would
    leave of a higher one too."""
    if evse.use is not Use.RESOURCE or not is_slot_open(evse.terms, market.now):
        return 0, RESTING.get(evse.use, Reason.NOT_PERMITTED)
    limit, reason = charge_limit(evse, market, price_per_kwh)
    if evse.drawn_w is not None and evse.drawn_w < limit:
        limit, reason = evse.drawn_w, Reason.FULL
    return (limit, reason) if limit >= least_power_w(evse) else (0, reason)
