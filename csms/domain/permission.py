"""A plug-in and the user's answer for it. Requirements P2-P4, V2G-28."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from csms.domain.conditions import Conditions
from csms.domain.ids import EvseRef, PlugInId, TransactionId, UserId, VehicleId


class PermissionState(StrEnum):
    """UNASKED = nobody to ask yet. Only GRANTED makes a vehicle a resource."""

    UNASKED = "unasked"
    ASKED = "asked"
    GRANTED = "granted"
    REFUSED = "refused"
    EXPIRED = "expired"


class Channel(StrEnum):
    """How an answer came."""

    PAGE = "page"
    SLOT = "slot"
    TIMEOUT = "timeout"
    API = "api"


class StartFailure(StrEnum):
    """Why nothing flows though the vehicle was started as often as it is tried (V2G-32)."""

    REJECTED = "rejected"
    """The station refused."""
    NO_ANSWER = "no_answer"
    """The station did not answer, or could not be reached."""
    NOT_STARTED = "not_started"
    """The station accepted, and no transaction came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Who allowed what, when and how, for one plug-in. ``expires_at``: the question lapses then.

    ``pattern``: name of the pattern that ``conditions`` came from. ``revised_at``: since when ``conditions`` hold,
    where the user changed them after the answer. An answer is not undone by that, and none is given.
    """

    state: PermissionState = PermissionState.UNASKED
    asked_at: datetime | None = None
    expires_at: datetime | None = None
    answered_at: datetime | None = None
    channel: Channel | None = None
    text_version: str = "1"
    conditions: Conditions | None = None
    departure_at: datetime | None = None
    pattern: str | None = None
    revised_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugIn:
    """From cable in to cable out, at one EVSE. ``transaction`` is the one that runs in it, when one does.

    ``stated_soc_percent``: the state of charge at the plug-in as the user said it, where the station tells none.
    ``participating_since``: when the vehicle really began to take part; None = it does not now (P3).
    """

    id: PlugInId
    evse: EvseRef
    connector: int = 1
    plugged_at: datetime
    unplugged_at: datetime | None = None
    user: UserId | None = None
    vehicle: VehicleId | None = None
    transaction: TransactionId | None = None
    permission: Permission = Permission()
    soc_at_start_percent: float | None = None
    soc_percent: float | None = None
    soc_at: datetime | None = None
    stated_soc_percent: float | None = None
    participating_since: datetime | None = None
