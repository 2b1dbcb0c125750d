"""A plug-in and the user's answer for it. Requirements P2-P4, V2G-28."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from csms.domain.conditions import Conditions
from csms.domain.frequent import frequent
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


CLAIM_HOLDS = timedelta(minutes=15)
"""Who opened an EVSE's link is expected to plug in, and to begin to charge, within this time."""


class KnownBy(StrEnum):
    """What says whose plug-in it is. All but a card is an assumption until its user has said yes or no of it (S2)."""

    OWNER = "owner"
    """It is the host's private EVSE, and nobody else has said that they stand there."""
    WAITED = "waited"
    """They opened the link, and the cable came late after it, or others waited there too: no time slot answers."""
    LINK = "link"
    """They opened the link right before the cable, or while it is in."""
    SESSION = "session"
    """They opened the link right after the cable, where the vehicle charged already and no card had been needed."""
    CARD = "card"
    """A card of theirs, or the card on which the vehicle charges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How it is known whose plug-in it is. Tokens are given by their keys.

    ``claimed_at``: when its user opened the link. ``card``: the token by which alone the user was taken to be here; 1.6
    does not say where it was shown. ``session_card``: the one on which it charges, or has charged, and which is linked
    to nobody. ``start_tokens``: those made for its starts of which no transaction has come yet.
    """

    known_by: KnownBy | None = None
    claimed_at: datetime | None = None
    card: str | None = None
    session_card: str | None = None
    start_tokens: tuple[str, ...] = ()

    @property
    def flows_plainly(self) -> bool:
        """It charges on a card that is linked to nobody, or charged before anybody was asked, or it is a guess who is:
        the question pauses nothing (S1)."""
        return self.session_card is not None or self.known_by in {KnownBy.SESSION, KnownBy.WAITED}


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


@frequent
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
    evidence: Evidence = Evidence()

    @property
    def is_guess(self) -> bool:
        """Nothing but a link says whose it is, its user has not answered, and what flows is not known to be for them:
        they pay nothing of it (S1)."""
        is_by_link = self.evidence.known_by in {KnownBy.WAITED, KnownBy.LINK, KnownBy.SESSION}
        return is_by_link and self.permission.answered_at is None and self.evidence.flows_plainly
