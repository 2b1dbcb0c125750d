"""Double-entry ledger: append-only, integer minor units. Requirements P13, P14, P19; design §3."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from csms.domain.ids import DrEventId, EvseRef, PlugInId, UserId, VehicleId

OPEN_FOR: Final = timedelta(days=31)
"""What lies further back is not settled anew by something late: that month's accounts are closed."""


class EntryKind(StrEnum):
    """SALE: the user sold energy. PURCHASE: the user bought it. REWARD: for charging that stopped when it was asked to.
    CORRECTION: makes an earlier entry right."""

    SALE = "sale"
    PURCHASE = "purchase"
    REWARD = "reward"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry: + is credit to the account (we owe it), - is debit."""

    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One settled flow of energy in one interval. The postings sum to zero. Unique on (cause, revision).

    ``energy_wh`` >= 0; for a CORRECTION it is the difference to what was booked before and may be negative.
    ``evidence`` names what it follows from: rule and version, readings and setpoints by id, counterfactual and metered
    energy.
    """

    cause: str
    revision: int
    kind: EntryKind
    posted_at: datetime
    period_start: datetime
    period_end: datetime
    user: UserId
    vehicle: VehicleId | None
    evse: EvseRef
    plug_in: PlugInId
    event: DrEventId | None
    energy_wh: int
    price_per_kwh: Decimal
    currency: str
    postings: tuple[Posting, ...]
    evidence: Mapping[str, Any]

    @property
    def flow(self) -> EntryKind:
        """Sale, purchase or reward; of a correction what it corrects, which its cause names last."""
        if self.kind is not EntryKind.CORRECTION:
            return self.kind
        return EntryKind(self.cause.rpartition(":")[2].partition("-")[0])

    @property
    def is_balanced(self) -> bool:
        return sum(posting.amount_minor for posting in self.postings) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedEntry(LedgerEntry):
    """An entry with the number that it has in the ledger."""

    id: int


def user_account(user: UserId) -> str:
    """The account of what we owe a user (credit) or the user owes us (debit)."""
    return f"user:{user}"


ENERGY_BOUGHT = "aggregator:energy-bought"
"""What the aggregator paid users for discharged energy."""
ENERGY_SOLD = "aggregator:energy-sold"
"""What users paid the aggregator for charging."""
CHARGING_STOPPED = "aggregator:charging-stopped"
"""What the aggregator paid users for charging that was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A user's sums over a period. ``amount_minor`` = earned + rewarded - spent."""

    user: UserId
    vehicle: VehicleId | None = None
    start: datetime | None
    end: datetime | None
    currency: str
    sold_wh: int = 0
    earned_minor: int = 0
    bought_wh: int = 0
    spent_minor: int = 0
    rewarded_wh: int = 0
    rewarded_minor: int = 0

    @property
    def amount_minor(self) -> int:
        return self.earned_minor + self.rewarded_minor - self.spent_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledUntil:
    """How far everything is settled. ``due``: starts of earlier market intervals that are to be settled again.
    ``reading_id``: the newest stored meter value that is counted in."""

    until: datetime
    due: frozenset[datetime] = frozenset()
    reading_id: int = 0
