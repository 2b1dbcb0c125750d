"""Demand response events. Words as OpenADR 3; requirements P12, G1-G2."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from csms.domain.ids import AreaId, DrEventId


class Direction(StrEnum):
    """DOWN = reduce demand (stop charging, discharge). UP = raise it (charge)."""

    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrEvent:
    """A request to change a region's demand by ``requested_w`` (> 0) over [starts_at, ends_at).

    One is given of ``incentive_per_kwh`` (on top of the tariff) and ``price_per_kwh`` (instead of both).
    ``areas`` empty = everywhere. ``priority``: 0 is served first (OpenADR 3: the smaller, the more important).
    """

    id: DrEventId
    direction: Direction
    requested_w: int
    starts_at: datetime
    ends_at: datetime
    areas: frozenset[AreaId] = frozenset()
    incentive_per_kwh: Decimal | None = None
    price_per_kwh: Decimal | None = None
    priority: int = 0
    created_at: datetime
    cancelled_at: datetime | None = None

    def covers(self, area: AreaId) -> bool:
        return not self.areas or area in self.areas

    def is_active(self, at: datetime) -> bool:
        """An event ends just before its end; a cancelled one ended at its cancellation."""
        return self.starts_at <= at < self.stops_at

    @property
    def stops_at(self) -> datetime:
        return min(self.ends_at, self.cancelled_at) if self.cancelled_at else self.ends_at

    def unit_price(self, tariff_per_kwh: Decimal) -> Decimal:
        """Per kWh: what is paid for discharged energy (DOWN); what charging costs (UP), never above the tariff. P11."""
        incentive = self.incentive_per_kwh or Decimal(0)
        if self.direction is Direction.DOWN:
            return tariff_per_kwh + incentive if self.price_per_kwh is None else self.price_per_kwh
        wanted = max(tariff_per_kwh - incentive, Decimal(0)) if self.price_per_kwh is None else self.price_per_kwh
        return min(wanted, tariff_per_kwh)
