"""What was confirmed and could not be understood or stored. V2G-39."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from csms.domain.ids import StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One message as it came. ``fields``: what could be read of it; ``why``: what was wrong."""

    id: int
    station: StationId
    message_id: str
    received_at: datetime | None
    action: str
    raw: str
    why: str
    evse: int | None
    fields: Mapping[str, Any]
