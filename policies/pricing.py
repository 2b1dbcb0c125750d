"""What energy costs and pays, now and before departure. Requirements P5, P6, P8, P11, P16."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import pairwise

from csms.domain.ids import AreaId
from csms.domain.snapshot import Battery, Snapshot, Terms
from csms.domain.tariff import PriceSeries

WEAR_SHARE = Decimal("0.05")
"""Wear of the battery per discharged kWh, as a share of the tariff, while a vehicle's own figure is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One area's prices at the instant of a decision. ``horizon_h``: how long a setpoint may stay in force, hours."""

    now: datetime
    horizon_h: float
    series: PriceSeries
    tariff_per_kwh: Decimal

    @property
    def next_change_at(self) -> datetime | None:
        """When the tariff is different next; None = never, as far as is known."""
        later = (step for step in self.series.steps if step.starts_at > self.now)
        return next((step.starts_at for step in later if step.price_per_kwh != self.tariff_per_kwh), None)

    def cheaper_hours(self, below: Decimal, until: datetime) -> float:
        """Hours in [now, until) at a price below the one given."""
        return sum(hours for price, hours in self._ahead(until) if price < below)

    def cheapest_later(self, until: datetime | None) -> Decimal:
        """The lowest price from now until then (None = as far as is known)."""
        steps = (step for step in self.series.steps if step.starts_at > self.now)
        prices = [step.price_per_kwh for step in steps if until is None or step.starts_at < until]
        return min(prices, default=self.tariff_per_kwh)

    def _ahead(self, until: datetime) -> list[tuple[Decimal, float]]:
        """(price, hours) of each stretch of [now, until)."""
        inside = [step.starts_at for step in self.series.steps if self.now < step.starts_at < until]
        edges = [self.now, *inside, max(until, self.now)]
        return [(self.series.at(start), (end - start).total_seconds() / 3600) for start, end in pairwise(edges)]


def markets(snapshot: Snapshot) -> Mapping[AreaId, Market]:
    """One market per area of the snapshot's sites."""
    return {
        area: Market(
            now=snapshot.now,
            horizon_h=snapshot.horizon_s / 3600,
            series=snapshot.prices[area],
            tariff_per_kwh=snapshot.prices[area].at(snapshot.now),
        )
        for area in {site.area for site in snapshot.sites}
    }


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
