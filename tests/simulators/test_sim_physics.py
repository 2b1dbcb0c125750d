"""Battery, vehicle and EVSE: energy is conserved, registers never fall, bounds hold."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.battery import Battery, exchange, taper
from simulators.ev import Ev, corridor_w, drive_power
from simulators.evse import EvseSpec, Meter, reachable_w, step

fraction = st.floats(0.0, 1.0)
efficiency = st.floats(0.5, 1.0)
batteries = st.builds(
    lambda capacity, soc, charge, discharge, low: Battery(
        capacity, capacity * soc, min_soc=low, charge_efficiency=charge, discharge_efficiency=discharge
    ),
    st.floats(1_000, 200_000),
    fraction,
    efficiency,
    efficiency,
    st.floats(0.0, 0.5),
)
vehicles = st.builds(Ev, batteries, st.floats(1_000, 22_000), st.floats(0, 22_000))
specs = st.builds(
    EvseSpec,
    max_charge_w=st.floats(1_400, 22_000),
    max_discharge_w=st.floats(0, 22_000),
    phases=st.sampled_from([1, 3]),
    ramp_w_per_s=st.floats(10, 20_000),
)
wishes = st.lists(st.tuples(st.floats(-30_000, 30_000), st.floats(0.01, 1.0)), max_size=40)


@given(batteries, st.floats(-30_000, 30_000), st.floats(0.01, 3600))
def test_what_the_meter_saw_is_in_the_cells_less_the_losses(battery: Battery, power_w: float, seconds: float):
    after, taken_w = exchange(battery, power_w, seconds)
    moved_wh = taken_w * seconds / 3600
    stored_wh = moved_wh * battery.charge_efficiency if moved_wh > 0 else moved_wh / battery.discharge_efficiency
    assert after.energy_wh - battery.energy_wh == pytest.approx(stored_wh, rel=1e-6, abs=1e-6)


@given(batteries, st.floats(-30_000, 30_000), st.floats(0.01, 3600))
def test_a_battery_never_takes_more_than_offered_and_never_turns_the_sign(battery, power_w, seconds):
    _, taken_w = exchange(battery, power_w, seconds)
    assert abs(taken_w) <= abs(power_w) * (1 + 1e-9) + 1e-9
    assert taken_w * power_w >= 0


@given(vehicles, wishes)
def test_the_state_of_charge_stays_in_its_bounds(ev: Ev, wishes):
    lowest = min(ev.soc, ev.battery.min_soc)
    for power_w, seconds in wishes:
        ev, _ = drive_power(ev, power_w, seconds * 600)
        assert lowest - 1e-9 <= ev.soc <= 1.0


@given(specs, vehicles, wishes)
def test_registers_never_fall_and_add_up_to_what_flowed(spec: EvseSpec, ev: Ev, wishes):
    meter, before = Meter(0.0, 1_000.0, 500.0), ev
    stored = 0.0
    for wanted_w, seconds in wishes:
        after, next_ev = step(spec, meter, before, wanted_w, seconds)
        assert after.import_wh >= meter.import_wh
        assert after.export_wh >= meter.export_wh
        imported, exported = after.import_wh - meter.import_wh, after.export_wh - meter.export_wh
        stored += imported * ev.battery.charge_efficiency - exported / ev.battery.discharge_efficiency
        meter, before = after, next_ev
    assert before.battery.energy_wh - ev.battery.energy_wh == pytest.approx(stored, rel=1e-6, abs=1e-5)


@given(specs, vehicles, wishes)
def test_power_keeps_to_the_ratings_of_evse_and_vehicle(spec: EvseSpec, ev: Ev, wishes):
    meter = Meter()
    for wanted_w, seconds in wishes:
        meter, ev = step(spec, meter, ev, wanted_w, seconds)
        assert meter.power_w <= min(spec.max_charge_w, ev.max_charge_w) + 1e-6
        assert meter.power_w >= -min(spec.max_discharge_w, ev.max_discharge_w) - 1e-6


@given(batteries, st.floats(0.0, 0.2))
def test_a_fuller_battery_never_takes_more(battery: Battery, more: float):
    fuller = replace(battery, energy_wh=min(battery.capacity_wh, battery.energy_wh + more * battery.capacity_wh))
    assert taper(fuller) <= taper(battery) + 1e-9


@pytest.mark.parametrize(("soc", "part"), [(0.2, 1.0), (0.8, 1.0), (0.9, 0.55), (0.99, 0.145), (1.0, 0.0)])
def test_the_taper_begins_at_80_percent(soc: float, part: float):
    assert taper(Battery(50_000, 50_000 * soc)) == pytest.approx(part)


@pytest.mark.parametrize(
    ("phases", "wanted_w", "reached_w"),
    [
        (1, 1379.0, 0.0),
        (1, 1380.0, 1380.0),
        (3, 4000.0, 0.0),
        (3, 4140.0, 4140.0),
        (1, -150.0, 0.0),
        (1, -500.0, -500.0),
        (1, 50_000.0, 11_000.0),
        (1, -50_000.0, -9_000.0),
        (1, 0.0, 0.0),
    ],
)
def test_less_than_six_amperes_per_phase_is_a_pause(phases: int, wanted_w: float, reached_w: float):
    spec = EvseSpec(max_charge_w=11_000, max_discharge_w=9_000, phases=phases)
    assert reachable_w(spec, wanted_w) == reached_w


def test_power_ramps():
    spec, ev = (
        EvseSpec(max_charge_w=7000, max_discharge_w=7000, ramp_w_per_s=1000),
        Ev(Battery(60_000, 30_000), 7000, 7000),
    )
    meter, seen = Meter(power_w=2000.0), []
    for _ in range(5):
        meter, ev = step(spec, meter, ev, -2000.0, 1.0)
        seen.append(meter.power_w)
    assert seen == [1000.0, 0.0, -1000.0, -2000.0, -2000.0]


def test_a_vehicle_at_its_reserve_does_not_discharge():
    assert corridor_w(Ev(Battery(60_000, 3_000), 7000, 7000))[0] == 0.0


def test_a_battery_with_more_than_its_capacity_is_refused():
    with pytest.raises(ValueError, match="energy_wh"):
        Battery(50_000, 60_000)
