"""Whose vehicle is it, and may it be used: the question at plug-in and its answer. P1-P4, P9, P10; V2G-28."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from csms.control.state import changes
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import Answer, EvseLive
from csms.domain.conditions import Conditions, Pattern
from csms.domain.errors import NotFound
from csms.domain.ids import EvseRef, PlugInId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.settings import PermissionSettings
from csms.store import reads, writes
from policies.permission import answered, lapsed, on_plug_in

log = structlog.get_logger()

OWN_CONDITIONS = "mine"
"""Name of the pattern that a user's last answer is kept under and re-used from (P10)."""

CLAIM_HOLDS = timedelta(minutes=15)
"""A user who opened an EVSE's link is expected to plug in there within this time."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A user waits at an EVSE for their plug-in to be seen."""

    user: UserId
    until: datetime


class Permissions:
    """Matches plug-ins to users, asks, keeps the answers.

    Who waits at an EVSE for a cable is in memory only: after a restart they open the EVSE's link again, or claim the
    plug-in once it is seen.
    """

    def __init__(self, ground: Ground, tokens: IdTokens, feed: Feed, rules: PermissionSettings) -> None:
        self._ground = ground
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self._tokens = tokens
        self._feed = feed
        self._rules = rules
        self._claims: dict[EvseRef, Claim] = {}

    def plugged_in(self, change: changes.PluggedIn) -> None:
        """A cable went in: ask whoever is known to stand there. With nobody known the question lapses all the same."""
        evse, plug_in = change.evse, change.evse.plug_in
        if plug_in is not None:
            unasked = on_plug_in(plug_in, None, self._clock.now(), self._rules.question_timeout_s)
            evse.answer = Answer(plug_in=plug_in.id, permission=unasked)
        self._save(evse)
        if change.by is not None:
            return  # whoever's token it is comes with it; nobody who may be expected there is meant (B1)
        user = self._expected_at(evse)
        if user is not None:
            self._seek(evse, user, None)

    def _expected_at(self, evse: EvseLive) -> UserId | None:
        claim = self._claims.pop(evse.ref, None)
        if claim is not None and claim.until > self._clock.now():
            return claim.user
        station = self._live.station(evse.ref.station)
        owned = station is not None and station.station.host is not None and not evse.evse.public
        return UserId(station.station.host) if owned and station and station.station.host else None

    def token_shown(self, change: changes.TokenShown) -> None:
        """A card that belongs to a user says whose vehicle this is."""
        record, answer = self._tokens.find(change.token), change.evse.answered
        if record is None or record.user is None or answer is None or answer.user is not None:
            return
        self._seek(change.evse, record.user, record.vehicle)

    def _seek(self, evse: EvseLive, user: UserId, vehicle: VehicleId | None) -> None:
        """Nothing flows while the user is looked up who is about to be asked (P4)."""
        if evse.answered is not None:
            evse.answered.matching = True
            self._ground.spawn(self._sought(evse, evse.answered, user, vehicle))

    async def _sought(self, evse: EvseLive, answer: Answer, user: UserId, vehicle: VehicleId | None) -> None:
        try:
            await self.match(evse, user, vehicle)
        finally:
            answer.matching = False
            self._ground.emit(changes.Decided(evse))

    async def match(self, evse: EvseLive, user: UserId, vehicle: VehicleId | None) -> None:
        """Link the plug-in to its user and vehicle, and ask, or answer from a permitted time slot (P9)."""
        answer, waiting = evse.answered, evse.plug_in
        if answer is None or waiting is None or answer.user is not None or not await self._is_known(user):
            return
        vehicles = await self._store.read(partial(reads.vehicles, user=user))
        conditions = await self.conditions_of(user)
        if evse.answered is not answer or answer.user is not None:
            return
        answer.user, answer.vehicle = user, _choose(vehicles, vehicle)
        self._ground.emit(changes.Matched(waiting))
        linked = replace(waiting, user=user)
        self._decide(evse, on_plug_in(linked, conditions, self._clock.now(), self._rules.question_timeout_s))

    async def _is_known(self, user: UserId) -> bool:
        """A station's host need not have a terminal here."""
        return await self._store.read(partial(reads.user, id=user)) is not None

    async def claim(self, user: UserId, ref: EvseRef) -> PlugIn | None:
        """A user stands at this EVSE. Returns the plug-in that waits there; without one the next is theirs."""
        evse = self._live.find(ref)
        if evse is None:
            raise NotFound(f"there is no EVSE {ref}")
        if evse.cable.plugged is None:
            self._claims[ref] = Claim(user, self._clock.now() + CLAIM_HOLDS)
            return None
        if evse.user is None:
            await self.match(evse, user, None)
        return evse.plug_in if evse.user == user else None

    async def answer(
        self, id_: PlugInId, user: UserId, conditions: Conditions | None, channel: Channel, *, granted: bool
    ) -> PlugIn:
        """Take the user's yes or no; durable when it returns. NotFound: it is not the user's open plug-in."""
        stated = conditions or await self.conditions_of(user) or Conditions()
        evse = self._live.of_plug_in(id_)
        plug_in = evse.plug_in if evse else None
        if evse is None or plug_in is None or plug_in.user != user:
            raise NotFound("this plug-in has ended or is not yours; reload the page")
        permission = answered(plug_in.permission, granted, stated, plug_in.plugged_at, self._clock.now(), channel)
        await self._store.writer.run(partial(writes.save_plug_in, plug_in=replace(plug_in, permission=permission)))
        if granted and conditions is not None:
            await self.keep(user, Pattern(name=OWN_CONDITIONS, conditions=conditions))
        if evse.answered is not None and evse.answered.plug_in == id_:
            if granted and evse.answered.start is not None:
                evse.answered.start.tries = 0  # a new answer is worth new tries
            self._decide(evse, permission)
        else:
            await self._keep_after_end(id_, permission)
        log.info("permission.answered", plug_in=id_, state=permission.state, channel=channel)
        return replace(plug_in, permission=permission)

    async def _keep_after_end(self, id_: PlugInId, permission: Permission) -> None:
        """The cable went out while the answer was being stored: the plug-in that ended keeps the answer."""
        ended = await self._store.read(partial(reads.plug_in, id=id_))
        if ended is not None:
            work = partial(writes.save_plug_in, plug_in=replace(ended, permission=permission))
            await self._store.writer.run(work)

    async def keep(self, user: UserId, pattern: Pattern) -> None:
        """Store a user's pattern of conditions under its name."""
        await self._store.writer.run(partial(writes.save_pattern, user=user, pattern=pattern))

    async def conditions_of(self, user: UserId) -> Conditions | None:
        """The user's own stored conditions."""
        patterns = await self._store.read(partial(reads.patterns, user=user))
        return next((pattern.conditions for pattern in patterns if pattern.name == OWN_CONDITIONS), None)

    def sweep(self, evse: EvseLive, now: datetime) -> None:
        """Let an unanswered question lapse; one that could be put to nobody lapses in the same time."""
        if evse.answered is None:
            return
        permission = _lapsed(evse.answered.permission, now)
        if permission is not evse.answered.permission:
            self._decide(evse, permission)

    def noted(self, change: changes.SocKnown | changes.TransactionBegan | changes.NeedsKnown) -> None:
        """Something was learnt of the plug-in that must survive a restart, as which transaction runs in it."""
        self._save(change.evse)

    def transaction_over(self, change: changes.TransactionOver) -> None:
        """A start that is under way is for the transaction that has ended."""
        if change.evse.answered is not None:
            change.evse.answered.start = None
        self._save(change.evse)

    def ended(self, change: changes.Unplugged) -> None:
        """The cable is out: keep the plug-in as it ended, and forget whose it was."""
        answer = change.evse.answer
        if answer is not None and answer.plug_in == change.plug_in.id:
            change.evse.answer = None
        self._ground.put(writes.save_plug_in, plug_in=change.plug_in)
        self._feed.changed(change.plug_in.user)

    def _decide(self, evse: EvseLive, permission: Permission) -> None:
        if evse.answered is not None:
            evse.answered.permission = permission
        self._save(evse)
        self._feed.changed(evse.user)
        self._ground.emit(changes.Decided(evse))

    def _save(self, evse: EvseLive) -> None:
        if evse.plug_in is not None:
            self._ground.put(writes.save_plug_in, plug_in=evse.plug_in)


def _lapsed(permission: Permission, now: datetime) -> Permission:
    if permission.state is not PermissionState.UNASKED:
        return lapsed(permission, now)
    over = permission.expires_at is None or permission.expires_at <= now
    return replace(permission, state=PermissionState.EXPIRED, channel=Channel.TIMEOUT) if over else permission


def _choose(vehicles: list[Vehicle] | tuple[Vehicle, ...], wanted: VehicleId | None) -> Vehicle | None:
    """The vehicle that the token names, else the user's last."""
    named = next((vehicle for vehicle in vehicles if vehicle.id == wanted), None)
    return named or (vehicles[-1] if vehicles else None)
