"""Energy in a window from registers. Reference v2g-over-ocpp §4; V2G-36, V2G-37; scenarios of meter values."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.facts import Reading
from csms.domain.ids import EvseRef, StationId
from csms.domain.metering import Quality, StoredReading, WindowEnergy
from policies.metering import energy_in_window, worst
from policies.registers import Span

EVSE = EvseRef(StationId("s"), 1)
START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
END = START + timedelta(minutes=30)
MAX_W = 10_000
ORDER = [Quality.MEASURED, Quality.INTERPOLATED, Quality.ESTIMATED, Quality.MISSING]


def stored(number: int, minute: float, **values: Any) -> StoredReading:
    at = START + timedelta(minutes=minute)
    return StoredReading(id=number, reading=Reading(at=at, **values), received_at=at, message_id=f"m{number}")


def imports(*pairs: tuple[float, float | None], **values: Any) -> list[StoredReading]:
    """(minute, import register in Wh) each."""
    return [stored(n, minute, import_wh=wh, **values) for n, (minute, wh) in enumerate(pairs, 1)]


def window(readings: Sequence[StoredReading], start: datetime = START, end: datetime = END) -> WindowEnergy:
    return energy_in_window(EVSE, readings, start, end, MAX_W)


EDGES = imports((-5, 1000), (5, 2000), (25, 3000), (35, 3200))
AGAIN = imports((0, 5000), (10, 5300), (20, 0), (30, 400))
CASES: list[tuple[str, list[StoredReading], str, Quality, set[int]]] = [
    ("readings at the edges", imports((0, 1000), (15, 1500), (30, 2500)), "1500", Quality.MEASURED, {1, 2, 3}),
    ("edges between readings", EDGES, "1600", Quality.INTERPOLATED, {1, 2, 3, 4}),
    ("nothing flowed between", imports((-100, 1000), (200, 1000)), "0", Quality.MEASURED, {1, 2}),
    ("a long gap", imports((-60, 0), (60, 4000)), "1000", Quality.ESTIMATED, {1, 2}),
    ("jitter", imports((0, 1000), (10, 1500), (20, 1493.5), (30, 2000)), "1000", Quality.MEASURED, {1, 2, 3, 4}),
    ("the register began again", AGAIN, "700", Quality.ESTIMATED, {1, 2, 3, 4}),
    ("an impossible jump is cut", imports((0, 0), (30, 4_000_000)), "6500", Quality.ESTIMATED, {1, 2}),
    ("exact, not binary", imports((0, 0.1), (30, 0.3)), "0.2", Quality.MEASURED, {1, 2}),
    ("one reading is none", imports((10, 500)), "0", Quality.MISSING, set()),
    ("nothing", [], "0", Quality.MISSING, set()),
    ("all before the window", imports((-30, 0), (-10, 500)), "0", Quality.MISSING, set()),
    ("a station without a clock", imports((-30_000_000, 0), (-29_999_999, 5)), "0", Quality.MISSING, set()),
    ("not a number", imports((0, float("nan")), (30, float("inf"))), "0", Quality.MISSING, set()),
]


@pytest.mark.parametrize(
    ("readings", "import_wh", "quality", "evidence"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_imported_energy_follows_from_the_register(
    readings: list[StoredReading], import_wh: str, quality: Quality, evidence: set[int]
) -> None:
    found = window(readings)
    assert (found.import_wh, found.quality) == (Decimal(import_wh), quality)
    assert set(found.readings) == evidence
    assert found.export_wh == 0


def test_both_registers_are_read_apart() -> None:
    """Charging and discharging in one window do not cancel out."""
    readings = [stored(1, 0, import_wh=100.0, export_wh=50.0), stored(2, 30, import_wh=900.0, export_wh=350.0)]
    found = window(readings)
    assert (found.import_wh, found.export_wh, found.net_wh) == (800, 300, 500)


def test_power_alone_gives_an_estimate() -> None:
    readings = [stored(n, minute, power_import_w=6000.0) for n, minute in enumerate((0, 10, 20, 30))]
    found = window(readings)
    assert (found.import_wh, found.quality) == (3000, Quality.ESTIMATED)


def test_discharge_without_an_export_register_is_estimated_from_the_power() -> None:
    readings = [
        stored(n, minute, import_wh=5000.0, power_import_w=0.0, power_export_w=4000.0)
        for n, minute in enumerate((0, 10, 20, 30))
    ]
    found = window(readings)
    assert (found.import_wh, found.export_wh, found.quality) == (0, 2000, Quality.ESTIMATED)


def test_the_power_shapes_a_long_gap() -> None:
    """Everything flowed in the window, as the power between the register's readings says."""
    powers = [stored(n, minute, power_import_w=8000.0) for n, minute in enumerate((0, 10, 20, 29.9), 10)]
    still = [stored(n, minute, power_import_w=0.0) for n, minute in enumerate((-20, -10, -0.1, 30, 40), 20)]
    found = window([*imports((-30, 0), (50, 4000)), *powers, *still])
    assert found.quality is Quality.ESTIMATED
    assert abs(found.import_wh - 4000) < 30


def test_an_impossible_jump_is_cut_to_what_the_power_says() -> None:
    """V2G-37: the station counts kWh as Wh or the other way round."""
    readings = [
        stored(n, minute, import_wh=float(n * 1_000_000), power_import_w=3000.0)
        for n, minute in enumerate((0, 10, 20, 30))
    ]
    found = window(readings)
    assert (found.import_wh, found.quality) == (1500, Quality.ESTIMATED)


def test_a_transaction_bounds_what_can_have_flowed() -> None:
    """Nothing flowed before it began and after it ended: no doubt about the rest of the window."""
    begin = stored(1, 5, import_wh=100.0, context="Transaction.Begin")
    end = stored(2, 20, import_wh=900.0, context="Transaction.End")
    assert window([begin, end]).quality is Quality.MEASURED
    open_end = replace(end, reading=replace(end.reading, context="Sample.Periodic"))
    found = window([begin, open_end])
    assert (found.import_wh, found.quality) == (800, Quality.ESTIMATED)


meters = st.lists(
    st.tuples(st.integers(-40, 70), st.integers(0, 900)), min_size=2, max_size=12, unique_by=lambda s: s[0]
)


def running(steps: list[tuple[int, int]]) -> list[StoredReading]:
    """A register that moves by each step between its minutes."""
    total, readings = 1000.0, []
    for number, (minute, moved) in enumerate(sorted(steps), 1):
        total += moved
        readings.append(stored(number, minute, import_wh=total))
    return readings


@given(meters, st.randoms(use_true_random=False), st.data())
def test_order_and_repetition_of_readings_change_nothing(steps: list[tuple[int, int]], random: Any, data: Any) -> None:
    readings = running(steps)
    again = [replace(reading, id=reading.id + 100, message_id="again") for reading in readings]
    shuffled = [*readings, *data.draw(st.lists(st.sampled_from(again)))]
    random.shuffle(shuffled)
    assert window(shuffled) == window(readings)


@given(meters, st.integers(0, 11))
def test_a_lost_reading_never_gives_more_energy_than_was_moved(steps: list[tuple[int, int]], lost: int) -> None:
    """Between other readings it changes nothing; at an edge it costs quality."""
    readings = running(steps)
    found, whole = window([r for n, r in enumerate(readings) if n != lost]), window(readings)
    assert found.import_wh <= sum(moved for _, moved in steps)
    if found.import_wh != whole.import_wh:
        assert found.quality is not Quality.MEASURED


@given(meters, st.integers(1, 11))
def test_a_register_that_begins_again_never_gives_more_than_it_moved(steps: list[tuple[int, int]], at: int) -> None:
    readings = running(steps)
    zero = readings[min(at, len(readings) - 1)].reading.import_wh or 0.0
    reset = [
        replace(r, reading=replace(r.reading, import_wh=(r.reading.import_wh or 0.0) - zero)) if n >= at else r
        for n, r in enumerate(readings)
    ]
    found, sound = window(reset), window(readings)
    assert 0 <= found.import_wh <= sum(moved for _, moved in steps)
    assert worst((found.quality, sound.quality)) is found.quality or found.import_wh <= sound.import_wh


@given(meters, st.integers(1, 29))
def test_the_parts_of_a_window_add_up_to_the_whole(steps: list[tuple[int, int]], minute: int) -> None:
    readings = running(steps)
    middle = START + timedelta(minutes=minute)
    parts = window(readings, START, middle).import_wh + window(readings, middle, END).import_wh
    assert abs(parts - window(readings).import_wh) < Decimal("1e-15")


@given(meters, st.integers(-10_000, 10_000))
def test_a_shift_of_the_clock_shifts_the_window_and_nothing_else(steps: list[tuple[int, int]], seconds: int) -> None:
    shift = timedelta(seconds=seconds)
    readings = running(steps)
    later = [replace(r, reading=replace(r.reading, at=r.reading.at + shift)) for r in readings]
    found, moved = window(readings), window(later, START + shift, END + shift)
    assert (found.import_wh, found.quality, found.readings) == (moved.import_wh, moved.quality, moved.readings)


@given(meters)
def test_a_thousandfold_register_is_never_taken_as_measured(steps: list[tuple[int, int]]) -> None:
    """Wh read as kWh: what is not possible is cut and marked; one step of the register, 1 kWh at most, is left (A8)."""
    sound = running(steps)
    wrong = [replace(r, reading=replace(r.reading, import_wh=(r.reading.import_wh or 0) * 1000)) for r in sound]
    found = window(wrong)
    watched = END - min(START, wrong[0].reading.at)
    assert found.import_wh <= Decimal("1.1") * MAX_W * Decimal(watched // timedelta(seconds=1)) / 3600 + 1000
    assert ORDER.index(found.quality) >= ORDER.index(window(sound).quality) or found.import_wh == 0


# --- against meters of every kind: the truth is a power over time, integrated here ---

HOUR = timedelta(hours=1)


def coarse(
    step_wh: int, powers: Sequence[float], gaps_s: Sequence[float], phase_wh: float = 0.0
) -> tuple[list[StoredReading], list[tuple[float, float]]]:
    """A register that shows whole steps only, and the truth: (second, Wh) at each sample."""
    second, true_wh, readings, truth = 0.0, phase_wh, [], []
    for number, (power, gap_s) in enumerate(zip([0.0, *powers], [0.0, *gaps_s], strict=True), 1):
        second, true_wh = second + gap_s, true_wh + power * gap_s / 3600
        readings.append(stored(number, second / 60, import_wh=true_wh // step_wh * step_wh))
        truth.append((second, true_wh - phase_wh))
    return readings, truth


@pytest.mark.parametrize("step_wh", [1, 10, 100, 250, 1000])
@pytest.mark.parametrize("interval_s", [10, 30, 60, 300])
@pytest.mark.parametrize("power_w", [1_380, 3_680, 7_000])
def test_an_hour_of_a_coarse_register_is_known_to_one_step(step_wh: int, interval_s: int, power_w: int) -> None:
    """A8: 12 to 95 % of it was lost. Bound: one step over the whole, for any step up to 1 kWh."""
    samples = 3600 // interval_s
    readings, _ = coarse(step_wh, [power_w] * samples, [interval_s] * samples)
    found = energy_in_window(EVSE, readings, START, START + HOUR, 7_360)
    assert abs(found.import_wh - power_w) <= step_wh
    assert found.quality is Quality.MEASURED


powers = st.lists(st.floats(0, MAX_W), min_size=4, max_size=60)


@given(
    st.sampled_from([1, 10, 100, 250, 1000]),
    powers,
    st.data(),
    st.floats(0, 999),
    st.booleans(),
)
def test_any_course_of_power_is_metered_to_one_step_in_all_and_in_parts(
    step_wh: int, course: list[float], data: Any, phase_wh: float, is_spread: bool
) -> None:
    """A8: any step, phase, gaps; spread or not, the parts of a time add up to it."""
    gaps = data.draw(st.lists(st.floats(5, 900), min_size=len(course), max_size=len(course)))
    readings, truth = coarse(step_wh, course, gaps, phase_wh)
    end = readings[-1].reading.at
    whole = Span(START, end) if is_spread else None
    total = energy_in_window(EVSE, readings, START, end, MAX_W, whole=whole).import_wh
    assert abs(float(total) - truth[-1][1]) <= step_wh + 1e-6
    middle = START + (end - START) * data.draw(st.floats(0.01, 0.99))
    parts = [energy_in_window(EVSE, readings, *edges, MAX_W, whole=whole) for edges in ((START, middle), (middle, end))]
    assert abs(sum(part.import_wh for part in parts) - total) < Decimal("1e-9")


def test_a_coarse_register_is_spread_over_the_time_it_stood_still() -> None:
    """1 kWh steps at 6 kW: each 10 minutes of it are 1 kWh, wherever they begin."""
    readings, _ = coarse(1000, [6000.0] * 120, [30.0] * 120)
    whole = Span(START, START + HOUR)
    part = energy_in_window(EVSE, readings, START + HOUR / 4, START + HOUR / 2, MAX_W, whole=whole)
    assert abs(part.import_wh - 1500) < 30


def test_a_register_that_begins_again_costs_one_step_each_time() -> None:
    """A8: reset in the middle of an hour of 100 Wh steps."""
    first, _ = coarse(100, [6000.0] * 30, [60.0] * 30)
    again = [stored(100 + n, 31 + n, import_wh=(reading.reading.import_wh or 0.0)) for n, reading in enumerate(first)]
    found = energy_in_window(EVSE, [*first, *again], START, START + timedelta(minutes=61), MAX_W)
    assert abs(found.import_wh - 6000) <= 200


def test_two_values_of_one_instant_are_one_reading() -> None:
    """F12: they added 10 Wh."""
    readings = imports((0, 1000), (10, 1300), (10, 5000), (20, 1600), (30, 1900))
    assert window(readings).import_wh == 900


def test_current_and_voltage_stand_in_for_power() -> None:
    """F9, B10: a single-phase station that tags everything L1."""
    said = {"Current.Import.L1": 16.0, "Voltage.L1-N": 230.0}
    found = window([stored(n, minute, extra=said) for n, minute in enumerate((0, 10, 20, 30), 1)])
    assert (found.import_wh, found.quality) == (1840, Quality.ESTIMATED)


def of_transaction(number: int, minute: float, wh: float, context: str) -> StoredReading:
    return stored(-number, minute, import_wh=wh, context=context)


def test_the_registers_of_a_transactions_start_and_stop_count() -> None:
    """F3: 95 s at one sample a minute: begun at 0, stopped at 117, nothing in between."""
    begin, end = of_transaction(2, 0, 0, "Transaction.Begin"), of_transaction(3, 1.6, 117, "Transaction.End")
    found = window([begin, end])
    assert (found.import_wh, found.quality, found.readings) == (117, Quality.MEASURED, (-3, -2))


def test_a_transactions_registers_that_the_meter_contradicts_do_not_count() -> None:
    """F3: a station that begins each transaction at 0 beside a register of its whole life."""
    begin, end = of_transaction(2, 0, 0, "Transaction.Begin"), of_transaction(3, 30, 500, "Transaction.End")
    readings = imports((1, 1_234_500), (15, 1_234_750), (29, 1_235_000))
    assert window([begin, *readings, end]).import_wh == 500
