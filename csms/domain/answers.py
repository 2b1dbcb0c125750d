"""What a station is told in reply to a fact, before it is spelt in its OCPP version."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from csms.domain.station import BootState


class TokenStatus(StrEnum):
    """Whether an id token may charge. 1.6 knows no UNKNOWN: it is spelt Invalid there."""

    ACCEPTED = "Accepted"
    BLOCKED = "Blocked"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    UNKNOWN = "Unknown"
    CONCURRENT = "ConcurrentTx"
    NOT_NOW = "NotAtThisTime"
    NOT_HERE = "NotAtThisLocation"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """Verdict on an id token (Authorize; part of other answers). ``bidirectional`` = discharge is allowed (2.1)."""

    status: TokenStatus
    expires_at: datetime | None = None
    group: str | None = None
    bidirectional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BootAnswer:
    """Registration status, our time, the heartbeat interval (or, when not accepted, the wait before the next boot)."""

    state: BootState
    now: datetime
    interval_s: int


@dataclass(frozen=True, slots=True)
class TimeAnswer:
    """Heartbeat's reply."""

    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAnswer:
    """1.6 StartTransaction's reply: always an id > 0, even when the token is refused (field lesson 10)."""

    transaction: int
    token: TokenAnswer


@dataclass(frozen=True, slots=True)
class TransactionAnswer:
    """Reply to StopTransaction and TransactionEvent; ``token`` only when one was presented."""

    token: TokenAnswer | None = None


class NeedsStatus(StrEnum):
    """Reply to NotifyEVChargingNeeds (2.1 names; handlers spell them for 2.0.1)."""

    ACCEPTED = "Accepted"
    PROCESSING = "Processing"
    NO_PROFILE = "NoChargingProfile"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class NeedsAnswer:
    """Whether a profile follows now, later or not."""

    status: NeedsStatus


@dataclass(frozen=True, slots=True)
class DataAnswer:
    """DataTransfer's reply: Accepted, Rejected, UnknownMessageId or UnknownVendorId."""

    status: str
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A plain acknowledgement."""


Answer = (
    TokenAnswer | BootAnswer | TimeAnswer | StartAnswer | TransactionAnswer | NeedsAnswer | DataAnswer | Acknowledged
)
