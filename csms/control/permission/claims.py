"""Who says that a plug-in is theirs, and whether that may be: a link is opened by anybody who has seen it once. P1, S1,
S2; P4: nobody is a resource on a guess."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from csms.control.state.live import EvseLive, Live
from csms.control.state.records import Answer
from csms.domain.errors import Conflict
from csms.domain.ids import EvseRef, PlugInId, UserId
from csms.domain.permission import CLAIM_HOLDS, Evidence, KnownBy

PLUGS_IN_WITHIN = timedelta(minutes=2)
"""Who opens the link at the EVSE plugs in within a minute (P1), and twice that is granted. Of a cable that comes later
it is a guess whose it is: its user is asked, and no time slot answers (S2)."""

LINK_COUNTS_WITHIN = timedelta(minutes=5)
"""How long after the cable a link alone counts where energy flows already: who has just plugged in may be looking for
the link. Whoever has the vehicle can always plug it in again."""

SHOWN_WITHIN = timedelta(minutes=2)
"""How long after a claim that needs a card the card may be shown: the way to the reader. No longer, for the driver who
comes back to leave shows it too. Once per person and plug-in, however often the link is opened: else who polls it is
taken for the driver in the end."""

TRY_THE_CARD = 2
"""How many people may be told to show the card of one plug-in: its holder, and one who tried before. More would be one
stranger of many names; whoever comes later unplugs and plugs in again, which nobody does from afar."""


class Refusal(StrEnum):
    """Why a link is not enough. The page has its own sentences by these words."""

    CARD = "card"
    TAKEN = "taken"
    PLUGGED_LONG = "plugged_long"


_REPLUG = "unplug the car, open this link and plug it in again"
SENTENCES: Mapping[Refusal, str] = {
    Refusal.CARD: "this car charges on a card: show that card at the charging point within two minutes, or " + _REPLUG,
    Refusal.TAKEN: "the driver of this car is known already; if it is yours, " + _REPLUG,
    Refusal.PLUGGED_LONG: "this car has been charging for some minutes; if it is yours, " + _REPLUG,
}


def refusal(evse: EvseLive, answer: Answer, user: UserId, card_holder: UserId | None, now: datetime) -> Refusal | None:
    """Why a plug-in does not become this user's by a link alone; None = it does. ``card_holder``: whose the card is by
    now on which it charges."""
    evidence, plugged = answer.evidence, evse.cable.plugged
    if evidence.session_card is not None:
        is_proven = evidence.known_by is KnownBy.CARD and answer.user is not None
        return None if card_holder == user else Refusal.TAKEN if is_proven else Refusal.CARD
    if answer.user is not None and not answer.is_assumed:
        return Refusal.TAKEN
    has_charged = evse.run.authorized or evse.run.over_at is not None
    is_late = plugged is None or now - plugged.plugged_at > LINK_COUNTS_WITHIN
    return Refusal.PLUGGED_LONG if has_charged and is_late else None


def refused(why: Refusal) -> Conflict:
    """The error that says what to do."""
    return Conflict(SENTENCES[why], field="link", reason=why)


@dataclass(frozen=True, slots=True)
class Expected:
    """Who is taken to have plugged in, what that rests on, and who waited there besides."""

    user: UserId
    evidence: Evidence
    others: tuple[UserId, ...]


class Waiting(NamedTuple):
    """Somebody opened the link of a free EVSE: first, and last."""

    since: datetime
    at: datetime


@dataclass(slots=True)
class Claims:
    """Who waits at an EVSE for a cable or for their card, and from whom a plug-in was taken over. In memory only: after
    a restart the link is opened again."""

    _waiting: dict[EvseRef, dict[UserId, Waiting]] = field(default_factory=dict)
    _unproven: dict[EvseRef, dict[UserId, datetime]] = field(default_factory=dict)
    _taken: dict[UserId, PlugInId] = field(default_factory=dict)

    def wait(self, ref: EvseRef, user: UserId, now: datetime) -> None:
        """The next cable here may be theirs."""
        others = {one: it for one, it in self._waiting.get(ref, {}).items() if now - it.at < CLAIM_HOLDS}
        mine = others.pop(user, None)
        self._waiting[ref] = {**others, user: Waiting(mine.since if mine else now, now)}

    def expected(self, ref: EvseRef, may_use: frozenset[UserId], now: datetime) -> Expected | None:
        """Who is asked of a cable that has gone in: the last who opened the link. It is a guess where others wait too,
        or where it was first opened long ago: who polls it is taken for no driver. A claim is for one cable."""
        waiting = self._waiting.pop(ref, {})
        claimed = {user: it for user, it in waiting.items() if now - it.at < CLAIM_HOLDS and user in may_use}
        if not claimed:
            return None
        *others, user = claimed
        is_sure = not others and now - claimed[user].since <= PLUGS_IN_WITHIN
        known_by = KnownBy.LINK if is_sure else KnownBy.WAITED
        return Expected(user, Evidence(known_by=known_by, claimed_at=claimed[user].at), tuple(others))

    def came(self, ref: EvseRef, user: UserId | None) -> None:
        """They are known by another thing than the link: no later cable is theirs by it."""
        if user is not None:
            self._waiting.get(ref, {}).pop(user, None)

    def waiting(self, ref: EvseRef) -> frozenset[UserId]:
        """Everybody who has opened the link of an EVSE since its last cable."""
        return frozenset(self._waiting.get(ref, {}))

    def needs_card(self, ref: EvseRef, user: UserId, now: datetime) -> bool:
        """They were told to show the card: whether it would still prove anything for them."""
        asked = self._unproven.setdefault(ref, {})
        if len(asked) < TRY_THE_CARD:
            asked.setdefault(user, now)
        return user in asked and now - asked[user] <= SHOWN_WITHIN

    def proven(self, ref: EvseRef, now: datetime) -> UserId | None:
        """Who has shown the card: the one who said so. Of two whose times overlap it proves nothing."""
        asked = self._unproven.get(ref, {})
        newest = max(asked, key=lambda user: asked[user], default=None)
        if newest is None or now - asked[newest] > SHOWN_WITHIN:
            return None
        is_alone = all(user == newest or asked[newest] - at > SHOWN_WITHIN for user, at in asked.items())
        return newest if is_alone else None

    def gone(self, ref: EvseRef) -> None:
        """The vehicle has left: no card is waited for."""
        self._unproven.pop(ref, None)

    def took_over(self, before: UserId, plug_in: PlugInId) -> None:
        """Somebody else is asked of it now."""
        self._taken[before] = plug_in

    def has(self, user: UserId) -> None:
        """The user has a plug-in again, or waits for one."""
        self._taken.pop(user, None)

    def taken_over(self, live: Live, user: UserId) -> EvseRef | None:
        """Where somebody else is asked of the plug-in that was, or was about to be, this user's."""
        plug_in = self._taken.get(user)
        evse = None if plug_in is None else live.of_plug_in(plug_in)
        if evse is None or evse.user == user:
            self._taken.pop(user, None)
            return None
        return evse.ref
