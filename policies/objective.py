"""What a step of a vehicle costs. Requirements P12, P16; reference demand-response §6.2."""

from decimal import Decimal

from csms.domain.dr import Direction, DrEvent
from csms.domain.snapshot import EvseState
from policies.pricing import Market, asked_sell, break_even

DEAREST = 1e9
"""In the place of a cost that is no number."""


def merit_cost(evse: EvseState, market: Market, event: DrEvent, price_per_kwh: Decimal) -> tuple[float, float]:
    """DOWN: what it costs to charge later instead of now; what the discharged energy costs to replace, with losses and
    wear, or what its user asks. UP: a vehicle that loses less of what it buys comes first."""
    if event.direction is Direction.UP:
        cost = float(price_per_kwh) / (evse.battery.charge_efficiency if evse.battery else 1.0)
        return cost, cost
    stop = shift_cost(evse, market)
    return stop, max(stop, _discharge_cost(evse, market))


def shift_cost(evse: EvseState, market: Market) -> float:
    """Per kWh, of charging later instead of now."""
    later = market.cheapest_later(evse.terms.departure_at)
    return max(0.0, float(later - market.tariff_per_kwh))


def _discharge_cost(evse: EvseState, market: Market) -> float:
    if evse.battery is None:
        return 0.0
    replaced = break_even(market.tariff_per_kwh, evse.battery)
    return float(max(replaced, asked_sell(evse.terms, market.tariff_per_kwh) or replaced))


def sorted_costs(costs: tuple[float, float]) -> tuple[float, float]:
    """Numbers that rise within a vehicle, whatever a plug returned."""
    first, second = (cost if abs(cost) < DEAREST else DEAREST for cost in costs)
    return first, max(first, second)
