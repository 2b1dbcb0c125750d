"""Prices per area. P11."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from csms.control.state.prices import Prices
from csms.domain.ids import AreaId
from csms.domain.tariff import PriceStep
from csms.edge.http.auth import Operator, Reader
from csms.edge.http.rooms import PricesDep, SettingsDep, StoreDep
from csms.edge.http.shapes import Body, Name, Price, When
from csms.store import Store, reads

router = APIRouter(prefix="/api/v1/prices", tags=["prices"])


class StepBody(Body):
    """From ``starts_at`` on, energy costs this, in major currency units per kWh."""

    starts_at: When
    price_per_kwh: Price


class SeriesBody(Body):
    """Steps in order of time; they hold instead of the tariff up to ``until`` (absent = for ever)."""

    steps: Annotated[list[StepBody], Field(min_length=1, max_length=5_000)]
    until: When | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        starts = [step.starts_at for step in self.steps]
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError("steps must be in order of starts_at, each once")
        if self.until is not None and self.until <= starts[-1]:
            raise ValueError("until must be later than the last step")
        return self


class Published(BaseModel):
    steps: list[StepBody]
    until: When | None


class PricesOut(BaseModel):
    """The price now, and the series that were published over the tariff, oldest first."""

    area: str
    currency: str
    price_now_per_kwh: Decimal
    published: list[Published]


@router.put("/{area}")
async def put(
    prices: PricesDep, store: StoreDep, settings: SettingsDep, caller: Operator, area: Name, body: SeriesBody
) -> PricesOut:
    """Publish a series for an area."""
    steps = [PriceStep(step.starts_at, step.price_per_kwh) for step in body.steps]
    await prices.put(AreaId(area), steps, body.until)
    return await _shown(prices, store, AreaId(area), settings.settlement.currency)


@router.get("/{area}")
async def one(prices: PricesDep, store: StoreDep, settings: SettingsDep, caller: Reader, area: Name) -> PricesOut:
    """The price now and what was published."""
    return await _shown(prices, store, AreaId(area), settings.settlement.currency)


async def _shown(prices: Prices, store: Store, area: AreaId, currency: str) -> PricesOut:
    price_now = prices.now(area)
    series = await store.read(lambda conn: reads.prices(conn, area))
    return PricesOut(
        area=area,
        currency=currency,
        price_now_per_kwh=price_now,
        published=[Published(steps=[_step(step) for step in steps], until=until) for steps, until in series],
    )


def _step(step: PriceStep) -> StepBody:
    return StepBody(starts_at=step.starts_at, price_per_kwh=step.price_per_kwh)
