"""Tariffs from the configuration and series published by the API, as one price series per area. P11."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.domain.errors import NotFound
from csms.domain.ids import AreaId
from csms.domain.tariff import DailyPeriod, PriceSeries, PriceStep, Tariff, overlay
from csms.settings import Settings, TariffSettings
from csms.store import reads, writes

Published = tuple[tuple[PriceStep, ...], datetime | None]


def tariff_of(settings: TariffSettings, currency: str) -> Tariff:
    """The configured tariff; a flat price is one period from midnight."""
    flat = [DailyPeriod(start=datetime.min.time(), price_per_kwh=settings.price_per_kwh or Decimal(0))]
    periods = [DailyPeriod(start=p.start, price_per_kwh=p.price_per_kwh) for p in settings.period]
    return Tariff(currency=currency, zone=settings.zone, periods=tuple(periods or flat))


class Prices:
    """What energy costs where and when. Published series lie over the tariff in the order they came."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        currency = settings.settlement.currency
        self._tariffs = {AreaId(t.area): tariff_of(t, currency) for t in settings.tariff}
        self._published: dict[AreaId, list[Published]] = {}
        self._store = ground.store
        self._clock = ground.clock
        self._emit = ground.emit

    @property
    def areas(self) -> Iterable[AreaId]:
        return self._tariffs

    async def load(self) -> None:
        for area in self._tariffs:
            stored = await self._store.read(partial(reads.prices, area=area))
            self._published[area] = [(tuple(steps), until) for steps, until in stored]

    def series(self, area: AreaId, around: datetime) -> PriceSeries:
        """Prices from the day before ``around`` to two days after it."""
        if area not in self._tariffs:
            raise NotFound(f"area {area}: no [[tariff]] entry has this area", field="area")
        series = self._tariffs[area].series(around)
        for steps, until in self._published.get(area, ()):
            series = overlay(series, steps, until)
        return series

    def now(self, area: AreaId) -> Decimal:
        """What a kWh costs in the area at this moment."""
        now = self._clock.now()
        return self.series(area, now).at(now)

    async def put(self, area: AreaId, steps: Sequence[PriceStep], until: datetime | None) -> None:
        """Publish a series over the tariff. Raises NotFound for an area without a tariff."""
        now = self._clock.now()
        self.series(area, now)
        await self._store.writer.run(partial(writes.save_prices, area=area, steps=steps, until=until, at=now))
        self._published.setdefault(area, []).append((tuple(steps), until))
        if steps:
            self._emit(changes.PricesPublished(min(step.starts_at for step in steps)))
