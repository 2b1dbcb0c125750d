"""What the store knows of the present; live state is rebuilt from it at the start (design §3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from csms.domain.dispatch import SetpointRecord, TransactionRecord
from csms.domain.dr import DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import EvseRef
from csms.domain.permission import PlugIn
from csms.domain.station import ConnectorStatus, ProbeState, Station


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """Everything that is open now. ``setpoints``: the newest per EVSE; ``events``: those that have not ended."""

    stations: tuple[Station, ...]
    statuses: tuple[StoredStatus, ...]
    plug_ins: tuple[PlugIn, ...]
    transactions: tuple[TransactionRecord, ...]
    readings: Mapping[EvseRef, Reading]
    probes: tuple[StoredProbe, ...]
    events: tuple[DrEvent, ...]
    setpoints: tuple[SetpointRecord, ...]
