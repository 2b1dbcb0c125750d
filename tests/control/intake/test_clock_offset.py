"""Stations' clocks against ours. V2G-60, reference §4.3."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.control.intake.clock_offset import ClockOffset
from csms.domain.facts import Reading
from tests.control.kit import START

HOUR = 3600.0


def told(offset: ClockOffset, *late_s: float, is_live: bool = True, every_s: float = 0.0) -> float:
    for number, late in enumerate(late_s):
        at = START + timedelta(seconds=every_s * number)
        offset.note(at - timedelta(seconds=late), at, is_live=is_live)
    return offset.offset_s


@pytest.mark.parametrize("late_s", [HOUR, -HOUR])
def test_a_clock_that_is_an_hour_off_is_corrected_from_the_first_live_message(late_s: float) -> None:
    offset = ClockOffset()
    assert told(offset, late_s) == late_s
    reading = offset.corrected(Reading(at=START - timedelta(seconds=late_s)), START)
    assert reading.at == START


def test_a_correction_is_sticky() -> None:
    """The same message again comes to the same instant, whatever it was delayed by."""
    offset = ClockOffset()
    told(offset, 3601.0)
    assert {told(offset, late) for late in (3600.2, 3604.0, 3607.9, 3598.0)} == {3600.0}


def test_small_delays_are_no_skew() -> None:
    assert told(ClockOffset(), 0.4, 3.0, 9.0) == 0.0


def test_messages_from_a_queue_are_never_taken_for_a_slow_clock() -> None:
    """A station sends what it kept while it was away, before it says anything live."""
    offset = ClockOffset()
    assert told(offset, *(3600.0 - 60 * n for n in range(30)), is_live=False) == 0.0
    assert told(offset, 0.3) == 0.0


def test_a_queue_does_not_change_what_is_known() -> None:
    offset = ClockOffset()
    told(offset, HOUR)
    assert told(offset, *(2 * HOUR - 60 * n for n in range(30)), is_live=False) == HOUR


def test_a_clock_that_was_set_right_is_believed_once_sixteen_messages_agree() -> None:
    offset = ClockOffset()
    told(offset, -HOUR)
    assert told(offset, *[0.2] * 15, is_live=False, every_s=1) == -HOUR
    assert told(offset, *[0.2] * 16, is_live=False, every_s=1) == 0.0


def test_what_was_said_in_one_go_and_is_repeated_in_one_go_is_no_slow_clock() -> None:
    """Field lesson 12: after a restart of ours a station repeats its unconfirmed messages, all of them equally late."""
    assert told(ClockOffset(), *[25.0] * 40, is_live=False, every_s=0.01) == 0.0


def test_after_a_boot_the_first_live_message_counts_again() -> None:
    """Our answer to the boot sets the clock."""
    offset = ClockOffset()
    told(offset, -HOUR)
    offset.forget()
    assert offset.offset_s == -HOUR
    assert told(offset, 0.1) == 0.0


def test_a_clock_that_was_never_set_teaches_nothing_and_its_readings_are_dated_by_their_arrival() -> None:
    """EN+ says 1970 (reference §4.3)."""
    offset = ClockOffset()
    offset.note(datetime(1970, 1, 1, tzinfo=UTC), START, is_live=True)
    assert offset.offset_s == 0.0
    assert offset.corrected(Reading(at=datetime(1970, 1, 1, tzinfo=UTC)), START).at == START


@given(st.lists(st.tuples(st.floats(0, 86_400), st.booleans()), max_size=40))
def test_no_message_is_ever_dated_later_than_its_arrival_by_more_than_a_quantum(
    delays: list[tuple[float, bool]],
) -> None:
    """An estimate goes down at once."""
    offset = ClockOffset()
    for late_s, is_live in delays:
        told(offset, late_s, is_live=is_live)
        at = START - timedelta(seconds=late_s)
        if late_s < offset.offset_s:
            assert offset.corrected(Reading(at=at), START).at - START <= timedelta(seconds=15)
