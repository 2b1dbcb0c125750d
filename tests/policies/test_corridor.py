"""What one vehicle is told, and why. Requirements P4-P9, P12; reference demand-response §6.1."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms.domain.decision import Reason, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.snapshot import Battery, EvseState, Terms, Use
from csms.domain.station import Ratings
from policies import decide
from tests.policies.fleets import AWAY, HOME, NOW, event, prices, resource, site, snapshot

BATTERY = Battery(capacity_wh=40_000, energy_wh=20_000, max_charge_w=7000, max_discharge_w=6000)
NEARLY_FULL = replace(BATTERY, energy_wh=39_900, charge_efficiency=1.0)
DOWN = event()
UP = event(Direction.UP)
LATER = NOW + timedelta(hours=8)


def terms(**changes: Any) -> Terms:
    return replace(Terms(required_wh=12_000, departure_at=LATER), **changes)


def told(evse: EvseState, *events: DrEvent, **changes: Any) -> Setpoint:
    return decide(snapshot(evse, events=events, **changes)).setpoints[0]


@pytest.mark.parametrize(
    ("use", "power_w", "reason"),
    [
        (Use.IDLE, 0, Reason.NO_VEHICLE),
        (Use.HELD, 0, Reason.AWAITING_PERMISSION),
        (Use.NOTHING, 0, Reason.NOT_PERMITTED),
        (Use.PLAIN, 7000, Reason.PLAIN_CHARGING),
        (Use.RESOURCE, 7000, Reason.CHARGING_WITHIN_PRICE),
    ],
)
def test_what_may_be_done_decides_what_flows(use: Use, power_w: int, reason: Reason) -> None:
    """P4."""
    setpoint = told(resource(use=use))
    assert (setpoint.setpoint_w, setpoint.reasons) == (power_w, (reason,))


DISCHARGE: list[tuple[str, EvseState, DrEvent, int, Reason]] = [
    ("permitted", resource(), DOWN, -6000, Reason.DR_DISCHARGE),
    (
        "the vehicle gives less",
        resource(battery=replace(BATTERY, max_discharge_w=2000)),
        DOWN,
        -2000,
        Reason.DR_DISCHARGE,
    ),
    ("not for discharge", resource(terms=terms(discharge=False)), DOWN, 0, Reason.NOT_PERMITTED),
    ("the slot is over", resource(terms=terms(permitted_until=NOW)), DOWN, 7000, Reason.NOT_PERMITTED),
    ("not proven", resource(can_discharge=False), DOWN, 0, Reason.CANNOT_DISCHARGE),
    ("cannot pause", resource(can_pause=False), DOWN, 1380, Reason.CANNOT_DISCHARGE),
    ("unknown charge", resource(battery=None, terms=Terms(), added_wh=5000.0), DOWN, 0, Reason.SOC_UNKNOWN),
    ("unknown charge, never seen", resource(battery=None, terms=Terms()), DOWN, 7360, Reason.SOC_UNKNOWN),
    ("paid enough", resource(terms=terms(min_sell_per_kwh=Decimal(50))), DOWN, -6000, Reason.DR_DISCHARGE),
    ("paid too little", resource(terms=terms(min_sell_per_kwh=Decimal(51))), DOWN, 0, Reason.PRICE_BELOW_MIN_SELL),
    ("at the required charge", resource(terms=terms(required_wh=20_000)), DOWN, 0, Reason.AT_REQUIRED_CHARGE),
    ("not sure of it", resource(battery=replace(BATTERY, error_wh=8000)), DOWN, 0, Reason.AT_REQUIRED_CHARGE),
    ("below it", resource(terms=terms(required_wh=39_000, departure_at=None)), DOWN, 7000, Reason.REQUIRED_CHARGE),
    ("entrusted", resource(terms=terms(entrust=True)), DOWN, -6000, Reason.DR_DISCHARGE),
    (
        "entrusted, below break-even",
        resource(terms=terms(entrust=True)),
        event(price_per_kwh=Decimal(38)),
        0,
        Reason.PRICE_BELOW_MIN_SELL,
    ),
]


@pytest.mark.parametrize(
    ("evse", "asked", "power_w", "reason"), [c[1:] for c in DISCHARGE], ids=[c[0] for c in DISCHARGE]
)
def test_a_downward_event_discharges_only_as_far_as_the_user_permits(
    evse: EvseState, asked: DrEvent, power_w: int, reason: Reason
) -> None:
    """P4, P5, P7, P8, P12, V2G-33."""
    setpoint = told(evse, asked)
    assert setpoint.setpoint_w == power_w
    assert reason in setpoint.reasons


def test_discharge_slows_before_the_required_charge_is_reached() -> None:
    """What is sure, 100 Wh above it at 90 %, spread over the 3 min that a setpoint may stay in force."""
    battery = replace(BATTERY, energy_wh=12_200, error_wh=100)
    assert told(resource(battery=battery), DOWN).setpoint_w == -1800


CHARGE: list[tuple[str, EvseState, int, Reason]] = [
    ("cheap enough", resource(terms=terms(max_buy_per_kwh=Decimal(30))), 7000, Reason.CHARGING_WITHIN_PRICE),
    ("too dear", resource(terms=terms(max_buy_per_kwh=Decimal(29))), 0, Reason.PRICE_ABOVE_MAX_BUY),
    (
        "too dear, but required",
        resource(terms=terms(max_buy_per_kwh=Decimal(29), required_wh=30_000)),
        7000,
        Reason.REQUIRED_CHARGE,
    ),
    ("only to the required charge", resource(terms=terms(charge=False)), 0, Reason.NOT_PERMITTED),
    ("full", resource(battery=replace(BATTERY, energy_wh=40_000)), 0, Reason.FULL),
    ("nearly full", resource(battery=NEARLY_FULL), 2000, Reason.CHARGING_WITHIN_PRICE),
    ("too full for the least power", resource(battery=replace(BATTERY, energy_wh=39_950)), 0, Reason.FULL),
    ("does not follow", resource(uncontrolled_w=3000), 3000, Reason.NOT_FOLLOWING),
    ("does not follow and must not", resource(uncontrolled_w=3000, use=Use.NOTHING), 0, Reason.NOT_FOLLOWING),
]


@pytest.mark.parametrize(("evse", "power_w", "reason"), [c[1:] for c in CHARGE], ids=[c[0] for c in CHARGE])
def test_outside_dr_a_vehicle_charges_within_its_conditions(evse: EvseState, power_w: int, reason: Reason) -> None:
    """P6, P7."""
    setpoint = told(evse)
    assert setpoint.setpoint_w == power_w
    assert reason in setpoint.reasons


def test_the_required_charge_is_reached_in_time_whatever_the_price() -> None:
    """P7: 18 kWh (20 from the grid) before departure in 3 h, less the margin of half an hour: 2.4 h at 7 kW remain."""
    dear = terms(required_wh=38_000, departure_at=NOW + timedelta(hours=3), max_buy_per_kwh=Decimal(10))
    setpoint = told(resource(terms=dear), DOWN, prices={HOME: prices(30, 30, 5), AWAY: prices(1)})
    assert setpoint.setpoint_w == 7000
    assert setpoint.reasons[0] is Reason.REQUIRED_CHARGE


@pytest.mark.parametrize(("hours", "power_w"), [(8, 0), (2, 7000), (None, 7000)])
def test_a_vehicle_that_tells_no_charge_gets_its_required_charge_as_if_it_were_empty(
    hours: int | None, power_w: int
) -> None:
    """P6, P7: 12 kWh (13.3 from the grid) need 1.9 h; above the maximum price it waits as long as that fits."""
    departure = NOW + timedelta(hours=hours) if hours else None
    dear = terms(max_buy_per_kwh=Decimal(10), departure_at=departure)
    for asked in ((), (DOWN,)):
        assert (
            told(resource(battery=None, ratings=Ratings(max_charge_w=7000), terms=dear), *asked).setpoint_w == power_w
        )


def test_a_short_stay_has_a_short_margin() -> None:
    """P7: of half an hour, 7.5 min: 2.28 kWh at 7 kW still fit into what is left after 3 min."""
    brief = terms(required_wh=22_000, departure_at=NOW + timedelta(minutes=30))
    assert told(resource(terms=brief), DOWN).setpoint_w == 0
    longer = replace(brief, required_wh=22_500)
    assert told(resource(terms=longer), DOWN).setpoint_w == 7000


def test_an_upward_event_charges_at_its_own_price() -> None:
    """P6, P12: 10 per kWh in the event, 30 without it."""
    picky = resource(terms=terms(max_buy_per_kwh=Decimal(10)))
    assert told(picky).setpoint_w == 0
    setpoint = told(picky, UP)
    assert (setpoint.setpoint_w, setpoint.counterfactual_w, setpoint.event) == (7000, 0, UP.id)
    assert Reason.DR_CHARGE in setpoint.reasons
    assert told(resource(terms=terms(max_buy_per_kwh=Decimal(9))), UP).setpoint_w == 0


@pytest.mark.parametrize(
    ("series", "energy_wh", "power_w"),
    [((30, 20, 20, 20), 20_000, 0), ((30, 20, 40, 40), 20_000, 7000), ((30,), 20_000, 7000), ((20, 30), 20_000, 7000)],
    ids=["cheaper hours suffice", "one cheaper hour does not", "flat", "now is cheapest"],
)
def test_an_entrusted_vehicle_charges_in_the_cheapest_hours_it_needs(
    series: tuple[float, ...], energy_wh: int, power_w: int
) -> None:
    """P8: 20 kWh (22.2 from the grid) need 3.2 h at 7 kW."""
    vehicle = resource(battery=replace(BATTERY, energy_wh=energy_wh), terms=terms(entrust=True))
    setpoint = told(vehicle, prices={HOME: prices(*series), AWAY: prices(1)})
    assert setpoint.setpoint_w == power_w
    assert (Reason.CHEAPER_LATER in setpoint.reasons) is (power_w == 0)


def test_what_an_event_moved_ends_with_the_event_and_the_slot() -> None:
    """P9: nobody needs to be alive to end it."""
    in_a_minute = NOW + timedelta(minutes=1)
    in_slot = resource(terms=terms(permitted_until=in_a_minute))
    assert told(resource(), event(ends_at=in_a_minute)).expires_at == in_a_minute
    assert told(in_slot, DOWN).expires_at == in_a_minute
    assert told(resource(), DOWN).expires_at == NOW + timedelta(seconds=180)


@pytest.mark.parametrize(("min_sell", "seconds"), [(45, 60), (40, 180)])
def test_what_an_event_moved_ends_before_a_price_that_the_user_does_not_accept(min_sell: int, seconds: int) -> None:
    """P5: with an incentive of 20 the tariff's step from 30 to 20 brings 50 down to 40."""
    incentive = event(price_per_kwh=None, incentive_per_kwh=Decimal(20))
    picky = resource(terms=terms(min_sell_per_kwh=Decimal(min_sell)))
    setpoint = told(picky, incentive, prices={HOME: prices(30, 20, every_h=1 / 60), AWAY: prices(1)})
    assert (setpoint.setpoint_w, setpoint.expires_at) == (-6000, NOW + timedelta(seconds=seconds))


def test_a_fuse_cuts_plain_charging_first_then_charging_beyond_the_required_charge() -> None:
    vehicles = (
        resource(1, use=Use.PLAIN),
        resource(2),
        resource(3, terms=terms(required_wh=39_000, departure_at=None)),
    )
    powers = {
        limit: [s.setpoint_w for s in decide(snapshot(*vehicles, sites=(site(limit_w=limit),))).setpoints]
        for limit in (21_000, 17_000, 10_000, 5_000)
    }
    assert powers == {
        21_000: [7000, 7000, 7000],
        17_000: [3000, 7000, 7000],
        10_000: [0, 3000, 7000],
        5_000: [0, 0, 5000],
    }


def test_a_required_charge_that_a_fuse_makes_unreachable_says_so() -> None:
    vehicle = resource(terms=terms(required_wh=39_000, departure_at=None))
    setpoint = told(vehicle, sites=(site(limit_w=5_000),))
    assert Reason.SITE_IMPORT_LIMIT in setpoint.reasons
