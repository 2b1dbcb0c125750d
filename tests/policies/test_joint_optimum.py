"""Several events at once against a linear program that shares nothing with the decision. A11; P5, P12, P19.

The most important event gets all that it can have, then the next as much as that leaves, and so on.
"""

import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

import highspy
import numpy as np
import pytest
from hypothesis import given

from csms.domain.decision import Decision
from csms.domain.dr import Direction
from csms.domain.ids import DrEventId
from csms.domain.snapshot import Battery, EvseState, Snapshot, Terms, Use
from csms.domain.station import Ratings
from policies import decide, joint
from policies.constraints import violations
from tests.policies.fleets import AWAY, HOME, NOW, event, got_w, prices, resource, site, snapshot, snapshots

HORIZON_H = 180 / 3600
TARIFF = {HOME: 30, AWAY: 20}


def test_two_events_share_the_vehicle_that_both_need() -> None:
    """S2: e1 8 kW, e2 15 kW of priority 1, three vehicles of 7.5 kW. Before: one vehicle served one event only, 15.5
    of 22.5 kW moved."""
    seller = Terms(charge=False, required_wh=12_000, min_sell_per_kwh=Decimal(40))
    strong = Ratings(max_charge_w=7500, max_discharge_w=7500)
    battery = Battery(capacity_wh=40_000, energy_wh=20_000, max_charge_w=7500, max_discharge_w=7500)
    fleet = [resource(n, terms=seller, ratings=strong, battery=battery) for n in (1, 2, 3)]
    e1 = event(id=DrEventId("e1"), requested_w=8_000)
    e2 = event(id=DrEventId("e2"), requested_w=15_000, priority=1)
    state = snapshot(*fleet, events=(e1, e2))
    decision = decide(state)
    assert [setpoint.setpoint_w for setpoint in decision.setpoints] == [-7500] * 3
    assert got_w(decision) == {"e1": 8_000, "e2": 14_500}
    assert [share.allotted_w for share in decision.events] == [8_000, 14_500]
    assert violations(state, decision) == ()


def test_a_user_s_minimum_is_met_by_the_event_that_discharges_and_the_other_stops_charging() -> None:
    """P5: e1 pays 60 and comes first, e2 pays 35, the user sells from 50 on. e1 discharges, e2 stops charging: each
    has all it asked for."""
    vehicle = resource(terms=Terms(min_sell_per_kwh=Decimal(50), required_wh=5_000), observed_w=7000)
    e1 = event(id=DrEventId("e1"), requested_w=6_000, price_per_kwh=Decimal(60))
    e2 = event(id=DrEventId("e2"), requested_w=7_000, price_per_kwh=Decimal(35), priority=1)
    decision = decide(snapshot(vehicle, events=(e1, e2)))
    (setpoint,) = decision.setpoints
    assert (setpoint.counterfactual_w, setpoint.setpoint_w) == (7000, -6000)
    assert [(part.event, part.power_w, part.price_per_kwh) for part in setpoint.parts] == [
        ("e2", 7000, Decimal(35)),
        ("e1", 6000, Decimal(60)),
    ]


def test_an_event_that_starts_in_the_middle_of_another_takes_the_rest_and_gives_it_back() -> None:
    """S2: e2 runs from the second half hour on, and is cancelled."""
    vehicle = resource(terms=Terms(charge=False, required_wh=0, min_sell_per_kwh=Decimal(40)))
    e1 = event(id=DrEventId("e1"), requested_w=4_000)
    e2 = event(id=DrEventId("e2"), requested_w=4_000, starts_at=NOW + timedelta(minutes=30))
    state = snapshot(vehicle, events=(e1, e2))
    assert got_w(decide(state)) == {"e1": 4_000}
    later = replace(state, now=NOW + timedelta(minutes=31))
    assert got_w(decide(later)) == {"e1": 4_000, "e2": 2_000}
    cancelled = replace(e2, cancelled_at=NOW + timedelta(minutes=31))
    assert got_w(decide(replace(later, events=(e1, cancelled)))) == {"e1": 4_000}


def test_a_shared_setpoint_ends_with_the_first_of_its_events() -> None:
    vehicle = resource(terms=Terms(charge=False, required_wh=0, min_sell_per_kwh=Decimal(40)))
    e1 = event(id=DrEventId("e1"), requested_w=4_000)
    e2 = event(id=DrEventId("e2"), requested_w=4_000, priority=1, ends_at=NOW + timedelta(seconds=20))
    (setpoint,) = decide(snapshot(vehicle, events=(e1, e2))).setpoints
    assert len(setpoint.parts) == 2
    assert setpoint.expires_at == e2.ends_at


def test_events_in_opposite_directions_at_different_places_are_both_served() -> None:
    """A11: at the same place only the more important one is."""
    sites = (site("here"), site("there", area=AWAY))
    fleet = [resource(n, site=name, observed_w=7000) for n, name in enumerate(["here", "here", "there", "there"])]
    picky = [replace(one, terms=replace(one.terms, max_buy_per_kwh=Decimal(15), required_wh=0)) for one in fleet]
    down = event(id=DrEventId("down"), requested_w=8_000, areas=frozenset({HOME}))
    up = event(Direction.UP, 9_000, id=DrEventId("up"), areas=frozenset({AWAY}), priority=1)
    assert got_w(decide(snapshot(*picky, sites=sites, events=(down, up)))) == {"down": 8_000, "up": 9_000}
    everywhere = replace(up, areas=frozenset())
    both = decide(snapshot(*picky, sites=sites, events=(down, everywhere)))
    assert got_w(both) == {"down": 8_000, "up": 9_000}
    assert {setpoint.event for setpoint in both.setpoints[:2]} <= {"down", None}


class Step(NamedTuple):
    """One part of what a vehicle can do, W, and the events that may use it."""

    quantity_w: int
    events: frozenset[DrEventId]


def fleet(seed: int, direction: Direction) -> Snapshot:
    """14 vehicles without a least power in four rooms of two houses, up to five events of one direction."""
    draw = np.random.default_rng(seed)
    rooms = [
        replace(
            site(f"room{n}", f"house{n % 2}"),
            import_limit_w=int(draw.integers(5_000, 40_000)),
            export_limit_w=int(draw.integers(0, 15_000)),
            area=AWAY if n == 3 else HOME,
        )
        for n in range(4)
    ]
    houses = [
        replace(site("house0"), import_limit_w=45_000, export_limit_w=int(draw.integers(0, 20_000))),
        site("house1"),
    ]
    wanted = [
        event(
            direction,
            int(draw.integers(1_000, 40_000)),
            id=DrEventId(f"e{n}"),
            priority=int(draw.integers(0, 3)),
            created_at=NOW - timedelta(minutes=60 - n),
            areas=[frozenset(), frozenset({HOME}), frozenset({AWAY})][int(draw.integers(0, 3))],
            price_per_kwh=Decimal(int(draw.integers(5, 28) if direction is Direction.UP else draw.integers(31, 60))),
        )
        for n in range(int(draw.integers(2, 6)))
    ]
    return snapshot(
        *(vehicle(n, draw) for n in range(14)),
        sites=(*houses, *rooms),
        events=tuple(wanted),
        prices={HOME: prices(TARIFF[HOME]), AWAY: prices(TARIFF[AWAY])},
    )


def vehicle(number: int, draw: np.random.Generator) -> EvseState:
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
        ),
        observed_w=7000,
        terms=Terms(
            min_sell_per_kwh=Decimal(int(draw.integers(20, 60))),
            max_buy_per_kwh=Decimal(int(draw.integers(5, 60))),
            required_wh=12_000,
            charge=bool(draw.integers(0, 4)),
        ),
    )


def steps_of(one: EvseState, base_w: int, state: Snapshot) -> list[Step]:
    """What a vehicle of these fleets can do for whom, from its own figures."""
    battery, asks = one.battery, one.terms
    assert battery is not None
    if one.use is not Use.RESOURCE:
        return []
    area = AWAY if one.site == "room3" else HOME
    tariff = TARIFF[area]
    here = [each for each in state.events if not each.areas or area in each.areas]
    lacking_wh = max(0.0, (asks.required_wh - battery.energy_wh) / battery.charge_efficiency)
    if here and here[0].direction is Direction.UP:
        room_w = (battery.capacity_wh - battery.energy_wh) / battery.charge_efficiency / HORIZON_H
        most_w = math.floor(min(7360, battery.max_charge_w, room_w))
        lacking_w = math.floor(min(7360, battery.max_charge_w, lacking_wh / HORIZON_H))
        is_cheap = {
            each.id: min(int(each.price_per_kwh or 0), tariff) <= int(asks.max_buy_per_kwh or 0) for each in here
        }
        cheap = frozenset(name for name, fine in is_cheap.items() if fine and asks.charge)
        due = max(0, lacking_w - base_w)
        more = max(0, most_w - base_w - due)
        return [Step(due, frozenset(is_cheap)), Step(more, cheap)]
    must = min(battery.max_charge_w, math.ceil(lacking_wh / HORIZON_H))
    spare_w = battery.discharge_efficiency * (battery.energy_wh - asks.required_wh) / HORIZON_H
    give = math.floor(min(6000, battery.max_discharge_w, spare_w))
    sells = frozenset(each.id for each in here if int(each.price_per_kwh or 0) >= int(asks.min_sell_per_kwh or 0))
    stops = Step(max(0, base_w - must), frozenset(each.id for each in here))
    return [stops, Step(give, sells)] if not must and give >= 100 else [stops]


def best_w(state: Snapshot, decision: Decision) -> dict[DrEventId, float]:
    """W of each event, one program after the other: the most for one while those before it keep theirs."""
    lp = highspy.Highs()
    lp.setOptionValue("output_flag", False)
    parents = {node.id: node.parent for node in state.sites}
    of_event: dict[DrEventId, list[highspy.highs.highs_var]] = {each.id: [] for each in state.events}
    below: dict[str, list[highspy.highs.highs_var]] = {node.id: [] for node in state.sites}
    net = dict.fromkeys(below, 0)
    for one, told in zip(state.evses, decision.setpoints, strict=True):
        above = [one.site, *([parents[one.site]] if parents[one.site] else [])]
        for node in above:
            net[node] += told.counterfactual_w
        for step in steps_of(one, told.counterfactual_w, state):
            own = {name: lp.addVariable(0, step.quantity_w) for name in sorted(step.events)}
            if own:
                lp.addConstr(sum(own.values()) <= step.quantity_w)
            for name, variable in own.items():
                of_event[name].append(variable)
                for node in above:
                    below[node].append(variable)
    is_up = state.events[0].direction is Direction.UP
    for node in state.sites:
        limit = node.import_limit_w - net[node.id] if is_up else node.export_limit_w + net[node.id]
        if below[node.id]:
            lp.addConstr(sum(below[node.id]) <= limit)
    found: dict[DrEventId, float] = {}
    for each in sorted(state.events, key=lambda one: (one.priority, one.created_at)):
        mine = of_event[each.id]
        if not mine:
            found[each.id] = 0.0
            continue
        lp.addConstr(sum(mine) <= each.requested_w)
        lp.maximize(sum(mine))
        found[each.id] = float(lp.getObjectiveValue())
        lp.addConstr(sum(mine) >= found[each.id] - 1e-7)
    return found


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("seed", range(30))
def test_each_event_gets_what_the_linear_program_gives_it_after_the_more_important_ones(
    seed: int, direction: Direction
) -> None:
    state = fleet(seed, direction)
    decision = decide(state)
    assert got_w(decision) == pytest.approx(best_w(state, decision), abs=1e-3)
    assert violations(state, decision) == ()


@pytest.mark.parametrize("seed", range(10))
def test_a_decision_that_may_not_search_is_safe_and_nearly_as_good(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of vehicles and fifty events only so much is tried. Design §4: work on the loop is bounded."""
    monkeypatch.setattr(joint, "MOST_STEPS", 0)
    monkeypatch.setattr(joint, "FEWEST_PATHS", 0)
    state = fleet(seed, Direction.DOWN)
    decision = decide(state)
    assert violations(state, decision) == ()
    assert sum(got_w(decision).values()) >= 0.75 * sum(best_w(state, decision).values())


@given(snapshots())
def test_each_watt_belongs_to_exactly_one_event(state: Snapshot) -> None:
    """S2, P19: the parts are all that was moved, none is empty, and each is of an event that runs."""
    decision = decide(state)
    running = {each.id for each in state.events}
    for setpoint in decision.setpoints:
        if setpoint.parts:
            assert len({part.event for part in setpoint.parts}) > 1
            assert sum(part.power_w for part in setpoint.parts) == abs(setpoint.setpoint_w - setpoint.counterfactual_w)
            assert all(part.power_w > 0 and part.event in running for part in setpoint.parts)
            assert setpoint.event in {part.event for part in setpoint.parts}
        else:
            assert setpoint.event is None or setpoint.event in running


@given(snapshots())
def test_discharged_watts_are_paid_at_least_the_user_s_minimum_by_their_own_event(state: Snapshot) -> None:
    """P5: counted from the deepest watt upwards, as the vehicle is discharged last."""
    decision = decide(state)
    for one, setpoint in zip(state.evses, decision.setpoints, strict=True):
        least = one.terms.min_sell_per_kwh
        if not setpoint.parts or setpoint.setpoint_w >= 0 or least is None or one.terms.entrust:
            continue
        left = -setpoint.setpoint_w
        for part in reversed(setpoint.parts):
            if left > 0:
                assert part.price_per_kwh >= least
            left -= part.power_w
