"""Money is rounded once, over the whole. Design §3."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.ids import EvseRef, StationId
from csms.domain.ledger import user_account
from csms.domain.units import amount_minor, round_minor, split_minor

parts = st.lists(st.decimals(-1_000_000, 1_000_000, places=6), max_size=30)


@given(parts)
def test_the_rounded_parts_sum_to_the_rounded_whole(amounts: list[Decimal]) -> None:
    assert sum(split_minor(amounts)) == round_minor(sum(amounts, Decimal(0)))


@given(parts)
def test_no_part_is_off_by_a_whole_unit(amounts: list[Decimal]) -> None:
    assert all(
        abs(whole - exact) < 1 or whole == exact for whole, exact in zip(split_minor(amounts), amounts, strict=True)
    )


@given(st.lists(st.integers(-1000, 1000)))
def test_whole_amounts_stay_as_they_are(amounts: list[int]) -> None:
    assert split_minor([Decimal(amount) for amount in amounts]) == amounts


def test_equal_remainders_go_to_the_earlier_part() -> None:
    assert split_minor([Decimal("0.4"), Decimal("0.4"), Decimal("0.4")]) == [1, 0, 0]
    assert split_minor([]) == []


@pytest.mark.parametrize(
    ("energy_wh", "price", "currency", "minor"),
    [(1500, "30", "JPY", "45"), (1500, "0.30", "EUR", "45"), (1, "30", "JPY", "0.03"), (1000, "-2", "JPY", "-2")],
)
def test_an_amount_is_in_the_currencys_smallest_unit(energy_wh: int, price: str, currency: str, minor: str) -> None:
    assert amount_minor(energy_wh, Decimal(price), currency) == Decimal(minor)


def test_ties_round_to_even() -> None:
    assert [round_minor(Decimal(text)) for text in ("0.5", "1.5", "2.5", "-0.5")] == [0, 2, 2, 0]


def test_an_evse_is_written_with_its_station() -> None:
    assert str(EvseRef(StationId("s1"), 2)) == "s1/2"
    assert user_account("u") == "user:u"  # type: ignore[arg-type]
