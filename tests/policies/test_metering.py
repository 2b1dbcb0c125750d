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
    ("an impossible jump is cut", imports((0, 0), (30, 4_000_000)), "5510", Quality.ESTIMATED, {1, 2}),
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
    """Wh read as kWh: what is not possible is cut and marked."""
    sound = running(steps)
    wrong = [replace(r, reading=replace(r.reading, import_wh=(r.reading.import_wh or 0) * 1000)) for r in sound]
    found = window(wrong)
    hours = Decimal(1) / 2
    assert found.import_wh <= Decimal("1.1") * MAX_W * hours + 10 * len(sound)
    assert ORDER.index(found.quality) >= ORDER.index(window(sound).quality) or found.import_wh == 0
