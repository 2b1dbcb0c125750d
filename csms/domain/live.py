"""What the store knows of the present; live state is rebuilt from it at the start (design §3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from csms.domain.dispatch import SetpointRecord, TransactionRecord
from csms.domain.dr import DrEvent
from csms.domain.facts import NeedsReported, Reading
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.permission import PlugIn
from csms.domain.station import ConnectorStatus, ProbeState, Station

LIVE_WITHIN = timedelta(seconds=5)
"""What comes this soon after it was said comes in its turn, whatever its stamp: clocks are set back (lesson 16)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStatus:
    """Newest status of one connector. ``received_at`` None = not known."""

    evse: EvseRef
    connector: int
    status: ConnectorStatus
    at: datetime
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProbe:
    """Outcome of the newest discharge probe of one EVSE, for one firmware."""

    evse: EvseRef
    firmware: str
    state: ProbeState
    at: datetime


@dataclass(frozen=True, slots=True)
class StoredEnd:
    """A transaction that has ended. ``token``: key of the one it began with; ``presumed``: nobody told it."""

    transaction: TransactionId
    at: datetime
    token: str | None
    presumed: bool
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredWord:
    """What the events of a 2.x transaction told. ``tokens``: keys of all that were shown in it;
    ``charges_unasked``: energy flowed before any was."""

    tokens: frozenset[str] = frozenset()
    charges_unasked: bool = False


@dataclass(frozen=True, slots=True)
class StoredFree:
    """A plug-in whose connector is said to be free. ``said``: when it was said first, None = power has flowed since;
    ``flowed_at``: when power was metered last."""

    said: StoredStatus | None
    flowed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """Everything that is open now. ``ended``: the newest end of a transaction at each EVSE; ``setpoints``: the newest
    per EVSE; ``events``: those that have not ended. ``readings``: the newest few of each EVSE, by time. ``words``: of
    the transactions that are open, or over while their vehicle is there. ``freed``: plug-ins whose connector is free.
    ``needs``: what the vehicles that are there said last of theirs."""

    stations: tuple[Station, ...]
    statuses: tuple[StoredStatus, ...]
    plug_ins: tuple[PlugIn, ...]
    transactions: tuple[TransactionRecord, ...]
    ended: Mapping[EvseRef, StoredEnd]
    readings: Mapping[EvseRef, Sequence[Reading]]
    words: Mapping[tuple[StationId, TransactionId], StoredWord]
    freed: Mapping[EvseRef, StoredFree]
    needs: Mapping[EvseRef, NeedsReported]
    probes: tuple[StoredProbe, ...]
    events: tuple[DrEvent, ...]
    setpoints: tuple[SetpointRecord, ...]
