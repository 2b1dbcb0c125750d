"""What was in force keeps its price: the configuration never reaches back. P11, P13, P19."""

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from csms.domain.ids import AreaId
from csms.domain.tariff import PriceStep
from csms.settings import Settings
from csms.store import reads
from tests.control.kit import AOI, LOW, World
from tests.control.settlement.test_settling import AREA, ledger, minute, settled

CHANGES: dict[str, dict[str, Any]] = {
    "another price": {"tariff": ({"price_per_kwh": 60},)},
    "another currency": {"settlement": {"currency": "EUR"}},
    "another area": {
        "tariff": ({"price_per_kwh": 30}, {"area": "north", "price_per_kwh": 60}),
        "site": ({"id": "default", "area": "north", "import_limit_w": 50_000, "export_limit_w": 50_000},),
    },
    "no such site": {"site": ({"id": "other", "import_limit_w": 50_000},)},
    "another area, and no tariff of the old": {
        "tariff": ({"area": "north", "price_per_kwh": 60},),
        "site": ({"id": "default", "area": "north", "import_limit_w": 50_000, "export_limit_w": 50_000},),
    },
}


async def charged(w: World, first: int, last: int) -> None:
    """6 kW, metered each ten minutes."""
    for n in range(first, last + 1, 10):
        w.clock.at = minute(n)
        await w.take(w.metered(import_wh=n * 100.0, export_wh=0.0))


async def restarted(w: World, **sections: Any) -> None:
    w.settings = Settings(**sections)
    await w.restart()


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
async def test_a_change_in_the_configuration_prices_nothing_anew_that_was_settled(
    w: World, changed: dict[str, Any]
) -> None:
    """3 kWh at 30; the last day is looked at again at each start."""
    await w.resource(LOW)
    await charged(w, 0, 30)
    assert await settled(w, 32) == [("purchase", 3000, -90)]
    await restarted(w, **changed)
    assert await settled(w, 33) == []


async def test_a_new_tariff_holds_from_the_start_that_first_read_it(w: World) -> None:
    """2 kWh at 30 until twenty past, then 60; a later start with the same tariff changes nothing of it, nor does a
    reading that comes late."""
    await w.resource(LOW)
    await charged(w, 0, 20)
    await restarted(w, tariff=({"price_per_kwh": 60},))
    await charged(w, 30, 30)
    assert await settled(w, 32) == [("purchase", 1000, -60), ("purchase", 2000, -60)]
    await charged(w, 40, 50)
    await restarted(w, tariff=({"price_per_kwh": 60},))
    await charged(w, 60, 60)
    assert await settled(w, 62) == [("purchase", 3000, -180)]


async def test_a_new_currency_holds_from_the_start_that_first_read_it(w: World) -> None:
    """Never 30 yen as 30 euros, nor one in the other's balance."""
    await w.resource(LOW)
    await charged(w, 0, 20)
    await restarted(w, tariff=({"price_per_kwh": "0.20"},), settlement={"currency": "EUR"})
    await charged(w, 30, 30)
    assert await settled(w, 32) == [("purchase", 1000, -20), ("purchase", 2000, -60)]
    booked = {(entry.energy_wh, entry.currency, entry.price_per_kwh) for _, entry in await ledger(w)}
    assert booked == {(2000, "JPY", Decimal(30)), (1000, "EUR", Decimal("0.20"))}
    spent = [
        (await w.store.read(partial(reads.balance, user=AOI, currency=money))).spent_minor for money in ("JPY", "EUR")
    ]
    assert spent == [60, 20]


async def test_what_an_operator_publishes_still_corrects(w: World) -> None:
    """An explicit act makes new entries, also after the configuration has changed."""
    await w.resource(LOW)
    await charged(w, 0, 30)
    await settled(w, 32)
    await restarted(w, tariff=({"price_per_kwh": 60},))
    await settled(w, 33)
    await w.system.prices.put(AREA, [PriceStep(minute(0), Decimal(40))], minute(30))
    assert await settled(w, 34) == [("correction", -3000, 90), ("correction", 3000, -120)]


async def test_a_plan_reads_the_tariff_that_is_configured_now(w: World) -> None:
    await restarted(w, tariff=({"price_per_kwh": 60},))
    w.clock.pass_(1)
    prices = w.system.prices
    assert prices.now(AREA) == 60
    assert list(prices.areas) == [AreaId("default")]
    series = prices.series(AREA, w.clock.now())
    assert series.at(w.clock.now() + timedelta(days=2)) == 60
