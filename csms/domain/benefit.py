"""Benefits that were granted: points, coupons, money. Requirements G6, G8, G9."""

from dataclasses import dataclass, replace
from datetime import datetime

from csms.domain.ids import DrEventId, EvseRef, PlugInId, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class BenefitGrant:
    """What a benefits plug grants a user for one settled interval. Unique on (cause, revision); a later revision is the
    difference to the ones before, and may be negative.

    ``unit``: "points", "coupon:<kind>", or a currency, whose minor units count. ``plug``: its name and version.
    ``moved_wh``: what the event moved at the vehicle, metered, at most as commanded: what the grant follows from.
    """

    cause: str
    revision: int
    granted_at: datetime
    user: UserId
    plug_in: PlugInId
    evse: EvseRef
    event: DrEventId | None
    plug: str
    unit: str
    amount: int
    moved_wh: int
    period_start: datetime
    period_end: datetime

    def corrected(self, *, revision: int, amount: int, at: datetime) -> "BenefitGrant":
        """The grant that takes back what nothing was moved for."""
        return replace(self, revision=revision, amount=amount, granted_at=at, moved_wh=0)
