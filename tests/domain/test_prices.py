"""Prices over time and what an event makes of them. Requirement P11."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId
from csms.domain.tariff import DailyPeriod, PriceSeries, PriceStep, Published, Tariff

START = datetime(2026, 7, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def steps(*prices: int, start: datetime = START) -> tuple[PriceStep, ...]:
    return tuple(PriceStep(start + n * HOUR, Decimal(price)) for n, price in enumerate(prices))


def series(*prices: int) -> PriceSeries:
    return PriceSeries(currency="JPY", steps=steps(*prices))


@pytest.mark.parametrize(("hours", "price"), [(-9, 10), (0, 10), (0.99, 10), (1, 20), (2, 30), (99, 30)])
def test_a_step_holds_until_the_next_and_the_ends_hold_for_ever(hours: float, price: int) -> None:
    assert series(10, 20, 30).at(START + hours * HOUR) == price


def overlay(base: PriceSeries, published: Sequence[PriceStep], until: datetime | None = None) -> PriceSeries:
    return Published.of([(published, until)]).over(base)


DAY_AND_NIGHT = Tariff(
    currency="EUR",
    zone="Europe/Berlin",
    periods=(
        DailyPeriod(start=time(7), price_per_kwh=Decimal(30)),
        DailyPeriod(start=time(22), price_per_kwh=Decimal(20)),
    ),
)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-07-01"])
@pytest.mark.parametrize(("hour", "price"), [(0, 20), (3, 20), (6, 20), (7, 30), (21, 30), (22, 20)])
def test_a_daily_tariff_follows_the_clock_on_the_wall(day: str, hour: int, price: int) -> None:
    """Also where the clocks change; before a day's first period the last one of the day before holds."""
    at = datetime.fromisoformat(f"{day}T{hour:02}:30:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert DAY_AND_NIGHT.series(at).at(at) == price


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), st.integers(0, 47))
def test_a_tariffs_series_is_in_order_and_covers_two_days(at: datetime, ahead: int) -> None:
    made = DAY_AND_NIGHT.series(at)
    starts = [step.starts_at.astimezone(UTC) for step in made.steps]
    assert starts == sorted(starts)
    later = at + ahead * HOUR
    assert starts[0] <= at
    assert made.at(later) == DAY_AND_NIGHT.series(later).at(later)


def test_a_flat_tariff_never_changes() -> None:
    flat = Tariff(currency="JPY", zone="Asia/Tokyo", periods=(DailyPeriod(start=time(0), price_per_kwh=Decimal(30)),))
    assert {step.price_per_kwh for step in flat.series(START).steps} == {Decimal(30)}


@pytest.mark.parametrize(
    ("hours", "price"), [(0, 10), (0.9, 10), (1, 51), (2, 52), (2.9, 52), (3, 40), (4, 50), (9, 50)]
)
def test_published_prices_replace_the_base_until_their_end(hours: float, price: int) -> None:
    published = steps(51, 52, start=START + HOUR)
    made = overlay(series(10, 20, 30, 40, 50), published, START + 3 * HOUR)
    assert made.at(START + hours * HOUR) == price


def test_published_prices_without_an_end_hold_for_ever_and_none_change_nothing() -> None:
    base = series(10, 20)
    assert overlay(base, steps(99)).at(START + 999 * HOUR) == 99
    assert overlay(base, ()) is base


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.integers(11, 19), min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(-2, 14),
)
def test_an_overlay_is_one_series_or_the_other_at_every_instant(
    base: list[int], published: list[int], offset: int, length: int, hours: int
) -> None:
    """Half hours, so that no instant is on an edge. The base begins first; published steps after the end never hold."""
    first = START + offset * HOUR
    until = first + length * HOUR
    new = PriceSeries(currency="JPY", steps=steps(*published, start=first))
    at = START + hours * HOUR + HOUR / 2
    expected = new if first <= at < until else series(*base)
    assert overlay(series(*base), new.steps, until).at(at) == expected.at(at)


def test_published_steps_after_the_end_are_dropped_and_the_order_of_time_is_kept() -> None:
    """A search in a series that is out of order finds any price."""
    made = overlay(series(10, 20, 30, 40), steps(51, 52, 53, 54), START + 2 * HOUR)
    assert [(step.starts_at, step.price_per_kwh) for step in made.steps] == [
        (START, 51),
        (START + HOUR, 52),
        (START + 2 * HOUR, 30),
        (START + 3 * HOUR, 40),
    ]


published = st.tuples(
    st.integers(-3, 9), st.lists(st.integers(11, 99), min_size=1, max_size=4), st.integers(1, 8) | st.none()
)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.lists(published, max_size=6), st.integers(0, 12))
def test_of_many_publications_the_last_that_covers_an_instant_holds(
    base: list[int], all_of_it: list[tuple[int, list[int], int | None]], hours: int
) -> None:
    """P11, A11: merged when they come; half hours, so that no instant is on an edge."""
    at, expected, merged = (
        START + hours * HOUR + HOUR / 2,
        series(*base).at(START + hours * HOUR + HOUR / 2),
        Published(),
    )
    for offset, prices, length in all_of_it:
        first = START + offset * HOUR
        until = None if length is None else first + length * HOUR
        new = PriceSeries(currency="JPY", steps=steps(*prices, start=first))
        merged = merged.with_([(new.steps, until)])
        if first <= at and (until is None or at < until):
            expected = new.at(at)
    assert merged.over(series(*base)).at(at) == expected
    assert merged.over(series(*base), at + HOUR).at(at) == expected


def test_a_year_of_half_hours_published_one_by_one_is_read_at_once() -> None:
    """A11: 25 s for one price. Counted by what a read makes, not by a clock: two days are 96 half hours."""
    half = HOUR / 2
    starts = [START + n * half for n in range(17_520)]
    merged = Published.of(([PriceStep(start, Decimal(n))], start + half) for n, start in enumerate(starts))
    now = START + 10_000 * half
    base = DAY_AND_NIGHT.series(now)
    read = merged.over(base, now + 48 * HOUR)
    assert read.at(now) == 10_000
    assert len(read.steps) <= 96 * 2 + len(base.steps)


def event(direction: Direction, price: int | None = None, incentive: int | None = None, **changes: object) -> DrEvent:
    given = {"id": DrEventId("e"), "requested_w": 1, "starts_at": START, "ends_at": START + HOUR, "created_at": START}
    return DrEvent(
        direction=direction,
        price_per_kwh=None if price is None else Decimal(price),
        incentive_per_kwh=None if incentive is None else Decimal(incentive),
        **(given | changes),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("direction", "price", "incentive", "unit_price"),
    [
        (Direction.DOWN, None, 12, 42),
        (Direction.DOWN, 50, None, 50),
        (Direction.DOWN, 0, None, 0),
        (Direction.DOWN, None, None, 30),
        (Direction.UP, None, 12, 18),
        (Direction.UP, None, 99, 0),
        (Direction.UP, 5, None, 5),
        (Direction.UP, 30, None, 30),
        (Direction.UP, 50, None, 30),
    ],
)
def test_an_events_unit_price_moves_with_its_incentive(
    direction: Direction, price: int | None, incentive: int | None, unit_price: int
) -> None:
    """P11: more for discharging, less for charging, never below nothing. P6, A5: charging never above the tariff."""
    assert event(direction, price, incentive).unit_price(Decimal(30)) == unit_price


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_a_stronger_incentive_never_steers_less(tariff: int, weak: int, more: int) -> None:
    """P11."""
    prices = {
        direction: [event(direction, incentive=i).unit_price(Decimal(tariff)) for i in (weak, weak + more)]
        for direction in Direction
    }
    assert prices[Direction.DOWN][0] <= prices[Direction.DOWN][1]
    assert prices[Direction.UP][0] >= prices[Direction.UP][1]


def test_an_event_is_active_from_its_start_until_its_end_or_cancellation() -> None:
    whole = event(Direction.DOWN)
    assert [whole.is_active(START + n * HOUR / 2) for n in (-1, 0, 1, 2)] == [False, True, True, False]
    cancelled = event(Direction.DOWN, cancelled_at=START + HOUR / 2)
    assert [cancelled.is_active(START + n * HOUR / 4) for n in (0, 1, 2)] == [True, True, False]


def test_an_event_without_areas_covers_all() -> None:
    assert event(Direction.DOWN).covers(AreaId("anywhere"))
    assert not event(Direction.DOWN, areas=frozenset({AreaId("here")})).covers(AreaId("there"))


def test_a_period_that_begins_in_the_hour_which_the_clocks_leave_out_is_overtaken_by_the_next() -> None:
    """29 March, Berlin: half past two does not exist; from three o'clock on the price of three o'clock holds."""
    berlin = ZoneInfo("Europe/Berlin")
    periods = ((time(0), 10), (time(2, 30), 20), (time(3), 30))
    made = Tariff(
        currency="EUR",
        zone="Europe/Berlin",
        periods=tuple(DailyPeriod(start=start, price_per_kwh=Decimal(price)) for start, price in periods),
    ).series(datetime(2026, 3, 29, tzinfo=berlin))
    paid = [made.at(datetime(2026, 3, 29, 0, minute, tzinfo=UTC)) for minute in (0, 59)]
    paid += [made.at(datetime(2026, 3, 29, 1, minute, tzinfo=UTC)) for minute in (0, 10, 31)]
    assert paid == [10, 10, 30, 30, 30]
    assert [step.starts_at for step in made.steps] == sorted({step.starts_at for step in made.steps})
