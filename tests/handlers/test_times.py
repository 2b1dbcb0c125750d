"""Instants on the wire."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.times import instant, parsed, spelt

RECEIVED_AT = datetime(2026, 11, 20, 20, tzinfo=UTC)
FIVE = datetime(2026, 11, 20, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T17:00:00Z",
        "2026-11-20T17:00:00z",
        "2026-11-20T17:00:00.000000000Z",
        "2026-11-20T19:00:00+02",
        "2026-11-20T19:00:00+0200",
        "2026-11-20T19:00:00+02:00",
        "2026-11-20T19:00:00 +02:00",
        "2026-11-21 02:00:00.0+09:00",
        "2026-11-20T17:00:00",
        "2026-11-20T17:00:00,0Z",
        "2026-11-20T17:00Z",
        " 2026-11-20T17:00:00Z ",
    ],
)
def test_a_time_is_read_in_all_its_spellings(text: str) -> None:
    """V2G-60: offsets of every length, no zone, fractions, blanks."""
    assert instant(text, RECEIVED_AT) == FIVE
    assert instant(text, RECEIVED_AT).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["1970-01-01T00:00:23Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "", "now", "2026-13-01T00:00:00Z",
     "2026-11-20T25:00:00z", None, 1_700_000_000, [], {}],
)  # fmt: skip
def test_what_is_no_plausible_time_is_the_time_of_receipt(text: object) -> None:
    """Field lesson 16: 1970 is a clock that was never set."""
    assert instant(text, RECEIVED_AT) == RECEIVED_AT


@given(st.datetimes(datetime(2016, 1, 1), datetime(2098, 1, 1), timezones=st.timezones()))
def test_what_we_write_we_read(at: datetime) -> None:
    """UTC with Z and three decimals."""
    text = spelt(at)
    assert text.endswith("Z")
    assert len(text) == len("2026-11-20T17:00:00.000Z")
    back = parsed(text)
    assert back is not None
    assert abs((back - at).total_seconds()) < 0.001


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.{0,6}"))
def test_no_text_is_too_odd(text: str) -> None:
    assert instant(text, RECEIVED_AT).tzinfo is UTC
