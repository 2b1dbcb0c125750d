"""Two overlapping events on the same vehicles: each is reported, and pays, what the paired run says was moved for it.

A4, P5, P19; G11.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from csms.domain.conditions import Conditions
from csms.domain.ids import DrEventId
from csms.domain.ledger import EntryKind
from simulators.twin.cases import Case
from tests.truth.controlled import Controlled, controlled
from tests.truth.kit import case, down, v2g_car, visit

pytestmark = pytest.mark.long
HOURS = 3.0
SELLS_FROM = Decimal(50)
E1, E2 = DrEventId("e1"), DrEventId("e2")


def street() -> Case:
    """Two V2G vehicles that charge at 10 kW. e1 (60 per kWh) wants 8 kW from 0:30 to 2:00, e2 (40, less important)
    27 kW from 1:00 to 2:30; the users sell from 50 on, so that e2 may stop them and never discharge them."""
    wishes = Conditions(required_soc_percent=10, min_sell_per_kwh=SELLS_FROM)
    visits = [visit(v2g_car(0.4), hours=HOURS, number=n, conditions=wishes) for n in range(2)]
    e1 = down(8_000, 0.5, 2.0, id=E1)
    e2 = down(27_000, 1.0, 2.5, id=E2, price_per_kwh=Decimal(40), priority=1)
    return case(*visits, hours=HOURS, events=(e1, e2))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Controlled, Controlled]:
    return asyncio.run(_with_and_without([tmp_path_factory.mktemp("shared") for _ in range(2)], street()))


async def _with_and_without(folders: Sequence[Path], played: Case) -> tuple[Controlled, Controlled]:
    return await controlled(folders[0], played), await controlled(folders[1], replace(played, events=()))


def true_wh(pair: tuple[Controlled, Controlled], from_h: float, to_h: float) -> float:
    actual, without = pair
    span = (round(from_h * 3600), round(to_h * 3600))
    return float((without.trail.net_wh(*span) - actual.trail.net_wh(*span)).sum())


def test_the_events_together_are_reported_what_the_paired_run_says(pair: tuple[Controlled, Controlled]) -> None:
    reported = sum(report.delivered_wh for report in pair[0].reports)
    assert true_wh(pair, 0.5, 2.5) > 40_000
    assert reported == pytest.approx(true_wh(pair, 0.5, 2.5), rel=0.02)


def test_the_more_important_event_gets_all_it_asked_for_and_the_other_all_that_is_left(
    pair: tuple[Controlled, Controlled],
) -> None:
    """8 kW for 1.5 h; for e2 20 kW of charging for 1.5 h, less nothing: e1 is served by discharging beside it."""
    first, second = pair[0].reports
    assert first.delivered_wh == pytest.approx(12_000, rel=0.04)
    assert second.delivered_wh == pytest.approx(30_000, rel=0.04)
    shared_wh = true_wh(pair, 1.0, 2.0)
    assert shared_wh == pytest.approx(28_000, rel=0.04), "both at once"


def test_each_kilowatt_hour_is_booked_once_at_the_price_of_its_own_event(pair: tuple[Controlled, Controlled]) -> None:
    """P19: what the ledger has of an event is what was within its command."""
    for report, price in zip(pair[0].reports, (Decimal(60), Decimal(40)), strict=True):
        entries = [entry for entry in pair[0].entries if entry.event == report.event.id]
        assert sum(entry.energy_wh for entry in entries) == pytest.approx(report.within_wh, rel=0.01)
        assert {entry.price_per_kwh for entry in entries if entry.kind is EntryKind.SALE} <= {price}
        assert {entry.price_per_kwh for entry in entries if entry.kind is EntryKind.REWARD} <= {price - 30}


def test_nothing_is_sold_below_the_user_s_minimum(pair: tuple[Controlled, Controlled]) -> None:
    """P5: every kWh that went out was e1's."""
    sold = [entry for entry in pair[0].entries if entry.kind is EntryKind.SALE and entry.energy_wh > 0]
    assert sum(entry.energy_wh for entry in sold) == pytest.approx(8_000, rel=0.05)
    assert {entry.event for entry in sold} == {E1}
    assert all(entry.price_per_kwh >= SELLS_FROM for entry in sold)
