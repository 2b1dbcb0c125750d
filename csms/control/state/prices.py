"""Tariffs from the configuration and series published by the API, as one price series per area. P11."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.domain.errors import NotFound
from csms.domain.ids import AreaId
from csms.domain.tariff import DailyPeriod, PriceSeries, PriceStep, Published, Tariff, TariffHistory
from csms.settings import Settings, TariffSettings
from csms.store import reads, writes

NOTHING = Published()
AHEAD = timedelta(days=2)


def tariff_of(settings: TariffSettings, currency: str) -> Tariff:
    """The configured tariff; a flat price is one period from midnight."""
    flat = [DailyPeriod(start=datetime.min.time(), price_per_kwh=settings.price_per_kwh or Decimal(0))]
    periods = [DailyPeriod(start=p.start, price_per_kwh=p.price_per_kwh) for p in settings.period]
    return Tariff(currency=currency, zone=settings.zone, periods=tuple(periods or flat))


class Prices:
    """What energy costs where and when. A tariff of the configuration holds from the start that first read it;
    published series lie over the tariffs in the order they came."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        currency = settings.settlement.currency
        self._configured = {AreaId(t.area): tariff_of(t, currency) for t in settings.tariff}
        self._tariffs = {area: TariffHistory(((ground.clock.now(), t),)) for area, t in self._configured.items()}
        self._published: dict[AreaId, Published] = {}
        self._store = ground.store
        self._clock = ground.clock
        self._emit = ground.emit

    @property
    def areas(self) -> Iterable[AreaId]:
        return self._configured

    async def load(self) -> None:
        """What is stored, and the configuration's tariffs where they are new."""
        self._tariffs = dict(await self._store.read(reads.tariffs))
        for area, tariff in self._configured.items():
            if area not in self._tariffs or self._tariffs[area].newest != tariff:
                await self._learn(area, tariff)
        for area in self._tariffs:
            stored = await self._store.read(partial(reads.prices, area=area))
            self._published[area] = Published.of(stored)

    async def _learn(self, area: AreaId, tariff: Tariff) -> None:
        now, known = self._clock.now(), self._tariffs.get(area)
        self._tariffs[area] = known.with_(now, tariff) if known else TariffHistory(((now, tariff),))
        known_at, _ = self._tariffs[area].known[-1]
        await self._store.writer.run(partial(writes.save_tariff, area=area, known_at=known_at, tariff=tariff))

    def series(self, area: AreaId, around: datetime, until: datetime | None = None) -> PriceSeries:
        """Prices from the day before ``around`` to two days after it, which is as far as a decision looks, and at least
        up to ``until``. After that the last one holds: who needs a longer time says so."""
        if area not in self._tariffs:
            raise NotFound(f"area {area}: no [[tariff]] entry has this area", field="area")
        end = max(around + AHEAD, until or around)
        base = self._tariffs[area].series(around, days=-((around - end) // timedelta(days=1)))
        return self._published.get(area, NOTHING).over(base, end)

    def currency(self, area: AreaId, at: datetime) -> str:
        """The currency of an area's prices."""
        return self._tariffs[area].at(at).currency

    def now(self, area: AreaId) -> Decimal:
        """What a kWh costs in the area at this moment."""
        now = self._clock.now()
        return self.series(area, now).at(now)

    async def put(self, area: AreaId, steps: Sequence[PriceStep], until: datetime | None) -> None:
        """Publish a series over the tariff. Raises NotFound for an area without a tariff."""
        now = self._clock.now()
        if area not in self._configured:
            raise NotFound(f"area {area}: no [[tariff]] entry has this area", field="area")
        await self._store.writer.run(partial(writes.save_prices, area=area, steps=steps, until=until, at=now))
        self._published[area] = self._published.get(area, NOTHING).with_([(steps, until)])
        if steps:
            self._emit(changes.PricesPublished(min(step.starts_at for step in steps)))
