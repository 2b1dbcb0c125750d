"""Whose vehicle was plugged in: by the card that was shown, the link that was opened, the EVSE's owner. P1, P4, B7."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from csms.control.permission import patterns
from csms.control.permission.claims import Claims, Refusal, refusal, refused
from csms.control.permission.kept import Kept, Savings
from csms.control.state import changes, rights
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import EvseLive
from csms.control.state.records import Answer
from csms.domain.conditions import Pattern
from csms.domain.errors import NotFound
from csms.domain.facts import TokenType
from csms.domain.ids import EvseRef, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Evidence, KnownBy, PlugIn
from csms.settings import PermissionSettings
from csms.store import reads, writes
from policies.permission import on_plug_in

_NO_CARDS = frozenset({TokenType.NONE, TokenType.LOCAL})
"""Nobody holds these: the station lets everybody charge, or has a button."""


class Matching:
    """Links plug-ins to their users and vehicles, and asks.

    Who waits at an EVSE for a cable is in memory only: after a restart they open the EVSE's link again, or claim the
    plug-in once it is seen.
    """

    def __init__(
        self, ground: Ground, tokens: IdTokens, feed: Feed, rules: PermissionSettings, savings: Savings
    ) -> None:
        self._ground = ground
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self._tokens = tokens
        self._feed = feed
        self._rules = rules
        self._kept = Kept(ground, feed)
        self._savings = savings
        self._claims = Claims()

    def plugged_in(self, change: changes.PluggedIn) -> None:
        """A cable went in: ask whoever is known to stand there. With nobody known the question lapses all the same."""
        evse, plug_in = change.evse, change.evse.plug_in
        if plug_in is None:
            return  # it has left already, in the same burst
        unasked = on_plug_in(plug_in, None, self._clock.now(), self._rules.question_timeout_s)
        evse.answer = Answer(plug_in=plug_in.id, permission=unasked)
        self._ground.put(writes.save_plug_in, plug_in=replace(plug_in, permission=unasked))
        if change.by is not None:  # whoever's token it is comes with it; nobody who is expected there is meant (B1)
            self._claims.came(evse.ref, record.user if (record := self._tokens.find(change.by)) else None)
            return
        waiting = self._claims.waiting(evse.ref)
        may_use = frozenset(user for user in waiting if rights.may_use(self._live, evse, user))
        expected = self._claims.expected(evse.ref, may_use, self._clock.now())
        if expected is not None:
            self._seek(evse, expected.user, None, expected.evidence)
            for other in expected.others:
                self._claims.took_over(other, plug_in.id)
                self._feed.changed(other)
        elif (owner := rights.owner_of(self._live, evse)) is not None:
            self._seek(evse, owner, None, Evidence(known_by=KnownBy.OWNER))

    def token_shown(self, change: changes.TokenShown) -> None:
        """A card that belongs to a user says whose vehicle this is; a stranger's says nothing at a private EVSE."""
        record, answer, key = self._tokens.find(change.token), change.evse.answered, change.token.key
        begun = change.evse.run.authorized
        if begun:
            if answer is not None:  # what began here says more than where a card may have been shown
                is_nobodys = record is not None and record.user is None and record.type not in _NO_CARDS
                session_card = key if is_nobodys else answer.evidence.session_card
                self._kept.evidence(change.evse, replace(answer.evidence, card=None, session_card=session_card))
            self._was_elsewhere(change.evse, key)
        if record is None or record.user is None or answer is None or answer.user is not None:
            return
        is_others = answer.evidence.session_card not in {None, key}
        if not is_others and rights.may_use(self._live, change.evse, record.user):
            evidence = Evidence(known_by=KnownBy.CARD, card=None if begun else key)
            self._seek(change.evse, record.user, record.vehicle, evidence)

    def card_shown(self, change: changes.CardShown) -> None:
        """The card on which a vehicle charges is held by whoever said so a moment ago: it is theirs (S1)."""
        evse, answer = change.evse, change.evse.answered
        if answer is None or answer.evidence.session_card != change.token.key:
            return
        user = self._claims.proven(evse.ref, self._clock.now())
        if user is not None and user != answer.user and rights.may_use(self._live, evse, user):
            self._seek(evse, user, None, Evidence(known_by=KnownBy.CARD))

    def gone(self, change: changes.Unplugged) -> None:
        """Nobody's word about who stands there holds for the next vehicle."""
        self._claims.gone(change.evse.ref)

    def _was_elsewhere(self, begun: EvseLive, card: str) -> None:
        """A card that began a transaction here was not shown for the vehicle that waits at the next connector: its
        plug-in is nobody's again, unless its user has said yes or no of it (B7)."""
        station = self._live.stations[begun.ref.station]
        for evse in station.evses.values():
            answer, plug_in = evse.answered, evse.plug_in
            is_meant = answer is not None and plug_in is not None and answer.evidence.card == card
            if evse is begun or answer is None or plug_in is None or not is_meant or evse.run.authorized:
                continue
            if answer.permission.channel is Channel.PAGE or answer.lock.locked():
                continue
            before, nobodys = answer.user, replace(plug_in, user=None)
            self._live.give(evse, None)
            answer.vehicle = answer.start = None
            answer.evidence = replace(answer.evidence, known_by=None, card=None)
            unasked = on_plug_in(nobodys, None, self._clock.now(), self._rules.question_timeout_s)
            self._kept.decide(evse, answer, unasked)
            self._feed.changed(before)

    def _seek(self, evse: EvseLive, user: UserId, vehicle: VehicleId | None, evidence: Evidence) -> None:
        """Nothing flows while the user is looked up who is about to be asked (P4)."""
        if evse.answered is not None:
            evse.answered.matching = True
            self._ground.spawn(self._sought(evse, evse.answered, user, vehicle, evidence))

    async def _sought(
        self, evse: EvseLive, answer: Answer, user: UserId, vehicle: VehicleId | None, evidence: Evidence
    ) -> None:
        before = answer.user
        try:
            await self._match(evse, user, vehicle, evidence, lambda: answer.user == before)
        finally:
            answer.matching = False
            self._ground.emit(changes.Decided(evse))

    async def _match(
        self,
        evse: EvseLive,
        user: UserId,
        vehicle: VehicleId | None,
        evidence: Evidence,
        may: Callable[[], bool],
    ) -> None:
        """Link the plug-in to its user and vehicle, and ask, or answer from a permitted time slot (P9). ``may``:
        whether it still may become theirs, once they are looked up."""
        answer = evse.answered
        if answer is None or not await self._is_known(user):
            return
        async with self._savings.of(user):  # what is saved meanwhile binds this plug-in too
            chosen = await self._choose(user, vehicle)
            own = await self._store.read(partial(reads.patterns, user=user))
            if evse.answered is answer and not answer.lock.locked() and may():
                self._ask(evse, answer, user, chosen, patterns.used(own, chosen.id if chosen else None), evidence)

    def _ask(
        self,
        evse: EvseLive,
        answer: Answer,
        user: UserId,
        chosen: Vehicle | None,
        kept: Pattern | None,
        evidence: Evidence,
    ) -> None:
        waiting = evse.plug_in
        if waiting is None:
            return
        self._take_over(answer, user)
        self._live.give(evse, user)
        answer.vehicle = chosen
        answer.evidence = replace(
            answer.evidence, known_by=evidence.known_by, claimed_at=evidence.claimed_at, card=evidence.card
        )
        self._ground.emit(changes.Matched(waiting))
        conditions, name = (kept.conditions, kept.name) if kept else (None, None)
        now, timeout_s = self._clock.now(), self._rules.question_timeout_s
        asked = on_plug_in(
            replace(waiting, user=user), conditions, now, timeout_s, name, slots_answer=slots_answer(answer)
        )
        self._kept.decide(evse, answer, asked)
        self._feed.changed(waiting.user)

    def _take_over(self, answer: Answer, user: UserId) -> None:
        """Nothing that its user before said of it is the next one's."""
        self._claims.has(user)
        if answer.user is not None and answer.user != user:
            self._claims.took_over(answer.user, answer.plug_in)
            answer.stated_soc_percent = None
            answer.start = answer.start_failed = None

    async def _is_known(self, user: UserId) -> bool:
        """A station's host need not have a terminal here."""
        return await self._store.read(partial(reads.user, id=user)) is not None

    async def _choose(self, user: UserId, wanted: VehicleId | None) -> Vehicle | None:
        """The vehicle that is named, else the one of the user's last plug-in, else the last."""
        vehicles = {each.id: each for each in await self._store.read(partial(reads.vehicles, user=user))}
        if wanted not in vehicles:
            wanted = await self._store.read(partial(reads.last_vehicle, user=user))
        return vehicles.get(wanted) if wanted in vehicles else next(reversed(vehicles.values()), None)

    async def claim(self, user: UserId, ref: EvseRef) -> PlugIn | None:
        """A user stands at this EVSE. Returns the plug-in that is theirs there; without a cable the next is.

        A link alone is an assumption: the next who opens it takes over, as long as its user has not said yes or no. It
        takes nothing that charges on a card (S1, S2). Raises NotFound for no such EVSE, Forbidden for somebody else's
        private one, Conflict with a ``Refusal`` where more than the link is needed; that changes nothing.
        """
        evse = self._live.find(ref)
        if evse is None:
            raise NotFound(f"there is no EVSE {ref}")
        rights.check(self._live, evse, user)
        now, answer = self._clock.now(), evse.answered
        if answer is None:
            self._claims.wait(ref, user, now)
            self._claims.has(user)
            return None
        known_by = KnownBy.SESSION if evse.run.authorized else KnownBy.LINK
        if answer.user == user:
            if answer.evidence.known_by in {KnownBy.OWNER, KnownBy.WAITED}:
                self._kept.evidence(evse, replace(answer.evidence, known_by=KnownBy.LINK, claimed_at=now))
                if evse.plug_in is not None:
                    self._ground.emit(changes.Matched(evse.plug_in))  # what they did not pay as a guess is theirs now
            return evse.plug_in
        if (why := self._refusal(evse, answer, user)) is not None:
            helps = why is not Refusal.CARD or self._claims.needs_card(ref, user, now)
            raise refused(why if helps else Refusal.PLUGGED_LONG)
        evidence = Evidence(known_by=known_by, claimed_at=now)
        if answer.evidence.session_card is not None:
            evidence = Evidence(known_by=KnownBy.CARD)
        before = answer.user
        await self._match(
            evse,
            user,
            None,
            evidence,
            lambda: answer.user == before and self._refusal(evse, answer, user) is None,
        )
        return evse.plug_in if evse.user == user else None

    def _refusal(self, evse: EvseLive, answer: Answer, user: UserId) -> Refusal | None:
        card = answer.evidence.session_card
        record = self._tokens.records.get(card) if card is not None else None
        return refusal(evse, answer, user, record.user if record else None, self._clock.now())

    def taken_over(self, user: UserId) -> EvseRef | None:
        """Where somebody else is asked of the plug-in that was this user's; None = nowhere (S2)."""
        return self._claims.taken_over(self._live, user)


def slots_answer(answer: Answer) -> bool:
    """Not where it is a guess that its user has plugged in here (S2): a link of long ago, or the owner's EVSE and a
    card that is not known to be the owner's."""
    evidence = answer.evidence
    is_guess = evidence.known_by is KnownBy.OWNER and evidence.session_card is not None
    return evidence.known_by is not KnownBy.WAITED and not is_guess
