"""How far the prices of an area are known to those who ask. P11."""

from datetime import timedelta
from decimal import Decimal

import pytest

from csms.domain.ids import AreaId
from csms.domain.tariff import PriceStep
from tests.control.kit import START, World

DAY = timedelta(days=1)


@pytest.mark.parametrize("days", [2.5, 3.0, 9.5])
async def test_a_time_of_many_days_has_its_prices_to_the_end(w: World, days: float) -> None:
    """Before, they ended two days after the start: a report over a longer event cut its intervals by the price of the
    second day."""
    (area, *_) = w.system.prices.areas
    at = START + days * DAY - timedelta(hours=1)
    await w.system.prices.put(AreaId(area), [PriceStep(at, Decimal(77))], START + 20 * DAY)
    until = START + days * DAY
    series = w.system.prices.series(area, START, until)
    assert series.at(at) == 77
    assert series.at(at - timedelta(minutes=1)) != 77
    assert w.system.prices.series(area, START).at(at) != 77, "a decision looks no further than two days"
