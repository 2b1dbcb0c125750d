"""What stations told besides, as it is read by people. C6, C13."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from csms.domain.facts import NoticeKind
from csms.domain.ids import StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message. ``content``: as the station sent it, in the words of its OCPP version."""

    id: int
    station: StationId
    kind: NoticeKind
    received_at: datetime
    message_id: str
    content: Mapping[str, Any]
