"""What energy costs and pays, now and before departure. Requirements P5, P6, P8, P11, P16."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import accumulate, pairwise

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

    ``horizon_h``: how long a setpoint may stay in force, hours. Per step ahead: ``starts_h`` from now, ``cheaper_h`` of
    the time before it that are cheaper than now, the ``lowest`` price up to it. ``next_change``: when the tariff is
    different next; None = never, as far as is known.
    """

    now: datetime
    horizon_h: float
    tariff_per_kwh: Decimal
    ahead: tuple[PriceStep, ...]
    starts_h: tuple[float, ...] = ()
    cheaper_h: tuple[float, ...] = ()
    lowest: tuple[Decimal, ...] = ()
    next_change: PriceStep | None = None

    def cheaper_hours(self, until: datetime) -> float:
        """Hours in [now, until) at a price below the tariff of now."""
        until_h = hours_between(self.now, until)
        index = bisect_right(self.starts_h, until_h) - 1
        if index < 0:
            return 0.0
        is_cheaper = self.ahead[index].price_per_kwh < self.tariff_per_kwh
        return self.cheaper_h[index] + (until_h - self.starts_h[index] if is_cheaper else 0.0)

    def cheapest_later(self, until: datetime | None) -> Decimal:
        """The lowest price from now until then (None = as far as is known)."""
        count = len(self.ahead) if until is None else bisect_left(self.starts_h, hours_between(self.now, until))
        return self.lowest[count - 1] if count else self.tariff_per_kwh

    def price_in(self, hours: float) -> Decimal:
        """The price this many hours from now."""
        index = bisect_right(self.starts_h, hours) - 1
        return self.ahead[index].price_per_kwh if index >= 0 else self.tariff_per_kwh


def hours_between(start: datetime, end: datetime) -> float:
    """Hours, < 0 where the end comes first. ``start`` in UTC."""
    return (end - start).total_seconds() / 3600


def markets(snapshot: Snapshot) -> Mapping[AreaId, Market]:
    """One market per area of the snapshot's sites."""
    hours = snapshot.horizon_s / 3600
    return {area: _market(snapshot.prices[area], snapshot.now, hours) for area in {s.area for s in snapshot.sites}}


def _market(series: PriceSeries, now: datetime, horizon_h: float) -> Market:
    now = now.astimezone(UTC)
    steps = (PriceStep(step.starts_at.astimezone(UTC), step.price_per_kwh) for step in series.steps)
    ahead = tuple(step for step in steps if step.starts_at > now)
    tariff, starts = series.at(now), [hours_between(now, step.starts_at) for step in ahead]
    lengths = [0.0, *(end - start for start, end in pairwise(starts))]
    is_cheaper = [False, *(step.price_per_kwh < tariff for step in ahead)]
    return Market(
        now=now,
        horizon_h=horizon_h,
        tariff_per_kwh=tariff,
        ahead=ahead,
        starts_h=tuple(starts),
        cheaper_h=tuple(accumulate(hours * cheap for hours, cheap in zip(lengths, is_cheaper, strict=False))),
        lowest=tuple(accumulate((step.price_per_kwh for step in ahead), min)),
        next_change=next((step for step in ahead if step.price_per_kwh != tariff), None),
    )


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
    return break_even(tariff_per_kwh, battery) if terms.entrust else asked_sell(terms, tariff_per_kwh)


def asked_sell(terms: Terms, tariff_per_kwh: Decimal) -> Decimal | None:
    """The user's minimum price, or the tariff with the user's minimum incentive where that is more."""
    if terms.min_incentive_per_kwh is None:
        return terms.min_sell_per_kwh
    return max(tariff_per_kwh + terms.min_incentive_per_kwh, terms.min_sell_per_kwh or NOTHING)


def is_raise_within(terms: Terms, tariff_per_kwh: Decimal, price_per_kwh: Decimal) -> bool:
    """Charging that an event asks for is enough cheaper than the tariff (P6)."""
    least = terms.min_incentive_per_kwh
    return terms.entrust or least is None or tariff_per_kwh - price_per_kwh >= least
