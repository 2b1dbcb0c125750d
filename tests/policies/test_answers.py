"""What of an answer reaches the decision: each word of it, and the host's choice. Requirements P4-P9."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest

from csms.domain.conditions import Conditions
from csms.domain.permission import Channel, Permission, PermissionState
from csms.domain.snapshot import Use
from policies.permission import answered, terms_of, use_of

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
ALL_OF_IT = Conditions(required_soc_percent=70.0, depart_at=time(7), zone="UTC")
YES = answered(Permission(), True, ALL_OF_IT, NOW, NOW, Channel.PAGE)

HOSTS: list[tuple[PermissionState, str, str, Use]] = [
    (PermissionState.REFUSED, "charge", "nothing", Use.PLAIN),
    (PermissionState.REFUSED, "nothing", "charge", Use.NOTHING),
    (PermissionState.EXPIRED, "charge", "nothing", Use.NOTHING),
    (PermissionState.EXPIRED, "nothing", "charge", Use.PLAIN),
]


@pytest.mark.parametrize(("state", "on_refusal", "on_no_answer", "use"), HOSTS)
def test_a_no_and_a_silence_are_two_choices_of_the_host(
    state: PermissionState, on_refusal: str, on_no_answer: str, use: Use
) -> None:
    """P4."""
    permission = replace(YES, state=state)
    found = use_of(permission, NOW, in_transaction=True, on_refusal=on_refusal, on_no_answer=on_no_answer)
    assert found is use


@pytest.mark.parametrize("word", ["charge", "discharge", "entrust"])
@pytest.mark.parametrize("said", [True, False])
def test_each_yes_and_no_within_the_conditions_is_passed_on_by_itself(word: str, said: bool) -> None:
    """P4, P8: one word changes one thing."""
    permission = replace(YES, conditions=replace(ALL_OF_IT, **{word: said}))  # type: ignore[arg-type]
    terms = terms_of(permission, 40_000, NOW)
    usual = {"charge": True, "discharge": True, "entrust": False} | {word: said}
    assert {name: getattr(terms, name) for name in usual} == usual


@pytest.mark.parametrize("price", [None, Decimal(0), Decimal("25.5")])
def test_a_price_of_nothing_is_a_price_and_none_is_none(price: Decimal | None) -> None:
    """P5, P6."""
    permission = replace(YES, conditions=replace(ALL_OF_IT, min_sell_per_kwh=price, max_buy_per_kwh=price))
    terms = terms_of(permission, 40_000, NOW)
    assert (terms.min_sell_per_kwh, terms.max_buy_per_kwh) == (price, price)


@pytest.mark.parametrize("capacity_wh", [20_000, 80_000])
def test_a_required_charge_is_of_the_battery_that_is_there(capacity_wh: int) -> None:
    """P7: 70 %."""
    terms = terms_of(YES, capacity_wh, NOW)
    assert terms.required_wh == pytest.approx({20_000: 14_000, 80_000: 56_000}[capacity_wh])
    assert terms.departure_at == datetime(2026, 7, 2, 7, 0, tzinfo=UTC)


def test_a_late_answer_means_the_same_departure_as_an_early_one_until_it_has_passed() -> None:
    """P7: plugged in at 09:00, leaving at 07:00."""
    for hours, day in ((0, 2), (21, 2), (22, 3), (23, 3)):
        late = answered(Permission(), True, ALL_OF_IT, NOW, NOW + timedelta(hours=hours), Channel.PAGE)
        assert late.departure_at == datetime(2026, 7, day, 7, 0, tzinfo=UTC)
