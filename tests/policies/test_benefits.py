"""Benefits follow from what was metered, and no plug harms anybody. G6, G8; must hold 2."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.benefit import BenefitGrant
from csms.domain.ids import DrEventId, UserId
from csms.domain.metering import Quality
from policies.benefits import benefit_grants, in_force, settled_intervals
from policies.flows import Flow
from policies.plugs import Grant, Plug
from policies.registers import Span
from tests.policies.test_settlement import END, LATER, START, commanded, flow
from tests.policies.test_shared_payment import SHARED

HALF_HOUR = Span(START, END)


def a_point_per_100_wh(settled: Any) -> tuple[Grant, ...]:
    return (Grant(unit="points", amount=settled.moved_wh // 100),)


POINTS = Plug("points", 1, a_point_per_100_wh)


def granted(
    flows: list[Flow], *plugs: Plug[Any], before: tuple[BenefitGrant, ...] = ()
) -> tuple[list[BenefitGrant], list[str]]:
    """The new grants, and why plugs failed."""
    booked: dict[str, list[BenefitGrant]] = {}
    for each in before:
        booked.setdefault(each.cause, []).append(each)
    made, failed = benefit_grants(settled_intervals(flows, HALF_HOUR, "JPY"), booked, plugs or (POINTS,), LATER)
    return list(made), [each.why for each in failed]


def moved(wh: int, number: int = 1, **changes: Any) -> Flow:
    return flow(number, exported=str(wh), command=commanded(**changes))


def test_a_benefit_names_what_it_follows_from() -> None:
    (grant,), _ = granted([moved(1250)])
    assert (grant.user, grant.plug, grant.unit, grant.amount, grant.moved_wh) == (
        "user1",
        "points-1",
        "points",
        12,
        1250,
    )
    assert grant.cause == "plug1:2026-07-01T09:00:00+00:00:event:points-1:points"


def test_nothing_is_granted_for_what_was_not_asked_not_metered_or_not_permitted() -> None:
    """Must hold 2, P4: a flow without a yes has no command; a probe is no event; at most what was commanded counts."""
    missing = replace(moved(5000), energy=replace(moved(5000).energy, quality=Quality.MISSING))
    nobody = replace(moved(5000), plug_in=replace(moved(5000).plug_in, user=None))
    assert granted([flow(exported="5000"), missing, nobody, moved(5000, event=None), moved(0)]) == ([], [])
    (grant,), _ = granted([moved(9000)])
    assert grant.moved_wh == 3000


def test_each_of_several_events_is_granted_for_what_it_moved_itself() -> None:
    """G6, must hold 2: of 10 kWh the less important event stopped 7 of charging, the other fed in 3. Before: all ten
    were the more important one's."""
    made, _ = granted([flow(exported="3000", command=SHARED)])
    assert {(grant.event, grant.amount, grant.moved_wh) for grant in made} == {("e2", 70, 7000), ("e1", 30, 3000)}


def test_granting_again_adds_nothing_and_what_changed_is_corrected_by_a_new_row() -> None:
    first, _ = granted([moved(1250)])
    assert granted([moved(1250)], before=tuple(first)) == ([], [])
    (more,), _ = granted([moved(2000)], before=tuple(first))
    assert (more.cause, more.revision, more.amount) == (first[0].cause, 1, 8)
    (back,), _ = granted([flow()], before=(*first, more))
    assert (back.revision, back.amount) == (2, -20)
    assert granted([flow()], before=(*first, more, back)) == ([], [])


def test_s2_what_was_granted_to_who_is_not_the_user_any_more_is_taken_back_and_granted_once_to_who_is() -> None:
    """G6: a plug-in was taken over by its real user, is theirs, and then turns out to have moved nothing."""
    first, _ = granted([moved(1000)])
    over = replace(moved(1200), plug_in=replace(flow().plug_in, user=UserId("other")))
    second, _ = granted([over], before=tuple(first))
    assert [(each.user, each.revision, each.amount) for each in second] == [("user1", 1, -10), ("other", 2, 12)]
    assert granted([over], before=(*first, *second)) == ([], [])
    third, _ = granted([], before=(*first, *second))
    assert [(each.user, each.revision, each.amount) for each in third] == [("other", 3, -12)]


def test_a_plug_that_is_not_asked_any_more_leaves_what_it_granted_unless_nothing_was_moved() -> None:
    """The configuration never reaches back."""
    first, _ = granted([moved(1250)])
    other = Plug("other", 1, lambda settled: ())
    assert granted([moved(900)], other, before=tuple(first)) == ([], [])
    (back,), _ = granted([flow()], other, before=tuple(first))
    assert back.amount == -12


def test_a_plug_grants_nothing_for_what_was_before_it_was_chosen() -> None:
    assert in_force([POINTS], {"points-1": START}, START) == [POINTS]
    assert in_force([POINTS], {"points-1": START + timedelta(seconds=1)}, START) == []
    assert in_force([POINTS], {}, START) == []


def endless(settled: Any) -> Iterator[Grant]:
    while True:
        yield Grant(unit="points", amount=1)


BAD: dict[str, tuple[Any, str]] = {
    "negative": ((Grant(unit="points", amount=-1),), "amount -1"),
    "not a number": ((Grant(unit="points", amount=float("nan")),), "amount nan"),  # type: ignore[arg-type]
    "a fraction": ((Grant(unit="points", amount=1.5),), "amount 1.5"),  # type: ignore[arg-type]
    "a truth": ((Grant(unit="points", amount=True),), "amount True"),
    "too large": ((Grant(unit="points", amount=10**9),), "amount 1000000000"),
    "too much together": (tuple(Grant(unit="points", amount=60_000) for _ in range(2)), "more than 100000"),
    "wrong money": ((Grant(unit="EUR", amount=1),), "unit 'EUR' is none of points, coupon:<kind>, JPY"),
    "no unit": ((Grant(unit=None, amount=1),), "unit None"),  # type: ignore[arg-type]
    "a wild unit": ((Grant(unit="coupon:'; drop", amount=1),), "unit"),
    "somebody else": ((Grant(unit="points", amount=1, user=UserId("other")),), "user 'other' did not take part"),
    "no grant": (("points",), "'points' is no Grant"),
    "nothing to go through": (7, "TypeError"),
    "one of two": ((Grant(unit="points", amount=5), Grant(unit="points", amount=-5)), "amount -5"),
}


@pytest.mark.parametrize(("returned", "why"), BAD.values(), ids=BAD)
def test_what_cannot_be_granted_is_refused_and_harms_no_other_plug(returned: Any, why: str) -> None:
    bad = Plug("bad", 1, lambda settled: returned)
    made, failed = granted([moved(1250)], bad, POINTS)
    assert [(each.plug, each.amount) for each in made] == [("points-1", 12)]
    assert len(failed) == 1
    assert why in failed[0]


def test_a_plug_that_raises_or_never_ends_leaves_what_it_granted_before() -> None:
    first, _ = granted([moved(1250)])

    def raises(settled: Any) -> tuple[Grant, ...]:
        raise RuntimeError("no database")

    for broken, why in ((raises, "RuntimeError: no database"), (endless, "more than 20 grants")):
        made, failed = granted([moved(2000)], Plug("points", 1, broken), before=tuple(first))
        assert made == []
        assert why in failed[0]


def test_money_is_granted_in_the_currency_of_the_interval() -> None:
    pays = Plug("cash", 1, lambda settled: (Grant(unit=settled.currency, amount=3),))
    made, _ = granted([moved(1000), replace(moved(1000, 2), currency="EUR")], pays)
    assert [(each.user, each.unit) for each in made] == [("user1", "JPY"), ("user2", "EUR")]


histories = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 4000)), min_size=1, max_size=5)


@given(histories)
def test_whatever_comes_late_the_sum_is_what_was_moved_last_and_causes_are_unique(
    rows: list[tuple[int, int]],
) -> None:
    kept: list[BenefitGrant] = []
    for first, second in rows:
        flows = [moved(first), moved(second, event=DrEventId("other"), price_per_kwh=Decimal(50))]
        kept += granted(flows, before=tuple(kept))[0]
    last_first, last_second = (min(wh, 3000) // 100 for wh in rows[-1])
    sums = {event: sum(each.amount for each in kept if each.event == event) for event in ("event", "other")}
    assert sums == {"event": last_first, "other": last_second}
    assert len({(each.cause, each.revision) for each in kept}) == len(kept)
