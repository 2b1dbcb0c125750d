"""Need follows what was metered, with or without a state of charge. Findings A6, A14, B13; P6, P7."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from csms.domain.dr import Direction
from csms.domain.snapshot import Battery, EvseState, Terms, Use
from csms.domain.station import Ratings
from csms.domain.tariff import PriceSeries, PriceStep
from policies import decide
from policies.constraints import failsafe, violations
from policies.pricing import markets
from tests.policies.fleets import HOME, NOW, event, resource, snapshot

UNTOLD = Battery(
    capacity_wh=80_000, energy_wh=0, max_charge_w=3700, max_discharge_w=0, charge_efficiency=0.9, is_told=False
)


def silent(added_wh: float = 0.0, **terms: object) -> EvseState:
    """An AC vehicle that tells no state of charge: 80 kWh, 3.7 kW by its record."""
    battery = replace(UNTOLD, energy_wh=added_wh * 0.9)
    given: dict[str, object] = {"departure_at": NOW + timedelta(hours=10)}
    return resource(battery=battery, terms=Terms(**given | terms), added_wh=added_wh, can_discharge=False)  # type: ignore[arg-type]


def power_w(evse: EvseState, **changes: object) -> int:
    state = snapshot(evse, **changes)
    decision = decide(state)
    assert violations(state, decision) == ()
    return decision.setpoints[0].setpoint_w


def test_a_maximum_price_holds_once_the_register_shows_the_required_energy() -> None:
    """A6: maximum buy 25 at a price of 30, 8 kWh required. Before: 88.8 kWh bought in 24 h."""
    due = {"required_added_wh": 8_000.0, "max_buy_per_kwh": Decimal(25), "departure_at": None}
    assert power_w(silent(0, **due)) == 3700
    assert power_w(silent(7_990, **due)) == 1380
    assert power_w(silent(8_000, **due)) == 0


def test_charging_not_permitted_holds_once_the_register_shows_the_required_energy() -> None:
    """A6: ``charge=False`` was ignored."""
    assert power_w(silent(0, required_added_wh=8_000.0, charge=False)) == 3700
    assert power_w(silent(8_000, required_added_wh=8_000.0, charge=False)) == 0


def test_a_required_content_is_reached_by_the_least_that_can_be_in_the_battery() -> None:
    """A6: 9 kWh metered are 8.1 kWh in it, whatever was there before."""
    assert power_w(silent(8_800, required_wh=8_000.0, charge=False)) > 0
    assert power_w(silent(9_000, required_wh=8_000.0, charge=False)) == 0


def test_a_slow_vehicle_starts_in_time_without_a_state_of_charge() -> None:
    """A6: 80 kWh at 3.7 kW. Before: taken for 40 kWh at the EVSE's power, and started 2 h before departure."""
    dear = {"required_added_wh": 18_500.0, "max_buy_per_kwh": Decimal(1)}
    assert power_w(silent(**dear, departure_at=NOW + timedelta(hours=6))) == 0
    assert power_w(silent(**dear, departure_at=NOW + timedelta(hours=5.5))) == 3700


def test_the_vehicles_record_limits_its_charging_without_a_state_of_charge() -> None:
    """A6: the EVSE could give 7.36 kW."""
    assert power_w(silent()) == 3700
    state = snapshot(silent())
    decision = decide(state)
    over = replace(decision, setpoints=(replace(decision.setpoints[0], setpoint_w=3800),))
    assert {violation.rule for violation in violations(state, over)} == {"vehicle_charge_limit"}


def test_a_battery_that_is_not_told_is_never_discharged() -> None:
    """V2G-33: the least that can be in it is no measurement."""
    rich = replace(UNTOLD, energy_wh=70_000, max_discharge_w=6000)
    evse = resource(battery=rich, terms=Terms(), added_wh=70_000)
    state = snapshot(evse, events=(event(),))
    decision = decide(state)
    assert decision.setpoints[0].setpoint_w == 0
    forced = replace(decision.setpoints[0], setpoint_w=-1000)
    assert {v.rule for v in violations(state, replace(decision, setpoints=(forced,)))} == {"soc_unknown_discharge"}


def test_energy_that_was_required_to_be_added_is_not_discharged_again() -> None:
    """P7 in kWh: 8.1 of 8 kWh added; 100 Wh may flow back."""
    evse = resource(terms=Terms(required_added_wh=8_000), added_wh=8_100)
    state = snapshot(evse, events=(event(),))
    assert decide(state).setpoints[0].setpoint_w == -2000
    assert violations(state, decide(state)) == ()


def test_the_required_charge_stands_above_a_host_that_gives_nothing() -> None:
    """B13: P7 above P4; no event touches it."""
    refused = resource(use=Use.NOTHING, terms=Terms(required_wh=26_000))
    for asked in ((), (event(),), (event(Direction.UP),)):
        state = snapshot(refused, events=asked)
        decision = decide(state)
        assert (decision.setpoints[0].setpoint_w, decision.setpoints[0].event) == (7000, None)
        assert violations(state, decision) == ()
        assert violations(state, failsafe(state)) == ()
    assert power_w(replace(refused, terms=Terms(required_wh=20_000))) == 0
    assert power_w(replace(refused, use=Use.HELD)) == 0


def test_without_any_record_only_the_register_counts() -> None:
    """A6: 12 kWh are 13.3 from the grid."""
    unknown = resource(
        battery=None,
        ratings=Ratings(max_charge_w=7000),
        terms=Terms(required_wh=12_000, charge=False),
        can_discharge=False,
    )
    assert power_w(unknown) == 7000
    assert power_w(replace(unknown, added_wh=13_334)) == 0


@pytest.mark.parametrize(("day", "hours"), [(29, 5.0), (28, 6.0)])
def test_cheaper_hours_are_counted_on_the_sun_not_on_the_wall(day: int, hours: float) -> None:
    """A14: Berlin, 29 March 2026: 00:00 to 06:00 are five hours."""
    berlin = ZoneInfo("Europe/Berlin")
    steps = (
        PriceStep(datetime(2026, 3, day, tzinfo=berlin), Decimal(10)),
        PriceStep(datetime(2026, 3, day, 6, tzinfo=berlin), Decimal(30)),
    )
    before = datetime(2026, 3, day, tzinfo=berlin).astimezone(UTC) - timedelta(hours=1)
    series = PriceSeries(currency="EUR", steps=(PriceStep(before, Decimal(20)), *steps))
    market = markets(replace(snapshot(), now=before, prices={HOME: series}))[HOME]
    assert market.cheaper_hours(datetime(2026, 3, day, 12, tzinfo=berlin)) == hours
