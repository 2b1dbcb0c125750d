"""For one period the merit order is the optimum of the linear program. Reference demand-response §6.3, §6.7 (a)."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import highspy
import numpy as np
import pytest

from csms.domain.decision import Decision
from csms.domain.dr import Direction, DrEvent
from csms.domain.snapshot import Battery, EvseState, Snapshot, Terms, Use
from csms.domain.station import Ratings
from policies import decide
from tests.policies.fleets import AWAY, HOME, event, prices, resource, site, snapshot


def fleet(seed: int, direction: Direction) -> Snapshot:
    """30 vehicles without a least power, in four rooms of two houses."""
    draw = np.random.default_rng(seed)
    sites = [site("house0"), site("house1")]
    sites += [
        replace(
            site(f"room{n}", f"house{n % 2}"),
            import_limit_w=int(draw.integers(5_000, 40_000)),
            export_limit_w=int(draw.integers(0, 15_000)),
            area=AWAY if n == 3 else HOME,
        )
        for n in range(4)
    ]
    sites[0] = replace(sites[0], import_limit_w=50_000, export_limit_w=int(draw.integers(0, 20_000)))
    vehicles = tuple(vehicle(n, draw) for n in range(30))
    requested = int(draw.integers(1_000, 120_000))
    wanted = event(direction, requested, price_per_kwh=Decimal(int(draw.integers(20, 60))))
    return snapshot(
        *vehicles, sites=tuple(sites), events=(wanted,), prices={HOME: prices(30, 25), AWAY: prices(20, 40)}
    )


def vehicle(number: int, draw: np.random.Generator) -> EvseState:
    """A vehicle with an ask, a maximum price, a battery and an efficiency of its own; its charging is metered."""
    return resource(
        number,
        site=f"room{number % 4}",
        use=Use.PLAIN if number % 7 == 0 else Use.RESOURCE,
        ratings=Ratings(max_charge_w=7360, min_charge_w=0, max_discharge_w=6000),
        battery=Battery(
            capacity_wh=40_000,
            energy_wh=float(draw.integers(5_000, 39_000)),
            max_charge_w=int(draw.integers(3_000, 7_000)),
            max_discharge_w=int(draw.integers(2_000, 6_000)),
            charge_efficiency=float(draw.choice([0.85, 0.9, 0.95])),
        ),
        observed_w=7000,
        terms=Terms(
            min_sell_per_kwh=Decimal(int(draw.integers(10, 60))),
            max_buy_per_kwh=Decimal(int(draw.integers(10, 60))),
            required_wh=12_000,
        ),
    )


HORIZON_H = 180 / 3600
NOW_AND_LATER = {HOME: (30.0, 25.0), AWAY: (20.0, 40.0)}


class Step(NamedTuple):
    """One part of what a vehicle can do: W and what a kWh of it costs."""

    quantity_w: float
    cost: float


def steps_of(one: EvseState, base_w: int, wanted: DrEvent) -> list[Step]:
    """What a vehicle of these fleets can do, from its own figures: stated here anew, not read from the policies."""
    battery, asks = one.battery, one.terms
    assert battery is not None
    tariff, later = NOW_AND_LATER[AWAY if one.site == "room3" else HOME]
    pays = float(wanted.price_per_kwh or 0)
    if one.use is not Use.RESOURCE:
        return []
    lacking_wh = max(0.0, (asks.required_wh - battery.energy_wh) / battery.charge_efficiency)
    if wanted.direction is Direction.UP:
        cost = min(pays, tariff)
        room_w = (battery.capacity_wh - battery.energy_wh) / battery.charge_efficiency / HORIZON_H
        allowed = room_w if cost <= float(asks.max_buy_per_kwh or 0) else lacking_wh / HORIZON_H
        limit = math.floor(min(7360, battery.max_charge_w, allowed))
        return [Step(max(0, limit - base_w), cost / battery.charge_efficiency)]
    must = min(battery.max_charge_w, math.ceil(lacking_wh / HORIZON_H))
    shift = max(0.0, later - tariff)
    if base_w > must and shift > pays:
        return []
    spare_w = battery.discharge_efficiency * (battery.energy_wh - asks.required_wh) / HORIZON_H
    give = math.floor(min(6000, battery.max_discharge_w, spare_w))
    is_sold = not must and give >= 100 and pays >= float(asks.min_sell_per_kwh or 0)
    replaced = tariff / (battery.charge_efficiency * battery.discharge_efficiency) + 0.05 * tariff
    worth = max(shift, replaced, float(asks.min_sell_per_kwh or 0))
    return [Step(max(0, base_w - must), shift), *([Step(give, worth)] if is_sold else [])]


def costs(state: Snapshot, decision: Decision) -> tuple[float, float, float, float]:
    """(moved, cost) of the decision and of the linear program, both by the costs stated here."""
    wanted = state.events[0]
    offers = [
        steps_of(one, told.counterfactual_w, wanted) for one, told in zip(state.evses, decision.setpoints, strict=True)
    ]
    moved, ours = 0.0, 0.0
    for told, steps in zip(decision.setpoints, offers, strict=True):
        left = abs(told.setpoint_w - told.counterfactual_w)
        moved += left
        for step in steps:
            used = min(left, step.quantity_w)
            ours, left = ours + used * step.cost, left - used
        assert left == pytest.approx(0, abs=1), "moved further than the vehicle can"
    return moved, ours, *optimum(state, decision, offers)


def optimum(state: Snapshot, decision: Decision, offers: list[list[Step]]) -> tuple[float, float]:
    """The most that can be moved, up to the request, and the least cost of it: two programs, one after the other."""
    lp, wanted = highspy.Highs(), state.events[0]
    lp.setOptionValue("output_flag", False)
    variables = [[lp.addVariable(0, step.quantity_w) for step in steps] for steps in offers]
    parents = {node.id: node.parent for node in state.sites}
    for node in state.sites:
        below = [index for index, one in enumerate(state.evses) if node.id in (one.site, parents[one.site])]
        inside = [variable for index in below for variable in variables[index]]
        net = sum(decision.setpoints[index].counterfactual_w for index in below)
        limit = node.import_limit_w - net if wanted.direction is Direction.UP else node.export_limit_w + net
        if inside:
            lp.addConstr(sum(inside) <= limit)
    whole = [variable for steps in variables for variable in steps]
    lp.addConstr(sum(whole) <= wanted.requested_w)
    lp.maximize(sum(whole))
    most = lp.getObjectiveValue()
    lp.addConstr(sum(whole) >= most - 1e-7)
    priced = [
        step.cost * each
        for steps, own in zip(offers, variables, strict=True)
        for step, each in zip(steps, own, strict=True)
    ]
    lp.minimize(sum(priced))
    return float(most), float(lp.getObjectiveValue())


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("seed", range(12))
def test_the_merit_order_costs_what_the_linear_program_costs(seed: int, direction: Direction) -> None:
    state = fleet(seed, direction)
    moved, ours, most, best = costs(state, decide(state))
    assert moved == pytest.approx(most, abs=1e-3)
    assert ours == pytest.approx(best, rel=1e-6, abs=1e-2)
