"""The twin's world, meters and comparison: does the yardstick itself measure true? Fleet figures are in tests/truth."""

from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from csms.domain.conditions import Conditions
from csms.domain.ids import SiteId
from csms.domain.snapshot import Site
from simulators.__main__ import app
from simulators.twin.cases import Answer, Car, MeterSpec, PowerTold, Visit
from simulators.twin.dues import Pair, true_minor
from simulators.twin.fleet import mixed_case
from simulators.twin.loop import run
from simulators.twin.meters import read
from simulators.twin.plugs import failsafe_limits
from simulators.twin.truth import comparison, delivered_wh
from simulators.twin.world import STEP_S, World
from tests.truth.kit import AREA, NO_SOC, case, charging_car, down, v2g_car, visit

AT = datetime(2026, 7, 1, tzinfo=UTC)
SITE = Site(id=SiteId("site"), area=AREA, import_limit_w=8_000, export_limit_w=5_000)

cars = st.builds(
    Car,
    capacity_wh=st.just(50_000.0),
    energy_wh=st.floats(0, 50_000),
    max_charge_w=st.floats(1400, 22_000),
    max_discharge_w=st.floats(0, 22_000),
    charge_efficiency=st.floats(0.7, 1.0),
    discharge_efficiency=st.floats(0.7, 1.0),
    taper_from=st.floats(0.5, 0.99),
)


def world_of(*visits: Visit) -> World:
    return World(visits, (SITE,))


def played(world: World, watts: list[float], *, steps: int = 60) -> None:
    for wanted_w in watts:
        for _ in range(steps):
            world.step(np.array([wanted_w]), np.array([True]))


@given(cars, st.lists(st.floats(-25_000, 25_000), min_size=1, max_size=6))
def test_what_is_in_the_battery_is_what_went_through_the_plug_less_the_losses(car: Car, watts: list[float]) -> None:
    world = world_of(visit(car, hours=1))
    played(world, watts)
    gained = world.import_wh[0] * car.charge_efficiency - world.export_wh[0] / car.discharge_efficiency
    assert world.energy_wh[0] == pytest.approx(car.energy_wh + gained, abs=1e-3)
    assert -1e-6 <= world.energy_wh[0] <= car.capacity_wh + 1e-6


@given(cars, st.floats(-25_000, 25_000))
def test_a_vehicle_never_takes_or_gives_more_than_it_is_told_or_can(car: Car, wanted_w: float) -> None:
    world = world_of(visit(car, hours=1))
    played(world, [wanted_w], steps=3)
    assert -car.max_discharge_w - 1e-6 <= world.power_w[0] <= car.max_charge_w + 1e-6
    assert abs(world.power_w[0]) <= abs(wanted_w) + 1e-6


def test_no_power_flows_through_an_open_contactor() -> None:
    world = world_of(visit(v2g_car(0.5), hours=1))
    world.step(np.array([7000.0]), np.array([False]))
    assert world.power_w[0] == world.import_wh[0] == 0


def test_the_pilot_signals_nothing_below_six_amperes() -> None:
    world = world_of(visit(charging_car(0.5), hours=1))
    played(world, [1379.0])
    assert world.import_wh[0] == 0
    played(world, [1380.0])
    assert world.import_wh[0] == pytest.approx(1380 * 60 * STEP_S / 3600)


def test_an_overload_of_a_fuse_is_seen_in_either_direction() -> None:
    both = (visit(v2g_car(0.5), hours=1), visit(v2g_car(0.5), hours=1, number=1))
    world = world_of(*both)
    world.step(np.array([5000.0, 4000.0]), np.array([True, True]))
    assert world.overload.worst_w == pytest.approx(9000 - 8000 * 1.01)
    world.step(np.array([-5000.0, -4000.0]), np.array([True, True]))
    assert world.overload.worst_w == pytest.approx(9000 - 5000 * 1.01)
    assert world.overload.seconds == 2 * STEP_S


@given(st.sampled_from([1.0, 10.0, 100.0, 1000.0]), st.floats(0, 20_000), st.integers(0, 3_000_000))
def test_a_register_shows_whole_steps_and_is_never_ahead(step_wh: float, energy_wh: float, offset: int) -> None:
    stay = visit(charging_car(0.5), hours=1, meter=MeterSpec(step_wh=step_wh, offset_wh=float(offset)))
    world = world_of(stay)
    world.import_wh = np.array([energy_wh])
    shown = read(stay, world, 0, AT).import_wh
    assert shown is not None
    assert shown % step_wh == pytest.approx(0, abs=1e-6)
    assert -1e-3 <= offset + energy_wh - shown < step_wh + 1e-3


def test_a_meter_tells_what_it_is_said_to_tell_and_nothing_else() -> None:
    stay = visit(v2g_car(0.503), hours=1)
    world = world_of(stay)
    played(world, [-3000.0], steps=1)
    told = read(stay, world, 0, AT)
    assert (told.power_w, told.soc_percent, told.current_a) == (-3000.0, 50.0, None)
    silent = replace(stay, meter=replace(NO_SOC, power=PowerTold.NOTHING))
    assert read(silent, world, 0, AT).power_w is None
    assert read(silent, world, 0, AT).soc_percent is None
    played(world, [7000.0], steps=1)
    current = replace(stay, meter=replace(NO_SOC, power=PowerTold.CURRENT))
    assert read(current, world, 0, AT).current_a == pytest.approx(7000 / 230, abs=0.06)


def test_the_same_case_is_the_same_run() -> None:
    mixed = mixed_case(7, 6, 6.5, tick_s=300)
    one, other = run(mixed), run(mixed)
    assert (one.trail.energy_wh == other.trail.energy_wh).all()
    assert [sight.records for sight in one.sights] == [sight.records for sight in other.sights]


def test_an_event_that_nobody_serves_delivers_nothing() -> None:
    stay = visit(v2g_car(0.5), hours=2, answer=Answer.NO)
    pair = Pair.of(case(stay, hours=2, tick_s=60, events=(down(5000, 1, 1.5),)))
    assert delivered_wh(pair) == 0
    assert (pair.actual.trail.energy_wh == pair.without.trail.energy_wh).all()


def test_a_vehicle_that_leaves_with_less_than_required_is_counted() -> None:
    """It is there for an hour and wants ten hours' worth. The paired run misses it too: not the event's doing."""
    wishes = Conditions(required_soc_percent=90, depart_at=time(1), zone="UTC")
    stay = visit(charging_car(0.1), hours=1, conditions=wishes)
    pair = Pair.of(case(stay, hours=1.5, tick_s=60, events=(down(1, 1.2, 1.3),)))
    breaches = comparison(pair).breaches
    assert (breaches.unmet, breaches.unmet_without_event) == (0, 1)


def test_nobody_without_a_yes_is_paid_for_an_event() -> None:
    stay = visit(charging_car(0.2), hours=2, answer=Answer.NO)
    pair = Pair.of(case(stay, hours=2, tick_s=60, events=(down(7000, 0.5, 1.5),)))
    earned, spent = true_minor(pair)
    assert earned == 0
    assert spent == pytest.approx(float(pair.actual.trail.import_wh[-1][0]) * 30 / 1000)


def test_the_failsafe_limit_is_an_even_share_or_nothing() -> None:
    stays = tuple(visit(charging_car(0.5), hours=1, number=n) for n in range(4))
    assert failsafe_limits(case(*stays, hours=1, limit_w=8_000)) == [2000] * 4
    assert failsafe_limits(case(*stays, hours=1, limit_w=5_000)) == [0] * 4, "less than six amperes each"


def test_a_drawn_fleet_is_as_mixed_as_the_issue_wants_it() -> None:
    """Half without a state of charge, coarse registers, a third full, offline spells."""
    visits = mixed_case(1, 300, 12).visits
    assert sum(not each.meter.tells_soc for each in visits) == pytest.approx(150, abs=25)
    assert sum(each.meter.step_wh >= 100 for each in visits) > 60
    assert sum(each.car.energy_wh >= 0.98 * each.car.capacity_wh for each in visits) == pytest.approx(100, abs=20)
    assert sum(bool(each.offline) for each in visits) > 25
    assert {each.answer for each in visits} == set(Answer)
    assert Decimal(60) in {each.conditions.min_sell_per_kwh for each in visits}


def test_the_command_prints_stated_and_true_figures_as_json() -> None:
    printed = CliRunner().invoke(app, ["twin", "--truth", "--vehicles", "2", "--hours", "6", "--json"])
    assert printed.exit_code == 0
    result = orjson.loads(printed.stdout)
    assert {"stated", "true", "error"} == set(result["figures"]["delivered_wh"])
    assert {"unmet", "fuse_overload_w", "below_min_sell_wh"} <= set(result["breaches"])
    alone = CliRunner().invoke(app, ["twin", "--vehicles", "2", "--hours", "6"])
    assert "import_wh: " in alone.stdout
