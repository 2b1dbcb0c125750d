"""Benefits of a plug of another package: granted with the settlement, corrected with it, over any restart. G6, G8."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from csms.domain.benefit import BenefitGrant
from csms.plugs import chosen
from csms.settings import PolicySettings
from csms.store import reads
from csms.store.tables import SETTLED_AREA
from policies.plugs import Plug
from policies.registry import DEFAULT
from tests.control.kit import AOI, World, world
from tests.control.settlement.test_settling import (
    ALL,
    AREA,
    HALF_PAST,
    THE_HOUR,
    commanded,
    hour,
    metered,
    minute,
    settled,
)

EXAMPLE = Path(__file__).parents[2] / "plugin_example"


@pytest.fixture
async def w(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    async with world(tmp_path, policies=chosen(PolicySettings(benefits=("house-points-1",)))) as made:
        await made.person()
        yield made


async def grants(w: World, **of: Any) -> list[BenefitGrant]:
    return [grant for _, grant in await w.store.read(partial(reads.benefit_grants, **of))]


async def sums(w: World) -> dict[str, int]:
    found: dict[str, int] = {}
    for grant in await grants(w, user=AOI):
        found[grant.unit] = found.get(grant.unit, 0) + grant.amount
    return found


async def test_a_settled_interval_is_granted_what_the_plug_says(w: World) -> None:
    """2 kWh for the event: twenty points and a coffee, once; also after a restart that settles the day again."""
    event = await hour(w, ALL)
    assert await settled(w, 62) == THE_HOUR
    made = await grants(w)
    assert [(each.user, each.event, each.unit, each.amount, each.plug, each.period_start) for each in made] == [
        (AOI, event.id, "points", 20, "house-points-1", HALF_PAST),
        (AOI, event.id, "coupon:coffee", 1, "house-points-1", HALF_PAST),
    ]
    w.system.rooms.settlement.reopen(HALF_PAST)
    await settled(w, 63)
    await w.restart()
    await settled(w, 64)
    assert await grants(w) == made


async def test_a_late_reading_corrects_what_was_granted(w: World) -> None:
    await hour(w, range(0, 46, 5))
    await settled(w, 62)
    assert await sums(w) == {"points": 10, "coupon:coffee": 1}
    await metered(w, (50, 55, 60))
    await settled(w, 64)
    assert await sums(w) == {"points": 20, "coupon:coffee": 1}
    assert [each.revision for each in await grants(w) if each.unit == "points"] == [0, 1]


@pytest.mark.parametrize("has_area", [True, False], ids=["granted now", "granted before areas were kept"])
async def test_a_site_that_leaves_the_configuration_takes_no_grant_back(w: World, *, has_area: bool) -> None:
    """G6: charging was stopped at the tariff's own price, so that nothing is booked but the points. Before: they were
    taken back, as the plug-in had no area any more."""
    event = await hour(w, (), is_commanded=False)
    await commanded(w, event, desired_w=0, counterfactual_w=4000, price_per_kwh=Decimal(40))
    for n in range(0, 61, 5):
        w.clock.at = minute(n)
        await w.take(w.metered(at=minute(n), import_wh=0.0, export_wh=0.0))
    assert await settled(w, 62) == []
    assert await sums(w) == {"points": 20, "coupon:coffee": 1}
    assert await w.store.read(partial(reads.settled_areas, plug_ins=[w.plug_in.id])) == {w.plug_in.id: AREA}
    if not has_area:
        await w.store.writer.run(lambda conn: conn.execute(SETTLED_AREA.delete()))
    made, w.settings = await grants(w), w.settings.model_copy(update={"site": ()})
    await w.restart()
    w.system.rooms.settlement.reopen(HALF_PAST)
    await settled(w, 64)
    assert await grants(w) == made


async def test_a_plug_that_is_chosen_later_grants_nothing_for_before(w: World) -> None:
    await hour(w, ALL)
    points, w.policies = w.policies, DEFAULT
    await w.restart()
    await settled(w, 62)
    w.policies = replace(points, benefits=(replace(points.benefits[0], version=2),))
    await w.restart()
    await settled(w, 64)
    assert await grants(w) == []


async def test_a_plug_that_is_not_chosen_any_more_keeps_what_it_granted(w: World) -> None:
    await hour(w, ALL)
    await settled(w, 62)
    made, w.policies = await grants(w), DEFAULT
    await w.restart()
    await settled(w, 64)
    assert made
    assert await grants(w) == made


async def test_a_plug_that_raises_harms_nothing_else_and_is_logged_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(settled: Any) -> Any:
        raise ZeroDivisionError("of nothing")

    async with world(tmp_path, policies=replace(DEFAULT, benefits=(Plug("bad", 1, raises),))) as w:
        await w.person()
        await hour(w, ALL)
        assert await settled(w, 62) == THE_HOUR
        assert await grants(w) == []
    said = [line for line in capsys.readouterr().out.splitlines() if "benefits.failed" in line]
    assert len(said) == 1
    assert "ZeroDivisionError: of nothing" in said[0]
