"""Prices over time, per area. Requirement P11."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class PriceStep:
    """From ``starts_at`` on, energy costs this, in major currency units per kWh."""

    starts_at: datetime
    price_per_kwh: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSeries:
    """Steps in order of time; the first holds before its start too, the last for ever. Never empty."""

    currency: str
    steps: tuple[PriceStep, ...]

    def at(self, instant: datetime) -> Decimal:
        """The price in force."""
        index = bisect_right(self.steps, instant, key=lambda step: step.starts_at) - 1
        return self.steps[max(index, 0)].price_per_kwh


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyPeriod:
    """A price from a time of day until the next period's start."""

    start: time
    price_per_kwh: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Time of use for one area; one period at 00:00 = flat."""

    currency: str
    zone: str
    periods: tuple[DailyPeriod, ...]

    def series(self, start: datetime, days: int = 2) -> PriceSeries:
        """The steps from the day before ``start`` (so that its own price is known) over the days after it."""
        zone = ZoneInfo(self.zone)
        first = start.astimezone(zone).date() - timedelta(days=1)
        dates = [first + timedelta(days=n) for n in range(days + 2)]
        steps = [
            PriceStep(datetime.combine(date, period.start, zone), period.price_per_kwh)
            for date in dates
            for period in sorted(self.periods, key=lambda p: p.start)
        ]
        return PriceSeries(currency=self.currency, steps=tuple(steps))


def overlay(base: PriceSeries, published: Sequence[PriceStep], until: datetime | None = None) -> PriceSeries:
    """``published`` replaces the base from its first step up to ``until`` (None = for ever); then the base holds."""
    published = [step for step in published if until is None or step.starts_at < until]
    if not published:
        return base
    first = published[0].starts_at
    before = [step for step in base.steps if step.starts_at < first]
    after: list[PriceStep] = []
    if until is not None:
        after = [PriceStep(until, base.at(until)), *(step for step in base.steps if step.starts_at > until)]
    return PriceSeries(currency=base.currency, steps=(*before, *published, *after))
