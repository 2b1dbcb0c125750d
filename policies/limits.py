"""What one EVSE's ratings, its battery and its required charge leave, as figures: before any price or wish. P7."""

from dataclasses import dataclass
from math import floor

from csms.domain.snapshot import Battery, EvseState, Terms, Use
from policies.pricing import Market

MARGIN_H = 0.5
"""Finish early: two intervals of 15 min, for the taper at the end of charging and for what does not come."""
MARGIN_SHARE = 0.2
"""The margin of short stays, as a share of the time that is left."""
MARGIN_HORIZONS = 2.5
UNKNOWN_EFFICIENCY = 0.9
"""Of charging a battery of which nothing is known."""
UNKNOWN_CAPACITY_WH = 40_000

CHARGEABLE = frozenset({Use.PLAIN, Use.NOTHING, Use.RESOURCE})
"""Uses in which a required charge holds: only who has not answered yet, or is not there, waits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """One EVSE's figures, made once per decision.

    ``charge_w``: rated charging power of EVSE and vehicle together, with or without a state of charge. ``least_w``: the
    least charging power that is not zero. ``most_w``: most charging power that neither breaks a rating nor overfills
    the battery within the horizon. ``room_wh``: what the battery can still take, at the AC side; at most, when no state
    of charge is told. ``need_wh``: what lacks to the required charge, at the AC side. ``spare_h``: see ``spare_hours``.
    """

    charge_w: int = 0
    least_w: int = 0
    most_w: int = 0
    room_wh: float = 0.0
    need_wh: float = 0.0
    spare_h: float = 0.0


NO_VEHICLE = Limits()


def limits_of(evse: EvseState, market: Market) -> Limits:
    """The limits of one EVSE with a vehicle."""
    battery, charge_w = battery_of(evse), charge_power_w(evse)
    room_wh = max(0.0, battery.capacity_wh - battery.energy_wh) / battery.charge_efficiency
    return Limits(
        charge_w,
        min(evse.ratings.min_charge_w, charge_w),
        _most_w(evse, charge_w, room_wh, market),
        room_wh,
        _need_wh(evse, battery),
        spare_hours(evse.terms, market),
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


def _most_w(evse: EvseState, charge_w: int, room_wh: float, market: Market) -> int:
    """A battery that tells nothing is not overfilled: the vehicle stops by itself."""
    if evse.battery is None or not evse.battery.is_told:
        return charge_w
    return max(0, min(charge_w, floor(room_wh / market.horizon_h)))


def _need_wh(evse: EvseState, battery: Battery) -> float:
    """Energy that lacks to the required charge, at the AC side: of the battery's content, or of what was to be added
    since the plug-in (P7). It falls with every metered Wh; whether the vehicle is a resource does not matter."""
    if evse.use not in CHARGEABLE:
        return 0.0
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
