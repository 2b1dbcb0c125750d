"""Several events at once: by priority, with one view of who can serve which, each watt for one of them. A4, A5, A11."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from csms.domain.decision import Reason
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId, PlugInId
from csms.domain.snapshot import Battery, EvseState, Snapshot, Terms, Use
from csms.domain.station import Ratings
from policies import decide
from policies.constraints import violations
from tests.policies.fleets import AWAY, HOME, NOW, event, prices, resource, site, snapshot, snapshots
from tests.policies.worlds import World, reversals


def named(name: str, direction: Direction = Direction.DOWN, requested_w: int = 6000, **changes: Any) -> DrEvent:
    return event(direction, requested_w, id=DrEventId(name), **changes)


def seller(number: int, least: int, **changes: Any) -> EvseState:
    """Does not charge; sells from this price on."""
    terms = Terms(charge=False, required_wh=12_000, min_sell_per_kwh=Decimal(least))
    return resource(number, terms=terms, **changes)


def test_a_vehicle_that_only_the_dearer_event_can_use_is_paid_by_it() -> None:
    """A4: minimum sell 50, e1 pays 35, e2 pays 60. Before: dispatched for e2, paid 35 under e1."""
    e1 = named("e1", price_per_kwh=Decimal(35), created_at=NOW - timedelta(hours=2))
    e2 = named("e2", price_per_kwh=Decimal(60))
    (setpoint,) = decide(snapshot(seller(1, 50), events=(e1, e2))).setpoints
    assert (setpoint.setpoint_w, setpoint.event, setpoint.price_per_kwh) == (-6000, "e2", Decimal(60))


def test_an_event_leaves_to_another_what_only_that_one_can_use() -> None:
    """A11: both vehicles may serve e1, which comes first; only the cheap seller may serve e2."""
    e1 = named("e1", price_per_kwh=Decimal(60), created_at=NOW - timedelta(hours=2))
    e2 = named("e2", price_per_kwh=Decimal(40))
    decision = decide(snapshot(seller(1, 38), seller(2, 55), events=(e1, e2)))
    assert [setpoint.event for setpoint in decision.setpoints] == ["e2", "e1"]
    assert [share.allotted_w for share in decision.events] == [6000, 6000]


def test_an_event_of_one_area_leaves_it_to_the_event_that_has_no_other() -> None:
    """A11: e1 is asked everywhere, e2 at home only."""
    sites = (site("here"), site("there", area=AWAY))
    fleet = [seller(1, 0, site="here"), seller(2, 0, site="there")]
    e1 = named("e1", created_at=NOW - timedelta(hours=2))
    e2 = named("e2", areas=frozenset({HOME}))
    decision = decide(snapshot(*fleet, sites=sites, events=(e1, e2)))
    assert [setpoint.event for setpoint in decision.setpoints] == ["e2", "e1"]


@pytest.mark.parametrize("names", [("e1",), ("e1", "e2")])
def test_nobody_is_asked_for_more_because_of_a_vehicle_that_was_never_moved(names: tuple[str, ...]) -> None:
    """A2, P19: one that tells nothing has just come and charges for its required charge, event or not. Before: e1 asked
    2 kW, 6 kW were discharged and paid for it, and e2 got nothing."""
    battery = Battery(capacity_wh=60_000, energy_wh=0, max_charge_w=7000, max_discharge_w=0, is_told=False)
    needs = Terms(required_wh=40_000, departure_at=NOW + timedelta(hours=2))
    fleet = [resource(1, battery=battery, terms=needs), seller(2, 40)]
    decision = decide(snapshot(*fleet, events=tuple(named(name, requested_w=2000) for name in names)))
    assert [setpoint.setpoint_w for setpoint in decision.setpoints] == [7000, -2000 * len(names)]
    assert [(share.allotted_w, share.reasons) for share in decision.events] == [(2000, ())] * len(names)


def test_priority_goes_before_age() -> None:
    """A11: OpenADR 3, the smaller the more important."""
    old = named("old", priority=5, created_at=NOW - timedelta(hours=9))
    urgent = named("urgent", priority=1, created_at=NOW)
    decision = decide(snapshot(seller(1, 0), events=(old, urgent)))
    assert [share.event for share in decision.events] == ["urgent", "old"]
    assert decision.setpoints[0].event == "urgent"


@pytest.mark.parametrize("first", Direction)
def test_an_area_is_not_moved_the_other_way_even_where_the_first_event_finds_nobody(first: Direction) -> None:
    """A11: before, 30 reversals an hour, since the block lifted as soon as the first event moved nobody."""
    other = Direction.UP if first is Direction.DOWN else Direction.DOWN
    nobody = named(
        "first", first, created_at=NOW - timedelta(hours=2), price_per_kwh=Decimal(0 if first is Direction.DOWN else 30)
    )
    wanted = named("second", other)
    resting = resource(terms=Terms(min_sell_per_kwh=Decimal(45), max_buy_per_kwh=Decimal(12)))
    decision = decide(snapshot(resting, events=(nobody, wanted)))
    assert decision.setpoints[0].event is None
    assert decision.events[1].allotted_w == 0
    assert Reason.DR_SHORTFALL in decision.events[1].reasons


def test_up_and_down_at_once_reverse_nobody() -> None:
    """A11: an hour, minute by minute."""
    down = named("down", requested_w=4000, starts_at=NOW, ends_at=NOW + timedelta(hours=1))
    up = named("up", Direction.UP, 4000, starts_at=NOW, ends_at=NOW + timedelta(hours=1), created_at=NOW)
    vehicle = resource(plug_in=PlugInId("p"), terms=Terms(required_wh=12_000, charge=False))
    run = World(snapshot(vehicle, events=(down, up))).run(1)
    assert reversals([d.setpoints[0].setpoint_w for d in run.decisions]) == 0


def test_an_upward_price_is_never_above_the_tariff() -> None:
    """A5: maximum buy 35, tariff 30, the event says 50."""
    dear = named("up", Direction.UP, price_per_kwh=Decimal(50))
    (setpoint,) = decide(snapshot(resource(terms=Terms(max_buy_per_kwh=Decimal(35))), events=(dear,))).setpoints
    assert setpoint.price_per_kwh in (None, Decimal(30))
    picky = resource(terms=Terms(max_buy_per_kwh=Decimal(10)))
    (raised,) = decide(snapshot(picky, events=(named("up", Direction.UP, price_per_kwh=Decimal(9)),))).setpoints
    assert (raised.event, raised.price_per_kwh) == ("up", Decimal(9))


def test_a_frozen_upward_price_ends_before_a_tariff_below_it() -> None:
    """A5: 25 now; in a minute the tariff is 20."""
    up = named("up", Direction.UP, price_per_kwh=Decimal(25))
    picky = resource(terms=Terms(max_buy_per_kwh=Decimal(25)))
    (setpoint,) = decide(
        snapshot(picky, events=(up,), prices={HOME: prices(30, 20, every_h=1 / 60), AWAY: prices(1)})
    ).setpoints
    assert (setpoint.price_per_kwh, setpoint.expires_at) == (Decimal(25), NOW + timedelta(minutes=1))


@given(snapshots())
def test_each_moved_watt_has_one_event_and_its_frozen_price_and_ends_with_it(state: Snapshot) -> None:
    """A4, A5, A11."""
    events = {each.id: each for each in state.events}
    areas = {each.id: each.area for each in state.sites}
    for evse, setpoint in zip(state.evses, decide(state).setpoints, strict=True):
        if setpoint.event is None:
            assert setpoint.price_per_kwh is None
            continue
        by, tariff = events[setpoint.event], state.prices[areas[evse.site]].at(state.now)
        assert setpoint.price_per_kwh == by.unit_price(tariff)
        assert setpoint.expires_at <= by.stops_at
        assert by.direction is Direction.DOWN or (setpoint.price_per_kwh or 0) <= tariff


@given(snapshots())
def test_an_area_is_moved_one_way_only(state: Snapshot) -> None:
    """A11."""
    directions = {each.id: each.direction for each in state.events}
    areas = {each.id: each.area for each in state.sites}
    moved: dict[str, set[Direction]] = {}
    for evse, setpoint in zip(state.evses, decide(state).setpoints, strict=True):
        if setpoint.event is not None:
            moved.setdefault(areas[evse.site], set()).add(directions[setpoint.event])
    assert all(len(ways) == 1 for ways in moved.values())


@pytest.mark.parametrize("limit_w", [3_681, 8_000])
@pytest.mark.parametrize("min_charge_w", [0, 1380, 3600])
def test_an_upward_watt_is_never_a_whole_vehicle_that_takes_nothing(min_charge_w: int, limit_w: int) -> None:
    """A13: two vehicles of 3,680 W that were seen to take nothing. With 1 W to spare 3,680 moved, 1 was allotted."""
    rated = Ratings(max_charge_w=3680, min_charge_w=min_charge_w)
    fleet = [resource(n, drawn_w=0, ratings=rated, terms=Terms()) for n in (1, 2)]
    one_watt = named("up", Direction.UP, 1, price_per_kwh=Decimal(5))
    state = snapshot(*fleet, sites=(site(limit_w=limit_w),), events=(one_watt,))
    decision = decide(state)
    moved = sum(abs(s.setpoint_w - s.counterfactual_w) for s in decision.setpoints if s.event)
    assert moved == decision.events[0].allotted_w == 0
    assert Reason.DR_SHORTFALL in decision.events[0].reasons


def test_an_upward_watt_moves_one_least_power_at_most() -> None:
    """A13."""
    picky = [resource(n, terms=Terms(max_buy_per_kwh=Decimal(10))) for n in (1, 2)]
    decision = decide(snapshot(*picky, events=(named("up", Direction.UP, 1),)))
    assert sorted(s.setpoint_w for s in decision.setpoints) == [0, 1380]
    assert decision.events[0].allotted_w == 1380


def test_no_event_curtails_who_has_not_permitted_it() -> None:
    """B13: the check says so by itself."""
    state = snapshot(resource(1, use=Use.PLAIN), resource(2), events=(named("e", requested_w=50_000),))
    good = decide(state)
    assert good.setpoints[0].setpoint_w == 7000
    less = replace(good.setpoints[0], setpoint_w=2000)
    broken = violations(state, replace(good, setpoints=(less, good.setpoints[1])))
    assert {violation.rule for violation in broken} == {"plain_charging_withheld"}
    used = replace(good.setpoints[0], event=DrEventId("e"), price_per_kwh=Decimal(50))
    broken = violations(state, replace(good, setpoints=(used, good.setpoints[1])))
    assert {violation.rule for violation in broken} == {"event_without_permission"}
