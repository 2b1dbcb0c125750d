"""Each hard rule catches the decision that breaks it: one good decision, changed in one place."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms.domain.decision import Decision, Part, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId
from csms.domain.snapshot import Battery, EvseState, Snapshot, Terms, Use
from policies.constraints import violations
from policies.rules import RULES
from tests.policies.fleets import AWAY, NOW, event, resource, site, snapshot

DOWN = event()
UP = event(Direction.UP)
OVER = event(ends_at=NOW - timedelta(seconds=1))
DEARER_DOWN = event(price_per_kwh=None, incentive_per_kwh=Decimal(5))
LATER = NOW + timedelta(hours=8)
BATTERY = Battery(capacity_wh=40_000, energy_wh=20_000, max_charge_w=7000, max_discharge_w=6000)
LOW = replace(BATTERY, energy_wh=11_990)
"""10 Wh below the required charge of the tests' vehicle."""


def told(state: Snapshot, *powers_w: int, **changes: Any) -> Decision:
    """A decision with these powers, in the name of the snapshot's event where there is one."""
    named = state.events[0].id if state.events else None
    price = state.events[0].price_per_kwh if state.events else None
    given: dict[str, Any] = {
        "expires_at": NOW + timedelta(seconds=180),
        "event": named,
        "price_per_kwh": price,
    } | changes
    setpoints = (
        Setpoint(evse=evse.ref, setpoint_w=power, **{"counterfactual_w": 0} | given)
        for evse, power in zip(state.evses, powers_w, strict=True)
    )
    return Decision(at=NOW, setpoints=tuple(setpoints))


def broken(state: Snapshot, decision: Decision) -> set[str]:
    return {violation.rule for violation in violations(state, decision)}


CASES: list[tuple[str, EvseState, int, Any]] = [
    ("evse_import_limit", resource(battery=None), 7400, None),
    ("evse_export_limit", resource(battery=replace(BATTERY, max_discharge_w=9000)), -6100, DOWN),
    ("vehicle_charge_limit", resource(), 7100, None),
    ("vehicle_discharge_limit", resource(battery=replace(BATTERY, max_discharge_w=2000)), -2100, DOWN),
    ("discharge_without_permission", resource(use=Use.NOTHING), -2000, None),
    ("discharge_without_permission", resource(terms=Terms(discharge=False)), -2000, DOWN),
    ("charge_without_permission", resource(use=Use.HELD), 2000, None),
    ("charge_without_permission", resource(use=Use.NOTHING), 2000, None),
    ("charge_without_permission", resource(use=Use.NOTHING, battery=LOW, terms=Terms(required_wh=11_999)), 2000, None),
    ("event_without_permission", resource(use=Use.PLAIN), 7000, DOWN),
    ("event_not_in_force", resource(), 7000, OVER),
    ("event_not_in_force", resource(), 7000, replace(DOWN, areas=frozenset({AWAY}))),
    ("price_worse_than_promised", resource(), 0, DEARER_DOWN),
    ("charge_without_permission", resource(use=Use.IDLE), 2000, None),
    ("charge_without_permission", resource(terms=Terms(charge=False)), 2000, None),
    ("discharge_below_required", resource(terms=Terms(required_wh=19_900)), -2000, DOWN),
    ("discharge_below_required", resource(battery=replace(BATTERY, energy_wh=12_300, error_wh=250)), -2000, DOWN),
    ("discharge_below_min_sell", resource(terms=Terms(min_sell_per_kwh=Decimal("50.01"))), -2000, DOWN),
    ("discharge_below_min_sell", resource(terms=Terms(min_sell_per_kwh=Decimal(31))), -2000, None),
    ("discharge_below_min_sell", resource(terms=Terms(min_incentive_per_kwh=Decimal("20.01"))), -2000, DOWN),
    ("charge_above_max_buy", resource(terms=Terms(min_incentive_per_kwh=Decimal("20.01"))), 2000, UP),
    ("discharge_below_min_sell", resource(terms=Terms(entrust=True)), -2000, event(price_per_kwh=Decimal(31))),
    ("charge_above_max_buy", resource(terms=Terms(max_buy_per_kwh=Decimal(29))), 2000, None),
    ("charge_above_max_buy", resource(terms=Terms(max_buy_per_kwh=Decimal(9))), 2000, UP),
    (
        "charge_above_max_buy",
        resource(battery=LOW, terms=Terms(required_wh=12_000, max_buy_per_kwh=Decimal(29), departure_at=LATER)),
        2000,
        None,
    ),
    ("discharge_outside_slot", resource(terms=Terms(permitted_until=NOW + timedelta(seconds=100))), -2000, DOWN),
    ("soc_unknown_discharge", resource(battery=None), -2000, DOWN),
    ("discharge_unproven", resource(can_discharge=False), -2000, DOWN),
    ("overfill", resource(battery=replace(BATTERY, energy_wh=39_900)), 5000, None),
    ("below_minimum_power", resource(), 1000, None),
    ("pause_ends_transaction", resource(can_pause=False), 0, None),
    ("required_charge_missed", resource(terms=Terms(required_wh=30_000, departure_at=NOW)), 2000, None),
]


@pytest.mark.parametrize(
    ("rule", "evse", "power_w", "in_force"), CASES, ids=[f"{case[0]} {case[2]} W" for case in CASES]
)
def test_breaking_one_rule_is_named_by_it(rule: str, evse: EvseState, power_w: int, in_force: Any) -> None:
    state = snapshot(evse, events=(in_force,) if in_force else ())
    assert broken(state, told(state, power_w)) == {rule}


def test_every_rule_of_one_evse_has_such_a_case() -> None:
    """The other two need more than a power."""
    others = {"expiry_too_long", "watt_of_no_event"}
    assert {case[0] for case in CASES} | others == {*RULES, "required_charge_missed"}


E2 = event(id=DrEventId("e2"), price_per_kwh=Decimal(35), priority=1)
SHARES = {
    "all of it": ((E2, 7000), (DOWN, 2000), set()),
    "a watt too little": ((E2, 6999), (DOWN, 2000), {"watt_of_no_event"}),
    "a watt too much": ((E2, 7001), (DOWN, 2000), {"watt_of_no_event"}),
    "nothing by one": ((E2, 0), (DOWN, 9000), {"watt_of_no_event"}),
    "discharged by the one that pays too little": ((DOWN, 7000), (E2, 2000), {"discharge_below_min_sell"}),
    "the last of it discharged by that one": ((E2, 7001), (DOWN, 1999), {"discharge_below_min_sell"}),
    "by one that is over": ((replace(E2, id=DrEventId("gone")), 7000), (DOWN, 2000), {"event_not_in_force"}),
    "both ways": (
        (replace(E2, id=DrEventId("up"), price_per_kwh=Decimal(30)), 7000),
        (DOWN, 2000),
        {"watt_of_no_event"},
    ),
}


@pytest.mark.parametrize(("first", "last", "rules"), SHARES.values(), ids=SHARES)
def test_where_events_share_a_setpoint_each_watt_is_one_s_and_paid_by_it(
    first: tuple[DrEvent, int], last: tuple[DrEvent, int], rules: set[str]
) -> None:
    """P5, P19: the vehicle would charge at 7 kW and feeds in 2; its user sells from 50 on."""
    up = event(Direction.UP, id=DrEventId("up"), price_per_kwh=Decimal(30))
    state = snapshot(resource(terms=Terms(min_sell_per_kwh=Decimal(50))), events=(DOWN, E2, up))
    parts = tuple(Part(one.id, power_w, one.price_per_kwh or Decimal(0)) for one, power_w in (first, last))
    good = told(state, -2000, counterfactual_w=7000, parts=parts)
    assert broken(state, good) == rules


def test_a_part_that_pays_less_than_its_event_promised_is_refused() -> None:
    """P11."""
    state = snapshot(resource(terms=Terms()), events=(DOWN, E2))
    parts = (Part(E2.id, 7000, Decimal(34)), Part(DOWN.id, 2000, Decimal(50)))
    assert broken(state, told(state, -2000, counterfactual_w=7000, parts=parts)) == {"price_worse_than_promised"}


@pytest.mark.parametrize("seconds", [-1, 0, 181])
def test_a_setpoint_that_is_over_or_outlives_the_horizon_is_refused(seconds: int) -> None:
    state = snapshot(resource())
    assert broken(state, told(state, 2000, expires_at=NOW + timedelta(seconds=seconds))) == {"expiry_too_long"}


def test_a_setpoint_ends_with_the_event_it_answers() -> None:
    state = snapshot(resource(), events=(event(ends_at=NOW + timedelta(seconds=60)),))
    assert broken(state, told(state, -2000)) == {"expiry_too_long"}


def test_there_is_one_setpoint_per_evse_in_order() -> None:
    state = snapshot(resource(1), resource(2))
    good = told(state, 2000, 2000)
    first, second = good.setpoints
    for setpoints in ((first,), (first, second, first), (second, first), (first, replace(second, evse=first.evse))):
        assert broken(state, replace(good, setpoints=setpoints)) == {"missing_evse"}
    assert broken(state, good) == set()


def tree(limit_w: int) -> Snapshot:
    """Two rooms of 10 kW under a house."""
    sites = (site("house", limit_w=limit_w), site("a", "house", limit_w=10_000), site("b", "house", limit_w=10_000))
    return snapshot(resource(1, site="a"), resource(2, site="b"), sites=sites, events=(DOWN,))


def test_the_net_power_of_every_node_stays_within_its_limits() -> None:
    assert broken(tree(12_000), told(tree(12_000), 7000, 7000)) == {"site_import_limit"}
    assert broken(tree(11_000), told(tree(11_000), -6000, -6000)) == {"site_export_limit"}
    assert broken(tree(11_000), told(tree(11_000), 7000, -6000)) == set()


def test_a_fuse_does_not_rely_on_a_vehicle_that_discharges() -> None:
    assert broken(tree(5_000), told(tree(5_000), 6000, -5000)) == {"site_import_limit"}


def test_an_export_limit_relies_on_metered_charging_only() -> None:
    """A full vehicle takes nothing, whatever its limit."""
    for observed_w, rules in ((7000, set()), (500, {"site_export_limit"}), (None, {"site_export_limit"})):
        limits = replace(site(), export_limit_w=0)
        state = snapshot(resource(1, observed_w=observed_w), resource(2), sites=(limits,), events=(DOWN,))
        assert broken(state, told(state, 7000, -5000)) == rules


def test_a_station_that_does_not_follow_is_counted_with_what_it_takes() -> None:
    state = snapshot(resource(1, uncontrolled_w=7000), resource(2), sites=(site(limit_w=10_000),))
    assert broken(state, told(state, 0, 4000)) == {"site_import_limit"}
    assert broken(state, told(state, 0, 3000)) == set()


def test_what_no_setpoint_can_avoid_is_not_the_decisions_fault() -> None:
    state = snapshot(resource(1, uncontrolled_w=7000), resource(2), sites=(site(limit_w=5_000),))
    assert broken(state, told(state, 0, 0)) == set()


def test_a_required_charge_goes_before_charging_that_nobody_needs() -> None:
    """P7: the fuse is full, but with plain charging."""
    state = snapshot(
        resource(1, use=Use.PLAIN),
        resource(2, terms=Terms(required_wh=39_000, departure_at=NOW + timedelta(hours=2))),
        sites=(site(limit_w=7_000),),
    )
    assert broken(state, told(state, 7000, 0)) == {"required_charge_missed"}
    assert broken(state, told(state, 0, 7000)) == set()


def test_a_required_charge_may_be_reached_at_the_least_power_whatever_the_price() -> None:
    terms = Terms(required_wh=12_000, max_buy_per_kwh=Decimal(1), departure_at=LATER)
    state = snapshot(resource(battery=LOW, terms=terms))
    assert broken(state, told(state, 1380)) == set()
