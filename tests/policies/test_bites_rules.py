"""The failsafe decision and the clamp, to the watt, and rules that each hang on one figure. A3, A7, P4-P8, P12."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms.domain.decision import Decision, Setpoint
from csms.domain.snapshot import Battery, EvseState, Snapshot, Terms, Use
from csms.domain.station import Ratings
from policies.constraints import violations
from policies.failsafe import clamped, failsafe
from tests.policies.fleets import NOW, event, resource, site, snapshot

RATED = Ratings(max_charge_w=7000, min_charge_w=1400, max_discharge_w=6000)
BATTERY = Battery(capacity_wh=40_000, energy_wh=20_000, max_charge_w=7000, max_discharge_w=6000)
VALID = timedelta(seconds=180)


def plain(number: int, **changes: Any) -> EvseState:
    return resource(number, use=Use.PLAIN, ratings=RATED, **({"terms": Terms()} | changes))


def told(state: Snapshot, *powers: int, moved: frozenset[int] = frozenset()) -> Decision:
    """These powers, W; those at the places ``moved`` in the name of the snapshot's event, at what it pays."""
    setpoints = []
    for place, (evse, power) in enumerate(zip(state.evses, powers, strict=True)):
        by = state.events[0] if place in moved else None
        setpoints.append(
            Setpoint(
                evse=evse.ref,
                setpoint_w=power,
                counterfactual_w=0,
                expires_at=NOW + VALID,
                event=by.id if by else None,
                price_per_kwh=by.price_per_kwh if by else None,
            )
        )
    return Decision(at=NOW, setpoints=tuple(setpoints))


def powers(decision: Decision) -> list[int]:
    return [setpoint.setpoint_w for setpoint in decision.setpoints]


def broken(state: Snapshot, decision: Decision) -> set[str]:
    return {violation.rule for violation in violations(state, decision)}


def test_the_failsafe_decision_buys_nothing_above_the_users_price() -> None:
    """P6: the tariff is 30."""
    picky, patient = plain(1, terms=Terms(max_buy_per_kwh=Decimal(20))), plain(2, terms=Terms(charge=False))
    assert powers(failsafe(snapshot(picky, patient, plain(3)))) == [0, 0, 7000]


def test_nobody_is_given_less_than_the_least_power() -> None:
    """500 W are left for the second, which takes 1,400 at least."""
    state = snapshot(plain(1), plain(2), sites=(site(limit_w=7_500),))
    assert powers(failsafe(state)) == [7000, 0]


def test_what_nobody_steers_keeps_its_part_of_the_fuse() -> None:
    """A3: 5 kW of 8 may flow at an EVSE out of reach."""
    state = snapshot(resource(1, use=Use.IDLE, reserved_w=5000), plain(2), sites=(site(limit_w=8_000),))
    assert powers(failsafe(state)) == [0, 3000]


def test_plain_charging_does_not_take_what_an_event_left_free() -> None:
    """P12: a charging of 7 kW was stopped under a fuse of 10; 3 kW are the neighbour's, as before."""
    state = snapshot(resource(1, ratings=RATED), plain(2), sites=(site(limit_w=10_000),), events=(event(),))
    assert powers(clamped(state, told(state, 0, 2000, moved=frozenset({0})))) == [0, 3000]


def test_a_discharge_is_cut_to_what_the_site_may_feed_in() -> None:
    state = snapshot(resource(1, ratings=RATED), sites=(site(limit_w=1_000),), events=(event(),))
    assert powers(clamped(state, told(state, -5000, moved=frozenset({0})))) == [-1000]


@pytest.mark.parametrize(("added_wh", "is_short"), [(5_100, True), (9_000, False)])
def test_a_discharge_does_not_take_back_energy_that_was_to_be_added(added_wh: int, is_short: bool) -> None:
    """P7: 6 kW for 180 s are 300 Wh; 5 kWh were to be added."""
    evse = resource(1, terms=Terms(required_added_wh=5000.0, departure_at=NOW + VALID * 100), added_wh=float(added_wh))
    state = snapshot(evse, events=(event(),))
    assert ("discharge_below_required" in broken(state, told(state, -6000, moved=frozenset({0})))) is is_short


@pytest.mark.parametrize(
    ("energy_wh", "error_wh", "is_short"), [(12_400, 0, False), (12_400, 200, True), (12_310, 0, True)]
)
def test_a_discharge_leaves_the_required_charge_with_losses_and_with_what_is_not_sure(
    energy_wh: int, error_wh: int, is_short: bool
) -> None:
    """P7, V2G-33: 300 Wh at the plug are 333 Wh of the battery; 12 kWh are required."""
    battery = replace(BATTERY, energy_wh=energy_wh, error_wh=error_wh, discharge_efficiency=0.9)
    state = snapshot(resource(1, battery=battery), events=(event(),))
    assert ("discharge_below_required" in broken(state, told(state, -6000, moved=frozenset({0})))) is is_short


@pytest.mark.parametrize(("ask", "is_cheap"), [("50", False), ("50.5", True), ("51", True)])
def test_half_a_yen_below_the_lowest_selling_price_is_below_it(ask: str, is_cheap: bool) -> None:
    """P5: the event pays 50."""
    evse = resource(1, terms=Terms(min_sell_per_kwh=Decimal(ask)))
    state = snapshot(evse, events=(event(),))
    assert ("discharge_below_min_sell" in broken(state, told(state, -3000, moved=frozenset({0})))) is is_cheap


@pytest.mark.parametrize(("pays", "is_a_loss"), [(36, True), (38, False)])
def test_who_entrusts_never_sells_below_what_the_energy_costs_again(pays: int, is_a_loss: bool) -> None:
    """P8: at a tariff of 30 and losses of a tenth each way, a kWh sold is bought again for 37.04."""
    battery = replace(BATTERY, charge_efficiency=0.9, discharge_efficiency=0.9)
    state = snapshot(
        resource(1, battery=battery, terms=Terms(entrust=True)), events=(event(price_per_kwh=Decimal(pays)),)
    )
    assert ("discharge_below_min_sell" in broken(state, told(state, -3000, moved=frozenset({0})))) is is_a_loss


def test_a_discharge_ends_with_its_slot_not_with_the_horizon() -> None:
    """P9: the slot ends in a minute, the setpoint would in three."""
    state = snapshot(resource(1, terms=Terms(permitted_until=NOW + VALID / 3)), events=(event(),))
    assert "discharge_outside_slot" in broken(state, told(state, -3000, moved=frozenset({0})))


def test_dear_charging_stops_at_what_is_required() -> None:
    """P6, P7: 100 Wh lack to the required charge, 350 would flow; the tariff is above the user's price."""
    evse = resource(1, ratings=RATED, terms=Terms(required_wh=20_100, max_buy_per_kwh=Decimal(20)))
    state = snapshot(evse)
    assert "charge_above_max_buy" in broken(state, told(state, 7000))


def test_a_fuse_relies_on_no_vehicle_that_feeds_in() -> None:
    """7 kW flow in beside 6 kW out; the limit of 5 is broken when the second stops."""
    state = snapshot(resource(1), resource(2), sites=(site(limit_w=5_000),), events=(event(),))
    assert "site_import_limit" in broken(state, told(state, 7000, -6000, moved=frozenset({1})))


def test_an_export_limit_relies_on_no_charging_that_is_not_metered() -> None:
    state = snapshot(resource(1), resource(2), sites=(site(limit_w=5_000),), events=(event(),))
    assert "site_export_limit" in broken(state, told(state, 4000, -6000, moved=frozenset({1})))


@pytest.mark.parametrize(("stay_s", "is_due"), [(720, True), (1_600, False)])
def test_a_required_charge_is_due_when_the_time_after_this_horizon_does_not_suffice(stay_s: int, is_due: bool) -> None:
    """P7: 1,200 Wh lack; 7 kW give 350 Wh in 180 s: after this horizon 1,050 Wh in 720 s, 2,761 in 1,600."""
    terms = Terms(required_wh=21_200, departure_at=NOW + timedelta(seconds=stay_s))
    state = snapshot(resource(1, ratings=RATED, terms=terms))
    assert ("required_charge_missed" in broken(state, told(state, 0))) is is_due


def test_a_neighbours_plain_charging_is_not_withheld_at_a_price_that_its_user_refused() -> None:
    """P6: 0 W is right above the user's price, and a violation (P4) without one."""
    picky, other = plain(1, terms=Terms(max_buy_per_kwh=Decimal(20))), plain(2)
    assert broken(snapshot(picky), told(snapshot(picky), 0)) == set()
    assert broken(snapshot(other), told(snapshot(other), 0)) == {"plain_charging_withheld"}


def test_a_fuse_that_can_serve_nobody_in_time_is_no_decisions_fault() -> None:
    """A7: 22 kWh lack behind 5 kW in two hours. Where it is 9.8, the decision gives nothing."""
    for lacks_wh, is_missed in ((10_000, False), (4_400, True)):
        terms = Terms(required_wh=20_000 + lacks_wh, departure_at=NOW + timedelta(hours=2))
        state = snapshot(*(resource(n, ratings=RATED, terms=terms) for n in (1, 2)), sites=(site(limit_w=5_000),))
        of_site = [violation for violation in violations(state, told(state, 0, 0)) if violation.site]
        assert bool(of_site) is is_missed
