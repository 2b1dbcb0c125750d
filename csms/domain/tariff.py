"""Prices over time, per area. Requirement P11."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
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
            PriceStep(datetime.combine(date, period.start, zone).astimezone(UTC), period.price_per_kwh)
            for date in dates
            for period in sorted(self.periods, key=lambda p: p.start)
        ]
        return PriceSeries(currency=self.currency, steps=_in_order(steps))


def _in_order(steps: Sequence[PriceStep]) -> tuple[PriceStep, ...]:
    """Without those that a later one overtakes: a period that starts in the hour which a change of DST leaves out."""
    kept: list[PriceStep] = []
    for step in reversed(steps):
        if not kept or step.starts_at < kept[-1].starts_at:
            kept.append(step)
    return tuple(reversed(kept))


@dataclass(frozen=True, slots=True)
class TariffHistory:
    """The tariffs of one area with the time when each became known, in that order; never empty. A tariff holds until
    the next one became known, the first one before too: a change never reaches back."""

    known: tuple[tuple[datetime, Tariff], ...]

    def with_(self, at: datetime, tariff: Tariff) -> "TariffHistory":
        """One more, from ``at`` on; or, where the clock went back, from the newest one's time on."""
        return TariffHistory((*self.known, (max(at, self.known[-1][0]), tariff)))

    @property
    def newest(self) -> Tariff:
        return self.known[-1][1]

    def at(self, instant: datetime) -> Tariff:
        """The tariff that holds."""
        index = bisect_right(self.known, instant, key=lambda known: known[0]) - 1
        return self.known[max(index, 0)][1]

    def series(self, start: datetime, days: int = 2) -> PriceSeries:
        """As ``Tariff.series``, each tariff within its time; in the currency that holds at ``start``."""
        steps: list[PriceStep] = []
        long_ago = start - timedelta(days=3)
        ends = [*(since for since, _ in self.known[1:]), None]
        for n, ((since, tariff), end) in enumerate(zip(self.known, ends, strict=True)):
            if end is not None and end < long_ago:
                continue
            whole = tariff.series(start, days).steps
            first = whole[0].starts_at if n == 0 else max(since, whole[0].starts_at)
            if end is None or first < end:
                before = [step for step in whole if step.starts_at <= first]
                steps.append(PriceStep(first, before[-1].price_per_kwh))
                later = (step for step in whole if step.starts_at > first)
                steps += [step for step in later if end is None or step.starts_at < end]
        return PriceSeries(currency=self.at(start).currency, steps=tuple(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """All that was published for an area, laid over each other in the order it came.

    From ``starts[i]`` on ``prices[i]`` holds until the next start; None = the base holds there.
    """

    starts: tuple[datetime, ...] = ()
    prices: tuple[Decimal | None, ...] = ()

    @staticmethod
    def of(publications: Iterable[tuple[Sequence[PriceStep], datetime | None]]) -> "Published":
        """Publications (steps, until) in the order they came. A step holds up to the next one, the last up to ``until``
        (None = for ever); what was there before holds outside of them."""
        return _NOTHING.with_(publications)

    def with_(self, publications: Iterable[tuple[Sequence[PriceStep], datetime | None]]) -> "Published":
        """More publications over what is there."""
        starts, prices = list(self.starts), list(self.prices)
        for steps, until in publications:
            _lay(starts, prices, [step for step in steps if until is None or step.starts_at < until], until)
        return Published(starts=tuple(starts), prices=tuple(prices))

    def over(self, base: PriceSeries, until: datetime | None = None) -> PriceSeries:
        """The base with what was published over it: from the base's first step on, up to ``until`` (None = all)."""
        begin = base.steps[0].starts_at
        first = max(bisect_right(self.starts, begin) - 1, 0)
        last = len(self.starts) if until is None else bisect_left(self.starts, until)
        if first >= last:
            return base
        steps = [step for step in base.steps if step.starts_at < self.starts[first]]
        ends = (*self.starts[first + 1 : last], None)
        for start, price, end in zip(self.starts[first:last], self.prices[first:last], ends, strict=True):
            start = max(start, begin)  # noqa: PLW2901
            steps.append(PriceStep(start, base.at(start) if price is None else price))
            if price is None:
                later = (step for step in base.steps if step.starts_at > start)
                steps += [step for step in later if end is None or step.starts_at < end]
        return replace(base, steps=tuple(steps))


def _lay(
    starts: list[datetime], prices: list[Decimal | None], steps: Sequence[PriceStep], until: datetime | None
) -> None:
    """In place, as one publication changes little of many."""
    if not steps:
        return
    first = bisect_left(starts, steps[0].starts_at)
    last = len(starts) if until is None else bisect_right(starts, until)
    after = [] if until is None else [(until, prices[last - 1] if last else None)]
    starts[first:last] = [*(step.starts_at for step in steps), *(start for start, _ in after)]
    prices[first:last] = [*(step.price_per_kwh for step in steps), *(price for _, price in after)]


_NOTHING = Published()
