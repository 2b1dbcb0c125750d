"""Time slots and departures, over midnight and where the clocks change. Requirements P7, P9."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.conditions import Conditions, TimeSlot, slot_edges, slot_span

TOKYO = ZoneInfo("Asia/Tokyo")
BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = (0, 1, 2, 3, 4)
NIGHT = TimeSlot(start=time(18), end=time(7), days=WEEKDAYS)
"""Weekdays 18:00-07:00, as in P9."""


def tokyo(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=TOKYO)  # 3 July 2026 is a Friday


@pytest.mark.parametrize(
    ("at", "is_inside"),
    [
        (tokyo(3, 17, 59), False),
        (tokyo(3, 18), True),
        (tokyo(3, 23, 59), True),
        (tokyo(4, 0), True),
        (tokyo(4, 6, 59), True),
        (tokyo(4, 7), False),
        (tokyo(4, 18), False),
        (tokyo(6, 6, 59), False),
        (tokyo(6, 18), True),
    ],
)
def test_a_slot_over_midnight_belongs_to_the_day_it_starts_on(at: datetime, is_inside: bool) -> None:
    """P9: Friday's night runs into Saturday, Sunday's is none."""
    assert (NIGHT.span_containing(at) is not None) is is_inside
    assert (NIGHT.span_containing(at.astimezone(UTC)) is not None) is is_inside


def test_a_slot_for_one_day_holds_once() -> None:
    once = TimeSlot(start=time(22), end=time(2), once=date(2026, 7, 3))
    assert once.span_containing(tokyo(4, 1)) == (tokyo(3, 22), tokyo(4, 2))
    assert once.span_containing(tokyo(5, 1)) is None
    assert once.span_containing(tokyo(10, 23)) is None


def test_equal_ends_mean_a_whole_day() -> None:
    whole = TimeSlot(start=time(0), end=time(0))
    assert whole.span_containing(tokyo(3, 12)) == (tokyo(3, 0), tokyo(4, 0))


@pytest.mark.parametrize(("day", "month", "hours"), [(28, 3, 12), (24, 10, 14), (6, 6, 13)])
def test_a_night_in_which_the_clocks_change_is_shorter_or_longer(day: int, month: int, hours: int) -> None:
    """2026: forward on 29 March, back on 25 October."""
    slot = TimeSlot(start=time(18), end=time(7), zone="Europe/Berlin")
    span = slot.span_containing(datetime(2026, month, day, 23, tzinfo=BERLIN))
    assert span is not None
    assert span[1].astimezone(UTC) - span[0].astimezone(UTC) == timedelta(hours=hours)


instants = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))
slots = st.builds(
    TimeSlot,
    start=st.times(),
    end=st.times(),
    days=st.lists(st.integers(0, 6), unique=True).map(tuple),
    zone=st.sampled_from(["Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)


@given(slots, instants)
def test_a_span_always_contains_its_instant_and_is_never_longer_than_a_day_and_an_hour(
    slot: TimeSlot, at: datetime
) -> None:
    span = slot.span_containing(at)
    if span is not None:
        start, end = (edge.astimezone(UTC) for edge in span)
        assert start <= at < end
        assert end - start <= timedelta(hours=25)


@given(slots, instants)
def test_every_instant_of_a_span_finds_a_span(slot: TimeSlot, at: datetime) -> None:
    span = slot.span_containing(at)
    if span is not None:
        last = span[1].astimezone(UTC) - timedelta(microseconds=1)
        assert slot.span_containing(last) is not None
        assert slot.span_containing(span[0]) is not None


@given(instants, st.times(), st.sampled_from(["Asia/Tokyo", "Europe/Berlin", "Australia/Lord_Howe"]))
def test_the_departure_is_the_first_one_after_the_plug_in(at: datetime, depart_at: time, zone: str) -> None:
    """P7."""
    departure = Conditions(depart_at=depart_at, zone=zone).departure_after(at)
    assert departure is not None
    assert at < departure.astimezone(UTC) <= at + timedelta(hours=25)


def test_a_plug_in_at_the_very_time_of_departure_means_the_next_day() -> None:
    """P7: else the vehicle would have to be charged already."""
    assert Conditions(depart_at=time(7)).departure_after(tokyo(3, 7)) == tokyo(4, 7)


def test_of_several_slots_any_may_hold() -> None:
    """P9: the one that does is the span."""
    noon = TimeSlot(start=time(12), end=time(13))
    for slots in ((NIGHT, noon), (noon, NIGHT)):
        assert slot_span(slots, tokyo(3, 12, 30)) == (tokyo(3, 12), tokyo(3, 13))
        assert slot_span(slots, tokyo(3, 23)) == (tokyo(3, 18), tokyo(4, 7))
        assert slot_span(slots, tokyo(3, 15)) is None


def test_the_edges_in_a_time_are_the_starts_and_ends_of_every_night_that_reaches_into_it() -> None:
    """P9: from Friday 03:00, in the night that began on Thursday, until Friday 20:00; edges at its ends count."""
    assert slot_edges((NIGHT,), tokyo(3, 3), tokyo(3, 20)) == {tokyo(3, 7), tokyo(3, 18)}
    assert slot_edges((NIGHT,), tokyo(3, 7), tokyo(3, 18)) == {tokyo(3, 7), tokyo(3, 18)}
    assert slot_edges((NIGHT,), tokyo(3, 8), tokyo(3, 17)) == frozenset()
    assert slot_edges((), tokyo(3, 3), tokyo(3, 20)) == frozenset()


def test_without_a_time_there_is_no_departure() -> None:
    assert Conditions().departure_after(tokyo(3, 12)) is None


def test_no_slots_mean_any_time() -> None:
    assert Conditions().allows(tokyo(3, 12))
    assert not Conditions(slots=(NIGHT,)).allows(tokyo(3, 12))
    assert slot_span((), tokyo(3, 12)) is None
