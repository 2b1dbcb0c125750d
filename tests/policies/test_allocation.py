"""How a DR event is shared. Requirements P12, P16, G1, G2; reference demand-response §6.2-6.3."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from csms.domain.decision import Decision, Reason
from csms.domain.dr import Direction
from csms.domain.ids import DrEventId
from csms.domain.snapshot import Terms, Use
from policies import decide
from policies.capacity import Period, capacity
from tests.policies.fleets import AWAY, HOME, NOW, event, resource, site, snapshot

HOUR = Period(starts_at=NOW, ends_at=NOW + timedelta(hours=1))


def powers(decision: Decision) -> list[int]:
    return [setpoint.setpoint_w for setpoint in decision.setpoints]


def asking(number: int, min_sell: int) -> object:
    return resource(number, terms=Terms(required_wh=12_000, min_sell_per_kwh=Decimal(min_sell)))


def test_charging_stops_before_anybody_discharges() -> None:
    fleet = [resource(1), resource(2)]
    stopped = decide(snapshot(*fleet, events=(event(requested_w=14_000),)))
    assert powers(stopped) == [0, 0]
    more = decide(snapshot(*fleet, events=(event(requested_w=15_000),)))
    assert sorted(powers(more)) == [-1000, 0]
    assert more.events[0].allotted_w == 15_000


def test_the_cheapest_vehicle_discharges_first() -> None:
    """P16."""
    fleet = [asking(1, 48), asking(2, 44), asking(3, 46)]
    decision = decide(snapshot(*fleet, events=(event(requested_w=21_000 + 8_000),)))  # type: ignore[arg-type]
    assert powers(decision) == [0, -6000, -2000]


def test_the_one_used_longest_ago_comes_first_then_the_one_with_most_time() -> None:
    wanted = event(requested_w=21_000 + 6_000)
    for hours in ((1, 3, 2), (3, 1, 2), (2, 1, 3)):  # in each place, so that no lot can make it so
        used = [resource(number, last_used_at=NOW - timedelta(hours=ago)) for number, ago in enumerate(hours, 1)]
        assert powers(decide(snapshot(*used, events=(wanted,)))) == [-6000 if ago == 3 else 0 for ago in hours]
    leaving = [
        resource(number, terms=Terms(required_wh=12_000, departure_at=NOW + timedelta(hours=number)))
        for number in (2, 3, 8)
    ]
    assert powers(decide(snapshot(*leaving, events=(wanted,)))) == [0, 0, -6000]


def test_equal_vehicles_are_drawn_by_lot_and_another_event_draws_anew() -> None:
    fleet = [resource(number) for number in range(20)]
    drawn = {
        tuple(powers(decide(snapshot(*fleet, events=(event(requested_w=146_000, id=DrEventId(f"e{n}")),)))))
        for n in range(5)
    }
    assert len(drawn) > 1


def test_the_marginal_vehicle_absorbs_the_rounding_to_the_least_power() -> None:
    decision = decide(snapshot(resource(), events=(event(requested_w=6_500),)))
    assert powers(decision) == [0]
    assert decision.events[0].allotted_w == 7_000
    assert decision.events[0].reasons == (Reason.BELOW_MINIMUM_POWER,)


def test_a_shortfall_is_said_and_never_an_error() -> None:
    decision = decide(snapshot(resource(), events=(event(requested_w=50_000),)))
    share = decision.events[0]
    assert (share.allotted_w, share.capacity_w, share.reasons) == (13_000, 13_000, (Reason.DR_SHORTFALL,))
    empty = decide(snapshot(events=(event(),)))
    assert empty.events[0].reasons == (Reason.DR_SHORTFALL,)


def test_a_vehicle_that_takes_less_than_it_may_can_only_stop_that_much() -> None:
    """G11: what a full vehicle does not draw is no reduction."""
    fleet = [resource(1, drawn_w=2000), resource(2)]
    decision = decide(snapshot(*fleet, events=(event(requested_w=9000),)))
    assert powers(decision) == [0, 0]
    assert [setpoint.counterfactual_w for setpoint in decision.setpoints] == [2000, 7000]
    assert decision.events[0].allotted_w == 9000


def test_a_vehicle_that_no_event_needs_keeps_the_limit_it_does_not_use_up() -> None:
    decision = decide(snapshot(resource(1, drawn_w=2000), events=(event(requested_w=0),)))
    assert powers(decision) == [7000]


def test_an_event_that_raises_demand_takes_no_limit_down() -> None:
    wanted = event(requested_w=1500, direction=Direction.UP)
    assert powers(decide(snapshot(resource(1, drawn_w=2000), events=(wanted,)))) == [7000]


def test_an_event_that_raises_demand_leaves_the_fuse_to_a_vehicle_that_does_not_use_its_limit() -> None:
    """Must hold 1: it may begin to draw what it is given at any time."""
    wanted = event(Direction.UP, 5000)
    cheap = replace(resource(2).terms, max_buy_per_kwh=wanted.price_per_kwh)
    fleet = [resource(1, drawn_w=2000), resource(2, terms=cheap)]
    decision = decide(snapshot(*fleet, sites=(site(limit_w=10_000),), events=(wanted,)))
    assert powers(decision) == [7000, 3000]


def test_an_export_limit_of_the_tree_caps_the_discharge_and_is_named() -> None:
    sites = (site("house"), replace(site("room", "house"), export_limit_w=2_000))
    decision = decide(snapshot(resource(1, site="room"), resource(2, site="house"), sites=sites, events=(event(),)))
    assert powers(decision) == [-2000, -6000]
    assert decision.events[0].reasons == (Reason.DR_SHORTFALL, Reason.SITE_EXPORT_LIMIT)


def test_discharge_under_an_export_limit_relies_on_metered_charging_only() -> None:
    """A vehicle that charges plainly takes up what the other gives, as far as its meter shows."""
    for metered_w, power_w in ((7000, -6000), (1000, -1000), (None, 0)):
        plain = resource(1, use=Use.PLAIN, observed_w=metered_w)
        house = replace(site(), export_limit_w=0)
        decision = decide(snapshot(plain, resource(2), sites=(house,), events=(event(),)))
        assert powers(decision) == [7000, power_w]


def test_an_export_limit_never_keeps_a_vehicle_from_stopping() -> None:
    house = replace(site(), export_limit_w=0)
    assert powers(decide(snapshot(resource(), sites=(house,), events=(event(),)))) == [0]


def test_only_the_events_region_is_moved() -> None:
    sites = (site("here"), site("there", area=AWAY))
    fleet = [resource(1, site="here"), resource(2, site="there")]
    decision = decide(snapshot(*fleet, sites=sites, events=(event(areas=frozenset({AWAY})),)))
    assert powers(decision) == [7000, -6000]


def test_events_at_once_are_served_in_order_of_creation_and_share_no_vehicle() -> None:
    late = event(requested_w=13_000, id=DrEventId("late"), created_at=NOW)
    early = event(requested_w=14_000, id=DrEventId("early"))
    decision = decide(snapshot(resource(1), resource(2), resource(3), events=(late, early)))
    assert [(share.event, share.allotted_w) for share in decision.events] == [("early", 14_000), ("late", 13_000)]
    assert sorted(str(setpoint.event) for setpoint in decision.setpoints) == ["early", "early", "late"]


def test_a_region_is_never_moved_both_ways_at_once() -> None:
    down = event(requested_w=7_000)
    up = event(Direction.UP, id=DrEventId("up"), created_at=NOW)
    picky = resource(2, terms=Terms(required_wh=12_000, max_buy_per_kwh=Decimal(20)))
    decision = decide(snapshot(resource(1), picky, events=(up, down)))
    assert powers(decision) == [0, 0]
    assert decision.events[1].reasons == (Reason.DR_SHORTFALL,)


def test_what_does_not_come_is_taken_from_others() -> None:
    """V2G-9: the vehicle that does not follow is planned with what it takes."""
    wanted = event(requested_w=13_000)
    fleet = [resource(1), resource(2, uncontrolled_w=7000)]
    decision = decide(snapshot(*fleet, events=(wanted,)))
    assert decision.setpoints[0].setpoint_w == -6000
    assert decision.setpoints[1].event is None


def test_a_discharge_that_goes_on_by_itself_counts_for_the_event() -> None:
    decision = decide(snapshot(resource(1), resource(2, uncontrolled_w=-4000), events=(event(requested_w=11_000),)))
    assert powers(decision) == [0, -4000]
    assert decision.events[0].allotted_w == 11_000


@pytest.mark.parametrize(
    ("direction", "power_w", "energy_wh"), [(Direction.DOWN, 13_000, 13_000), (Direction.UP, 0, 0)]
)
def test_capacity_is_what_could_be_moved_now_and_over_the_period(
    direction: Direction, power_w: int, energy_wh: int
) -> None:
    """G1, G2: 7 kW of charging and 6 kW of discharging (8 kWh above the required charge, 7.2 at the meter)."""
    found = capacity(snapshot(resource()), direction, HOUR)
    assert (found.power_w, found.energy_wh) == (power_w, energy_wh)


def test_capacity_counts_the_energy_of_the_battery_and_the_time_of_the_stay() -> None:
    long = Period(starts_at=NOW, ends_at=NOW + timedelta(hours=8))
    assert capacity(snapshot(resource()), Direction.DOWN, long).energy_wh == 7_200 + 22_222
    gone = Period(starts_at=NOW + timedelta(hours=9), ends_at=NOW + timedelta(hours=10))
    assert capacity(snapshot(resource()), Direction.DOWN, gone).power_w == 0


def test_capacity_for_more_demand_is_what_a_low_price_makes_charge() -> None:
    picky = resource(terms=Terms(required_wh=12_000, max_buy_per_kwh=Decimal(20)))
    state = snapshot(picky)
    assert capacity(state, Direction.UP, HOUR, price_per_kwh=Decimal(20)).power_w == 7_000
    assert capacity(state, Direction.UP, HOUR, frozenset({AWAY}), Decimal(20)).power_w == 0
    assert capacity(state, Direction.UP, HOUR, frozenset({HOME}), Decimal(20)).evses == 1
