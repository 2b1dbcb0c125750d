"""What energy costs and pays, now and before departure. Requirements P5, P6, P8, P11, P16."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise

from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId
from csms.domain.snapshot import Battery, Snapshot, Terms
from csms.domain.tariff import PriceSeries, PriceStep

WEAR_SHARE = Decimal("0.05")
"""Wear of the battery per discharged kWh, as a share of the tariff, while a vehicle's own figure is not known."""
NOTHING = Decimal(0)


def unit_price(event: DrEvent, tariff_per_kwh: Decimal, added_per_kwh: Decimal = NOTHING) -> Decimal:
    """What a kWh that the event moves is paid (DOWN) or costs (UP): the one price that corridor, setpoint and
    settlement read (P11). ``added_per_kwh`` >= 0 is what price adders give on top; UP is never above the tariff.
    """
    price = event.unit_price(tariff_per_kwh)
    if event.direction is Direction.DOWN:
        return price + added_per_kwh
    return min(price, max(price - added_per_kwh, NOTHING), tariff_per_kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One area's prices at the instant of a decision. ``ahead``: the steps after it. Instants are UTC: two local times
    subtract by the clock on the wall, which is an hour off over a change of DST.

    ``horizon_h``: how long a setpoint may stay in force, hours.
    """

    now: datetime
    horizon_h: float
    tariff_per_kwh: Decimal
    ahead: tuple[PriceStep, ...]

    @property
    def next_change(self) -> PriceStep | None:
        """When the tariff is different next; None = never, as far as is known."""
        return next((step for step in self.ahead if step.price_per_kwh != self.tariff_per_kwh), None)

    def cheaper_hours(self, below: Decimal, until: datetime) -> float:
        """Hours in [now, until) at a price below the one given."""
        return sum(hours for price, hours in self.stretches(until) if price < below)

    def cheapest_later(self, until: datetime | None) -> Decimal:
        """The lowest price from now until then (None = as far as is known)."""
        prices = [step.price_per_kwh for step in self.ahead if until is None or step.starts_at < until]
        return min(prices, default=self.tariff_per_kwh)

    def price_in(self, hours: float) -> Decimal:
        """The price this many hours from now."""
        index = bisect_right(self.ahead, self.now + timedelta(hours=hours), key=lambda step: step.starts_at) - 1
        return self.ahead[index].price_per_kwh if index >= 0 else self.tariff_per_kwh

    def stretches(self, until: datetime) -> list[tuple[Decimal, float]]:
        """(price, hours) of each stretch of [now, until)."""
        until = until.astimezone(UTC)
        inside = [step for step in self.ahead if step.starts_at < until]
        prices = [self.tariff_per_kwh, *(step.price_per_kwh for step in inside)]
        edges = [self.now, *(step.starts_at for step in inside), max(until, self.now)]
        hours = ((end - start).total_seconds() / 3600 for start, end in pairwise(edges))
        return list(zip(prices, hours, strict=True))


def markets(snapshot: Snapshot) -> Mapping[AreaId, Market]:
    """One market per area of the snapshot's sites."""
    hours = snapshot.horizon_s / 3600
    return {area: _market(snapshot.prices[area], snapshot.now, hours) for area in {s.area for s in snapshot.sites}}


def _market(series: PriceSeries, now: datetime, horizon_h: float) -> Market:
    now = now.astimezone(UTC)
    steps = (PriceStep(step.starts_at.astimezone(UTC), step.price_per_kwh) for step in series.steps)
    ahead = tuple(step for step in steps if step.starts_at > now)
    return Market(now=now, horizon_h=horizon_h, tariff_per_kwh=series.at(now), ahead=ahead)


@cache
def _break_even(tariff_per_kwh: Decimal, charge_efficiency: float, discharge_efficiency: float) -> Decimal:
    round_trip = Decimal(repr(charge_efficiency)) * Decimal(repr(discharge_efficiency))
    bought = max(tariff_per_kwh, Decimal(0))
    return bought / round_trip + bought * WEAR_SHARE


def break_even(tariff_per_kwh: Decimal, battery: Battery) -> Decimal:
    """What a discharged kWh must pay so that buying it back, with the losses both ways and the wear, costs nothing."""
    return _break_even(tariff_per_kwh, battery.charge_efficiency, battery.discharge_efficiency)


def least_sell(terms: Terms, tariff_per_kwh: Decimal, battery: Battery) -> Decimal | None:
    """The price below which the vehicle is never discharged (P5); for entrusted vehicles the break-even (P8)."""
    return break_even(tariff_per_kwh, battery) if terms.entrust else terms.min_sell_per_kwh
