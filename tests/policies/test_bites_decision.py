"""Decisions to the watt: one sharp case each. P4, P8; A2, A3, V2G-9."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId, PlugInId
from csms.domain.snapshot import Battery, EvseState, Served, Terms, Use, Virtual
from csms.domain.station import Ratings
from policies import decide
from policies.shortfall import misses
from tests.policies.fleets import AWAY, HOME, NOW, event, prices, resource, site, snapshot

RATED = Ratings(max_charge_w=7000, max_discharge_w=6000)
EMPTY = Battery(capacity_wh=40_000, energy_wh=5_000, max_charge_w=7000, max_discharge_w=6000)


def powers(
    *evses: EvseState, limit_w: int, per_kwh: tuple[float, ...] = (30,), asked: DrEvent | None = None
) -> list[int]:
    state = snapshot(
        *evses,
        sites=(site(limit_w=limit_w),),
        prices={HOME: prices(*per_kwh), AWAY: prices(1)},
        events=(asked,) if asked else (),
    )
    return [setpoint.setpoint_w for setpoint in decide(state).setpoints]


def test_a_fuse_that_does_not_divide_is_used_to_its_last_watt() -> None:
    """P4: 10,001 W for three vehicles that could take 7 kW each."""
    shared = powers(*(resource(n, use=Use.PLAIN, terms=Terms()) for n in range(3)), limit_w=10_001)
    assert sum(shared) == 10_001
    assert max(shared) - min(shared) == 1


@pytest.mark.parametrize(("given_w", "is_missed"), [(-5_500, False), (-5_300, True)])
def test_a_tenth_less_than_asked_is_the_meters_tolerance(given_w: int, is_missed: bool) -> None:
    """V2G-9: 6 kW were asked."""
    served = Served(DrEventId("event"), -6000, given_w)
    assert misses(resource(served=served), event()) is is_missed


def test_what_is_out_of_reach_leaves_less_time_to_reach_a_required_charge() -> None:
    """A3, P7: in an hour the price is right. With 7 of 14 kW out of reach two vehicles share 7 kW and must begin now
    to have 10 kWh each by noon."""
    terms = Terms(required_wh=14_000, departure_at=NOW + timedelta(hours=3), max_buy_per_kwh=Decimal(10))
    needy = [resource(n, battery=EMPTY, terms=terms, ratings=RATED) for n in (1, 2)]
    away = resource(3, use=Use.IDLE, reserved_w=7_000)
    assert sum(powers(*needy, away, limit_w=14_000, per_kwh=(30, 5))[:2]) >= 6_900
    assert sum(powers(*needy, limit_w=14_000, per_kwh=(30, 5))) == 0


def entrusted(number: int, leaves_h: float) -> EvseState:
    terms = Terms(entrust=True, departure_at=NOW + timedelta(hours=leaves_h))
    almost_full = replace(EMPTY, energy_wh=40_000 - 6_300)
    return resource(number, battery=almost_full, terms=terms, ratings=RATED)


def test_two_entrusted_vehicles_do_not_wait_for_the_same_cheap_hour() -> None:
    """P8: each needs an hour of the whole fuse; of the hours ahead the second is cheapest, the first comes next."""
    hours = (20, 10, 30)
    alone = powers(entrusted(1, 40), limit_w=7_000, per_kwh=hours)
    both = powers(entrusted(1, 40), entrusted(2, 40), limit_w=7_000, per_kwh=hours)
    assert alone == [0]
    assert sorted(both) == [0, 7_000]


def test_who_leaves_first_has_the_cheapest_hour() -> None:
    """P8: the other takes the next best, which is now; the same whoever is named first."""
    hours = (20, 10, 30)
    first, last = entrusted(1, 30), entrusted(2, 40)
    assert powers(first, last, limit_w=7_000, per_kwh=hours) == [0, 7_000]
    assert powers(last, first, limit_w=7_000, per_kwh=hours) == [7_000, 0]


def test_an_event_leaves_the_required_charge() -> None:
    """P7: 7 kWh lack in an hour and a half: it charges on."""
    terms = Terms(required_wh=14_000, departure_at=NOW + timedelta(hours=1.5))
    (power,) = powers(resource(battery=EMPTY, terms=terms, ratings=RATED), limit_w=50_000, asked=event())
    assert power > 6_000


def test_charging_goes_on_where_what_it_would_cost_later_is_more_than_the_event_pays() -> None:
    """P12: 30 now, 90 in the hour after; the event pays 50 for stopping, which costs 60."""
    terms = Terms(required_wh=0, departure_at=NOW + timedelta(hours=6))
    evse = resource(battery=EMPTY, terms=terms, ratings=RATED, added_wh=4000.0, observed_w=7000)
    assert powers(evse, limit_w=50_000, per_kwh=(30, 90), asked=event()) == [7_000]
    assert powers(evse, limit_w=50_000, per_kwh=(30, 60), asked=event())[0] <= 0


def test_a_vehicle_that_takes_one_kilowatt_has_one_to_stop() -> None:
    """A2: of two kilowatts that an event asks for, it gives one by stopping."""
    evse = resource(ratings=RATED, terms=Terms(discharge=False), drawn_w=1000, observed_w=1000)
    state = snapshot(evse, events=(event(Direction.DOWN, 2000),))
    (share,) = decide(state).events
    assert share.allotted_w == 1000


def test_without_the_event_the_battery_would_be_full_and_no_fuller() -> None:
    """A2: 1 kWh of room, 7 kW for an hour in the world without the event."""
    evse = resource(ratings=RATED, plug_in=PlugInId("p"), battery=replace(EMPTY, energy_wh=39_000))
    state = snapshot(evse, events=(event(),))
    would = Virtual(
        evse=evse.ref,
        plug_in=PlugInId("p"),
        frozen_at=NOW - timedelta(hours=1),
        at=NOW - timedelta(hours=1),
        energy_wh=39_000.0,
        added_wh=0.0,
        power_w=7000,
    )
    (rolled,) = decide(replace(state, virtual={evse.ref: would})).virtual
    assert rolled.energy_wh == 40_000


def test_of_the_hours_to_come_the_cheapest_is_the_cost_of_charging_later() -> None:
    """P12: 90 in an hour, 20 in two: stopping costs nothing."""
    evse = resource(battery=EMPTY, terms=Terms(departure_at=NOW + timedelta(hours=6)), added_wh=4000.0, observed_w=7000)
    assert powers(evse, limit_w=50_000, per_kwh=(30, 90, 20), asked=event())[0] <= 0


@pytest.mark.parametrize(("cheap_h", "power_w"), [(1, 7_000), (3, 0)])
def test_an_entrusted_vehicle_counts_only_the_hours_that_are_cheaper_than_now(cheap_h: int, power_w: int) -> None:
    """P8: two hours of charging are wanted; 20 now, then two hours at 30, some at 10, then 30 again."""
    evse = replace(entrusted(1, 20), battery=replace(EMPTY, energy_wh=27_400))
    assert powers(evse, limit_w=50_000, per_kwh=(20, 30, 30, *(10,) * cheap_h, 30)) == [power_w]
