"""Readings as stored, and the energy that flowed in a window. Algorithm: reference v2g-over-ocpp §4."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from csms.domain.facts import Reading
from csms.domain.ids import EvseRef, TransactionId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReading:
    """A reading with its id in the store and the frame it came in.

    A negative id is a register that a transaction's start or stop told, not a sample: -2 n for the start and -2 n - 1
    for the stop of the transaction stored as n.
    """

    id: int
    reading: Reading
    received_at: datetime
    message_id: str
    transaction: TransactionId | None = None

    @property
    def is_of_transaction(self) -> bool:
        return self.id < 0


class Quality(StrEnum):
    """How well an energy is known: from readings at the edges, between them, guessed, or not at all."""

    MEASURED = "measured"
    INTERPOLATED = "interpolated"
    ESTIMATED = "estimated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnergy:
    """Energy through one EVSE's registers in [start, end), import and export apart, both >= 0."""

    evse: EvseRef
    start: datetime
    end: datetime
    import_wh: Decimal
    export_wh: Decimal
    quality: Quality
    readings: tuple[int, ...] = ()

    @property
    def net_wh(self) -> Decimal:
        return self.import_wh - self.export_wh
