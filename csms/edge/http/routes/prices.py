"""Prices per area. P11."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from csms.domain.errors import NotFound
from csms.domain.ids import AreaId
from csms.domain.tariff import PriceStep
from csms.edge.http.auth import ControlDep, Operator, Reader
from csms.edge.http.ports import Control
from csms.edge.http.shapes import Body, Name, Price, When
from csms.store import reads

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
async def put(control: ControlDep, caller: Operator, area: Name, body: SeriesBody) -> PricesOut:
    """Publish a series for an area."""
    _check(control, area)
    steps = [PriceStep(step.starts_at, step.price_per_kwh) for step in body.steps]
    await control.put_prices(AreaId(area), steps, body.until)
    return await _prices(control, AreaId(area))


@router.get("/{area}")
async def one(control: ControlDep, caller: Reader, area: Name) -> PricesOut:
    """The price now and what was published."""
    _check(control, area)
    return await _prices(control, AreaId(area))


async def _prices(control: Control, area: AreaId) -> PricesOut:
    series = await control.store.read(lambda conn: reads.prices(conn, area))
    price, currency = control.price_now(area)
    return PricesOut(
        area=area,
        currency=currency,
        price_now_per_kwh=price,
        published=[Published(steps=[_step(step) for step in steps], until=until) for steps, until in series],
    )


def _step(step: PriceStep) -> StepBody:
    return StepBody(starts_at=step.starts_at, price_per_kwh=step.price_per_kwh)


def _check(control: Control, area: str) -> None:
    known = [tariff.area for tariff in control.settings.tariff]
    if area not in known:
        raise NotFound(f"there is no area {area}; the configuration has {', '.join(known)}", field="area")
