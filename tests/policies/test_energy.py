"""The energy model of a plug-in: through the plug, in the battery, flowing now. V2G-33; findings A6-F12."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.facts import NeedsReported, Origin, Reading
from csms.domain.ids import EvseRef, PlugInId, StationId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import PlugIn
from csms.domain.snapshot import Terms
from policies.energy import Meter, battery_of, count_all, counted, need_wh, power_w, told_soc

START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
EVSE = EvseRef(StationId("s"), 1)
PLUG_IN = PlugIn(id=PlugInId("p"), evse=EVSE, plugged_at=START)
CAR = Vehicle(
    id=VehicleId("car"),
    user=UserId("u"),
    name="car",
    capacity_wh=80_000,
    max_charge_w=3_700,
    charge_efficiency=0.9,
    discharge_efficiency=0.8,
)
MAX_W = 11_000


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def read(minute: float, **values: Any) -> Reading:
    return Reading(at=at(minute), **values)


def meter(*readings: Reading) -> Meter:
    return count_all(readings, MAX_W)


def test_what_was_added_follows_the_registers() -> None:
    found = meter(read(0, import_wh=5000, export_wh=100), read(30, import_wh=8000, export_wh=600))
    assert found.added_wh == 2500


def test_a_register_that_begins_again_keeps_what_was_added() -> None:
    found = meter(read(0, import_wh=5000), read(30, import_wh=8000), read(31, import_wh=0), read(60, import_wh=500))
    assert found.added_wh == 3500


def test_two_register_values_at_one_instant_add_nothing_impossible() -> None:
    """F12: the next value makes up for what is left out."""
    found = meter(read(0, import_wh=1000), read(10, import_wh=1100), read(10, import_wh=5000), read(20, import_wh=1200))
    assert found.added_wh == 200


def test_power_alone_is_integrated() -> None:
    found = meter(read(0, power_import_w=6000.0), read(10, power_import_w=6000.0))
    assert found.added_wh == pytest.approx(1000)


def test_a_late_reading_changes_nothing() -> None:
    now = meter(read(0, import_wh=0), read(20, import_wh=2000))
    assert counted(now, read(10, import_wh=500)) == now


steps = st.sampled_from([1, 10, 100, 1000])


@given(
    steps,
    st.floats(0, 7_360),
    st.lists(st.floats(5, 600), min_size=2, max_size=60),
    st.floats(0, 1000),
    st.sets(st.integers(0, 60), max_size=3),
)
def test_added_energy_is_within_one_step_of_the_truth_for_any_register(
    step: int, power: float, gaps_s: list[float], phase: float, resets: set[int]
) -> None:
    """A8: any step, sample interval, gap and phase; each reset may cost what flowed around it."""
    true_wh, zero, time_s, readings, lost = 0.0, -phase, 0.0, [], 0.0
    readings.append(read(0, import_wh=phase // step * step))
    for n, gap_s in enumerate(gaps_s):
        time_s += gap_s
        true_wh += power * gap_s / 3600
        if n in resets:
            zero = true_wh
            lost += power * gap_s / 3600 + step
        readings.append(read(time_s / 60, import_wh=(true_wh - zero) // step * step))
    found = count_all(readings, MAX_W).added_wh
    assert true_wh - lost - step - 1e-6 <= found <= true_wh + step + 1e-6


def test_a_jump_beyond_what_the_evse_can_do_is_cut() -> None:
    """V2G-37: kWh counted as Wh."""
    found = meter(read(0, import_wh=0), read(60, import_wh=7_000_000))
    assert found.added_wh <= 1.1 * MAX_W + 1000


def test_without_a_state_of_charge_the_battery_holds_what_was_metered() -> None:
    """A6: need falls with metered energy, and the record's limits count."""
    battery = battery_of(PLUG_IN, meter(read(0, import_wh=0), read(60, import_wh=3700)), CAR, None, at(60))
    assert not battery.is_told
    assert battery.energy_wh == pytest.approx(3330)
    assert (battery.capacity_wh, battery.max_charge_w) == (80_000, 3_700)
    terms = Terms(required_wh=8000, required_added_wh=5000)
    assert need_wh(battery, terms, 3700) == pytest.approx((8000 - 3330) / 0.9)
    assert need_wh(battery, Terms(required_added_wh=5000), 3700) == pytest.approx(1300)


def test_a_vehicle_of_nobody_has_the_default_record() -> None:
    battery = battery_of(PLUG_IN, Meter(), None, None, at(1))
    assert (battery.capacity_wh, battery.is_told, battery.energy_wh) == (40_000, False, 0)


def test_the_users_word_counts_where_no_station_tells() -> None:
    stated = replace(PLUG_IN, stated_soc_percent=25.0)
    battery = battery_of(stated, meter(read(0, import_wh=0), read(60, import_wh=1000)), CAR, None, at(60))
    assert not battery.is_told
    assert battery.energy_wh == pytest.approx(20_900)


def test_a_told_state_of_charge_is_rolled_forward_by_the_meter() -> None:
    """Both directions, each with its efficiency."""
    seen = meter(
        read(0, import_wh=0, export_wh=0, soc_percent=50.0),
        read(30, import_wh=2000, export_wh=0),
        read(60, import_wh=2000, export_wh=800),
    )
    battery = battery_of(PLUG_IN, seen, CAR, None, at(60))
    assert battery.is_told
    assert battery.energy_wh == pytest.approx(40_000 + 1800 - 1000)


def test_a_state_of_charge_told_by_the_vehicles_needs_is_rolled_too() -> None:
    seen = told_soc(meter(read(0, import_wh=0), read(30, import_wh=1000)), 50.0, at(30))
    battery = battery_of(PLUG_IN, counted(seen, read(60, import_wh=2000)), CAR, None, at(60))
    assert battery.energy_wh == pytest.approx(40_000 + 900)


def test_an_impossible_jump_of_the_state_of_charge_is_not_taken() -> None:
    """V2G-33."""
    seen = meter(read(0, soc_percent=50.0), read(0.5, soc_percent=90.0), read(1, soc_percent=0.0))
    assert seen.told is not None
    assert seen.told.percent == 50.0


def test_what_the_vehicle_says_of_itself_never_raises_its_limits() -> None:
    needs = NeedsReported(
        origin=Origin(station=StationId("s"), message_id="m", received_at=START),
        evse=EVSE,
        iso20=True,
        bidirectional=True,
        capacity_wh=60_000,
        max_charge_w=11_000,
        max_discharge_w=3_000,
    )
    battery = battery_of(PLUG_IN, Meter(), CAR, needs, START)
    assert (battery.capacity_wh, battery.max_charge_w, battery.max_discharge_w) == (60_000, 3_700, 3_000)


def test_a_silent_meter_takes_the_told_state_of_charge_away_in_time() -> None:
    """V2G-33: it may have discharged all the while."""
    seen = meter(read(0, import_wh=0, soc_percent=50.0))
    fresh, old = (battery_of(PLUG_IN, seen, CAR, None, at(minute)) for minute in (5, 120))
    assert (fresh.is_told, old.is_told) == (True, False)
    assert old.energy_wh < fresh.energy_wh


@given(
    st.booleans(),
    st.floats(1, 100),
    st.lists(st.tuples(st.floats(0, 3000), st.floats(0, 3000)), max_size=20),
    st.floats(0, 600),
)
def test_the_battery_never_leaves_its_capacity_and_its_error_only_grows(
    told: bool, percent: float, flows: list[tuple[float, float]], later: float
) -> None:
    import_wh = export_wh = 0.0
    readings = [read(0, import_wh=0.0, export_wh=0.0, soc_percent=percent if told else None)]
    for n, (imported, exported) in enumerate(flows, 1):
        import_wh, export_wh = import_wh + imported, export_wh + exported
        readings.append(read(n * 15, import_wh=import_wh, export_wh=export_wh))
    seen, now = count_all(readings, 12_000), at(len(flows) * 15)
    battery = battery_of(PLUG_IN, seen, CAR, None, now)
    assert 0 <= battery.energy_wh <= battery.capacity_wh
    after = battery_of(PLUG_IN, seen, CAR, None, now + timedelta(minutes=later))
    assert after.error_wh >= battery.error_wh or not after.is_told
    assert told or not battery.is_told


@given(
    st.floats(20, 100),
    st.lists(st.floats(-6_000, 3_700), min_size=1, max_size=30),
    st.floats(0.86, 0.94),
    st.floats(0.76, 0.84),
    st.floats(-0.5, 0.5),
)
def test_the_error_band_holds_the_truth_while_a_state_of_charge_counts_as_told(
    percent: float, powers: list[float], into: float, out: float, rounding: float
) -> None:
    """Efficiencies off by 4 points, the percent rounded: the true content is never below energy less error."""
    true_wh, import_wh, export_wh = 800.0 * percent, 0.0, 0.0
    seen = counted(Meter(max_w=MAX_W), read(0, import_wh=0.0, export_wh=0.0, soc_percent=min(percent + rounding, 100)))
    for n, power in enumerate(powers, 1):
        flow_wh = power / 4
        gained = flow_wh * into if flow_wh > 0 else flow_wh / out
        if not 0 <= true_wh + gained <= 80_000:
            flow_wh = gained = 0.0
        true_wh += gained
        import_wh, export_wh = import_wh + max(flow_wh, 0), export_wh + max(-flow_wh, 0)
        seen = counted(seen, read(n * 15, import_wh=import_wh, export_wh=export_wh))
    battery = battery_of(PLUG_IN, seen, CAR, None, at(len(powers) * 15))
    if battery.is_told:
        assert true_wh >= battery.energy_wh - battery.error_wh - 1e-6


def test_power_is_what_the_station_tells() -> None:
    assert power_w(meter(read(0, power_import_w=0.0, power_export_w=3000.0)), at(0)) == -3000


def test_power_follows_from_current_and_voltage() -> None:
    """F9, B10: also where only phase L1 is told."""
    assert power_w(meter(read(0, current_a=10.0, voltage_v=230.0)), at(0)) == 2300
    one_phase = read(0, extra={"Current.Import.L1": 16.0, "Voltage.L1-N": 230.0})
    assert power_w(meter(one_phase), at(0)) == 3680
    three = {f"Current.Import.L{n}": 10.0 for n in (1, 2, 3)} | {f"Voltage.L{n}": 230.0 for n in (1, 2, 3)}
    assert power_w(meter(read(0, extra=three)), at(0)) == 6900


def test_power_follows_from_the_registers() -> None:
    """F9: a station that tells registers only."""
    charging = meter(*(read(n, import_wh=1000 + n * 117) for n in range(5)))
    assert power_w(charging, at(4)) == pytest.approx(7020)
    resting = meter(*(read(n, import_wh=1234) for n in range(5)))
    assert power_w(resting, at(4)) == 0
    feeding = meter(*(read(n, import_wh=1234, export_wh=10 + n * 50) for n in range(5)))
    assert power_w(feeding, at(4)) == pytest.approx(-3000)


def test_power_by_a_register_ends_when_it_stands_still() -> None:
    stopped = [read(n, import_wh=1001 + min(n, 5) * 117) for n in range(8)]
    assert power_w(meter(*stopped), at(7)) == pytest.approx(0, abs=250)


def test_power_0_beside_a_rising_register_is_not_believed() -> None:
    """F9."""
    readings = [read(n, import_wh=1001 + n * 117, power_import_w=0.0) for n in range(5)]
    assert power_w(meter(*readings), at(4)) == pytest.approx(7020)
    stopped = read(5, import_wh=1001 + 4 * 117, power_import_w=0.0)
    assert (
        power_w(meter(*readings[:1], *(replace(r, power_import_w=7020.0) for r in readings[1:]), stopped), at(5)) == 0
    )


@pytest.mark.parametrize(("age_s", "known"), [(149, True), (151, False)])
def test_power_is_none_after_two_and_a_half_intervals_without_a_sample(age_s: float, known: bool) -> None:
    """F9: 7,000 W were shown 80 s after the last sample of a 30 s meter."""
    seen = meter(*(read(n, power_import_w=7000.0) for n in range(3)))
    assert (power_w(seen, at(2) + timedelta(seconds=age_s)) is not None) == known
    assert power_w(seen, at(2) + timedelta(seconds=80), interval_s=30) is None


@given(steps, st.floats(1400, 7360), st.integers(10, 60), st.floats(0, 1), st.integers(0, 10_000))
def test_power_by_any_register_is_known_to_a_half_or_not_at_all(
    step: int, power: float, interval_s: int, phase: float, lifetime: int
) -> None:
    """Any step, interval and phase: a coarse register says nothing rather than something wrong."""
    base = lifetime * step + phase * step
    readings = [
        read(n * interval_s / 60, import_wh=(base + power * n * interval_s / 3600) // step * step) for n in range(60)
    ]
    for length in random.Random(step).sample(range(2, 61), 10):
        seen = count_all(readings[:length], MAX_W)
        found = power_w(seen, readings[length - 1].at)
        assert found is None or abs(found - power) <= max(power / 2, 250)
