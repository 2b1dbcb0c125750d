"""Limits on one caller."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from csms.edge.http.limits import SlidingWindow
from tests.control.kit import START


@given(st.lists(st.integers(0, 300), max_size=60).map(sorted), st.integers(1, 5))
def test_no_window_ever_lets_more_than_the_limit_through(seconds: list[int], limit: int) -> None:
    window = SlidingWindow(limit, timedelta(seconds=60))
    passed: list[int] = []
    for second in seconds:
        at = START + timedelta(seconds=second)
        if not window.is_full("caller", at):
            window.add("caller", at)
            passed.append(second)
    assert all(sum(start <= second < start + 60 for second in passed) <= limit for start in passed)


def test_one_caller_does_not_use_up_the_limit_of_another() -> None:
    window = SlidingWindow(1)
    window.add("one", START)
    assert (window.is_full("one", START), window.is_full("other", START)) == (True, False)


def test_memory_is_bounded_and_the_oldest_caller_is_forgotten() -> None:
    window = SlidingWindow(1, keys=2)
    for name in ("a", "b", "c"):
        window.add(name, START)
    assert [window.is_full(name, START) for name in ("a", "b", "c")] == [False, True, True]
