"""For one period the merit order is the optimum of the linear program. Reference demand-response §6.3, §6.7 (a)."""

from dataclasses import replace
from decimal import Decimal

import highspy
import numpy as np
import pytest

from csms.domain.decision import Decision
from csms.domain.dr import Direction, DrEvent
from csms.domain.snapshot import Battery, EvseState, Snapshot, Terms, Use
from csms.domain.station import Ratings
from policies import decide
from policies.baseline import baseline, parties
from policies.response import Offer, offer_of
from policies.tree import SiteTree, Watts, site_tree
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


def costs(state: Snapshot, decision: Decision) -> tuple[float, float, float, float]:
    """(moved, cost) of the decision and of the linear program over the same offers."""
    tree = site_tree(state.sites, state.evses)
    members = parties(state, tree)
    base = baseline(tree, members, state)
    wanted = state.events[0]
    offers = [offer_of(party, int(power), wanted) for party, power in zip(members, base, strict=True)]
    sign = 1 if wanted.direction is Direction.UP else -1
    powers = np.array([decision.setpoints[index].setpoint_w for index in tree.order])
    moved = sign * (powers - base)
    first = np.minimum(moved, [offer.quantity_w[0] for offer in offers])
    ours = sum(
        offer.cost[0] * one + offer.cost[1] * (both - one)
        for offer, one, both in zip(offers, first, moved, strict=True)
    )
    return float(moved.sum()), float(ours), *optimum(tree, base, offers, wanted)


def optimum(tree: SiteTree, base: Watts, offers: list[Offer], wanted: DrEvent) -> tuple[float, float]:
    """The most that can be moved, up to the request, and the least cost of it: two programs, one after the other."""
    lp = highspy.Highs()
    lp.setOptionValue("output_flag", False)
    steps = [[lp.addVariable(0, quantity) for quantity in offer.quantity_w] for offer in offers]
    for node in tree.nodes:
        inside = sum(step for pair in steps[node.start : node.stop] for step in pair)
        net = node.sum_of(base)
        is_up = wanted.direction is Direction.UP
        lp.addConstr(inside <= (node.import_limit_w - net if is_up else node.export_limit_w + net))
    whole = sum(step for pair in steps for step in pair)
    lp.addConstr(whole <= wanted.requested_w)
    lp.maximize(whole)
    most = lp.getObjectiveValue()
    lp.addConstr(whole >= most - 1e-7)
    priced = [
        (cost, step)
        for offer, pair in zip(offers, steps, strict=True)
        for cost, step in zip(offer.cost, pair, strict=True)
    ]
    lp.minimize(sum(cost * step for cost, step in priced))
    return float(most), float(lp.getObjectiveValue())


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("seed", range(12))
def test_the_merit_order_costs_what_the_linear_program_costs(seed: int, direction: Direction) -> None:
    state = fleet(seed, direction)
    moved, ours, most, best = costs(state, decide(state))
    assert moved == pytest.approx(most, abs=1e-3)
    assert ours == pytest.approx(best, rel=1e-6, abs=1e-2)
