"""Whose vehicle is it, and may it be used: the question at plug-in and its answer. P1-P4, P9, P10; V2G-28."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from csms.control.permission import patterns, rights
from csms.control.permission.answers import Said, after
from csms.control.state import changes
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import Answer, EvseLive
from csms.control.state.use import use_now
from csms.domain.conditions import Pattern
from csms.domain.errors import NotFound
from csms.domain.ids import EvseRef, PlugInId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.snapshot import Use
from csms.settings import PermissionSettings
from csms.store import reads, writes
from policies.permission import by_slot, lapsed, on_plug_in, revised

log = structlog.get_logger()

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
            self._ground.put(writes.save_plug_in, plug_in=replace(plug_in, permission=unasked))
        if change.by is not None:
            return  # whoever's token it is comes with it; nobody who may be expected there is meant (B1)
        claimed, owner = self._claimed(evse), rights.owner_of(self._live, evse)
        if evse.answer is not None and (user := claimed or owner) is not None:
            evse.answer.assumed = claimed is None
            self._seek(evse, user, None)

    def _claimed(self, evse: EvseLive) -> UserId | None:
        """Who waits for this cable, and may still use the EVSE."""
        claim = self._claims.pop(evse.ref, None)
        if claim is None or claim.until <= self._clock.now():
            return None
        return claim.user if rights.may_use(self._live, evse, claim.user) else None

    def token_shown(self, change: changes.TokenShown) -> None:
        """A card that belongs to a user says whose vehicle this is; a stranger's says nothing at a private EVSE."""
        record, answer = self._tokens.find(change.token), change.evse.answered
        if change.evse.run.authorized:
            if answer is not None:
                answer.card = None  # what began here says more than where a card may have been shown
            self._was_elsewhere(change.evse, change.token.key)
        if record is None or record.user is None or answer is None or answer.user is not None:
            return
        if rights.may_use(self._live, change.evse, record.user):
            answer.card = None if change.evse.run.authorized else change.token.key
            self._seek(change.evse, record.user, record.vehicle)

    def _was_elsewhere(self, begun: EvseLive, card: str) -> None:
        """A card that began a transaction here was not shown for the vehicle that waits at the next connector: its
        plug-in is nobody's again, unless its user has said yes or no of it (B7)."""
        station = self._live.stations[begun.ref.station]
        for evse in station.evses.values():
            answer, plug_in = evse.answered, evse.plug_in
            if evse is begun or answer is None or plug_in is None or answer.card != card or evse.run.authorized:
                continue
            if answer.permission.channel is Channel.PAGE or answer.lock.locked():
                continue
            before, nobodys = answer.user, replace(plug_in, user=None)
            answer.user = answer.vehicle = answer.card = answer.start = None
            unasked = on_plug_in(nobodys, None, self._clock.now(), self._rules.question_timeout_s)
            self._decide(evse, answer, unasked)
            self._feed.changed(before)

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
        answer, before = evse.answered, evse.user
        if answer is None or not await self._is_known(user):
            return
        chosen = await self._choose(user, vehicle)
        own = await self._store.read(partial(reads.patterns, user=user))
        waiting = evse.plug_in
        if evse.answered is not answer or answer.user != before or waiting is None or answer.lock.locked():
            return
        answer.user, answer.vehicle = user, chosen
        self._ground.emit(changes.Matched(waiting))
        kept = patterns.used(own, chosen.id if chosen else None)
        conditions, name = (kept.conditions, kept.name) if kept else (None, None)
        now, timeout_s = self._clock.now(), self._rules.question_timeout_s
        self._decide(evse, answer, on_plug_in(replace(waiting, user=user), conditions, now, timeout_s, name))
        self._feed.changed(before)

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
        """A user stands at this EVSE. Returns the plug-in that waits there; without one the next is theirs.

        Raises NotFound for no such EVSE, Forbidden for somebody else's private one.
        """
        evse = self._live.find(ref)
        if evse is None:
            raise NotFound(f"there is no EVSE {ref}")
        rights.check(self._live, evse, user)
        if evse.cable.plugged is None:
            self._claims[ref] = Claim(user, self._clock.now() + CLAIM_HOLDS)
            return None
        if evse.user is None or _is_only_assumed(evse.answered):
            await self.match(evse, user, None)
        if evse.answered is not None and evse.user == user:
            evse.answered.assumed = False
        return evse.plug_in if evse.user == user else None

    async def answer(self, id_: PlugInId, user: UserId, said: Said) -> PlugIn:
        """Take what the user says of a plug-in; all of it is durable, in one write, when it returns.

        NotFound: it is not the user's open plug-in, or there is no such vehicle or pattern of theirs.
        """
        own = await self._store.read(partial(reads.patterns, user=user))
        vehicles = await self._store.read(partial(reads.vehicles, user=user))
        _, answer = self._own(id_, user)
        async with answer.lock:
            evse, _ = self._own(id_, user)
            told, kept = after(self._plug_in(evse), said, own, vehicles, self._clock.now())
            await self._store.writer.run(partial(_write, told=[told], user=user, pattern=kept))
            has_moved = told.vehicle != (answer.vehicle.id if answer.vehicle else None)
            answer.vehicle = next((each for each in vehicles if each.id == told.vehicle), answer.vehicle)
            answer.stated_soc_percent, answer.permission = told.stated_soc_percent, told.permission
            answer.assumed = False
            if said.granted:
                answer.start = answer.start_failed = None  # a new yes is worth new tries
        if has_moved and evse.answered is answer:
            self._ground.emit(changes.Matched(told))
        self._tell(evse)
        log.info("permission.answered", plug_in=id_, state=told.permission.state, channel=said.channel)
        return told

    def _own(self, id_: PlugInId, user: UserId) -> tuple[EvseLive, Answer]:
        evse = self._live.of_plug_in(id_)
        if evse is None or evse.answered is None or evse.user != user:
            raise NotFound("this plug-in has ended or is not yours; reload the page")
        return evse, evse.answered

    def _plug_in(self, evse: EvseLive) -> PlugIn:
        if evse.plug_in is None:
            raise NotFound("this plug-in has ended; reload the page")
        return evse.plug_in

    async def keep(self, user: UserId, pattern: Pattern) -> None:
        """Store a user's named conditions. Where the running plug-in is under that name, or they are to be used from
        now on, they hold for it at once; one write for both (P5-P10)."""
        pattern = patterns.checked(pattern)
        bound = [answer for evse in self._of(user) if (answer := evse.answered) and _binds(pattern, answer)]
        async with AsyncExitStack() as stack:
            for answer in sorted(bound, key=lambda answer: answer.plug_in):
                await stack.enter_async_context(answer.lock)
            told = self._revised(bound, pattern)
            await self._store.writer.run(partial(_write, told=told, user=user, pattern=pattern))
            for answer, plug_in in zip(bound, told, strict=True):
                answer.permission = plug_in.permission
        for plug_in in told:
            if evse := self._live.of_plug_in(plug_in.id):
                self._tell(evse)
        self._feed.changed(user)

    def _of(self, user: UserId) -> list[EvseLive]:
        return [evse for _, evse in self._live.evses() if evse.user == user]

    def _revised(self, bound: list[Answer], pattern: Pattern) -> list[PlugIn]:
        """The plug-ins under other conditions; a slot that is open then answers an open question (P9)."""
        now, told = self._clock.now(), []
        for answer in tuple(bound):
            evse = self._live.of_plug_in(answer.plug_in)
            if evse is None or evse.plug_in is None:
                bound.remove(answer)  # it has ended while another answer was being stored
                continue
            before = evse.plug_in
            new = revised(before.permission, pattern.conditions, pattern.name, before.plugged_at, now)
            told.append(replace(before, permission=by_slot(new, before.plugged_at, now)))
        return told

    async def choose(self, user: UserId, name: str, vehicle: VehicleId | None) -> Pattern:
        """Use a pattern, own or prepared, from now on; "mine" is not touched by it. NotFound: there is none."""
        own = await self._store.read(partial(reads.patterns, user=user))
        chosen = replace(patterns.named(own, name, vehicle), vehicle=vehicle, chosen=True)
        await self.keep(user, chosen)
        return chosen

    async def forget(self, user: UserId, name: str, vehicle: VehicleId | None) -> None:
        """Delete a user's pattern; the running plug-in keeps its conditions. NotFound: there is none."""
        work = partial(writes.delete_pattern, user=user, name=name, vehicle=vehicle)
        if not await self._store.writer.run(work):
            raise NotFound(f"there is no pattern {name} of yours", field="name")
        self._feed.changed(user)

    async def state_soc(self, id_: PlugInId, user: UserId, percent: float) -> PlugIn:
        """The state of charge at plug-in, as its user says it; durable when it returns. NotFound as in ``answer``."""
        _, answer = self._own(id_, user)
        async with answer.lock:
            evse, _ = self._own(id_, user)
            told = replace(self._plug_in(evse), stated_soc_percent=percent)
            await self._store.writer.run(partial(_write, told=[told], user=user, pattern=None))
            answer.stated_soc_percent = percent
        self._tell(evse)
        return told

    def renewed(self, vehicle: Vehicle) -> None:
        """Other particulars of a vehicle hold for its running plug-in too."""
        for _, evse in self._live.evses():
            if evse.vehicle is not None and evse.vehicle.id == vehicle.id and evse.answered is not None:
                evse.answered.vehicle = vehicle
                self._tell(evse)

    def sweep(self, evse: EvseLive, now: datetime) -> None:
        """What follows from time alone: a permitted slot that opens answers the open question (P9), an unanswered one
        lapses, also one that could be put to nobody."""
        answer, plugged = evse.answered, evse.cable.plugged
        if answer is None or plugged is None or answer.lock.locked():
            return
        permission = by_slot(_lapsed(answer.permission, now), plugged.plugged_at, now)
        if permission is not answer.permission:
            self._decide(evse, answer, permission)
        self._note_participation(evse, answer, now)

    def _note_participation(self, evse: EvseLive, answer: Answer, now: datetime) -> None:
        """Tell the user when the vehicle really begins to take part, and when it no longer does (P3)."""
        takes_part = evse.run.authorized and use_now(evse, self._rules, now) is Use.RESOURCE
        if takes_part == (answer.participating_since is not None):
            return
        answer.participating_since = now if takes_part else None
        self._save_answer(evse)
        self._feed.changed(answer.user)

    def noted(self, change: changes.SocKnown | changes.NeedsKnown) -> None:
        """Something was learnt of the plug-in that must survive a restart."""
        self._note(change.evse)

    def began(self, change: changes.TransactionBegan) -> None:
        """A transaction runs: no start is needed any more, and a permitted vehicle takes part from now on."""
        evse, answer = change.evse, change.evse.answered
        self._note(evse)
        if answer is not None and evse.run.authorized:
            answer.start = answer.start_failed = answer.cycled_at = None
            answer.start_tokens -= evse.run.tokens
            if not answer.lock.locked():
                self._note_participation(evse, answer, self._clock.now())

    def transaction_over(self, change: changes.TransactionOver) -> None:
        """A start that is under way is for the transaction that has ended."""
        answer = change.evse.answered
        if answer is not None:
            answer.start = None
            if not answer.lock.locked():
                self._note_participation(change.evse, answer, self._clock.now())
        self._note(change.evse)

    def ended(self, change: changes.Unplugged) -> None:
        """The cable is out: keep the plug-in as it ended, and forget whose it was. An answer that is being stored now
        stays with it."""
        answer = change.evse.answer
        if answer is not None and answer.plug_in == change.plug_in.id:
            change.evse.answer = None
        self._ground.put(writes.note_plug_in, plug_in=change.plug_in)
        self._feed.changed(change.plug_in.user)

    def _decide(self, evse: EvseLive, answer: Answer, permission: Permission) -> None:
        answer.permission = permission
        self._save_answer(evse)
        self._tell(evse)

    def _tell(self, evse: EvseLive) -> None:
        self._feed.changed(evse.user)
        self._ground.emit(changes.Decided(evse))

    def _note(self, evse: EvseLive) -> None:
        if evse.plug_in is not None:
            self._ground.put(writes.note_plug_in, plug_in=evse.plug_in)

    def _save_answer(self, evse: EvseLive) -> None:
        if evse.plug_in is not None:
            self._ground.put(writes.save_answer, plug_in=evse.plug_in)


def _write(conn: Any, told: list[PlugIn], user: UserId, pattern: Pattern | None) -> None:
    """What a user said, whole: of the plug-ins and of the pattern."""
    for plug_in in told:
        writes.save_answer(conn, plug_in=plug_in)
    if pattern is not None:
        writes.save_pattern(conn, user=user, pattern=pattern)


def _binds(pattern: Pattern, answer: Answer) -> bool:
    """Whether a pattern that is saved holds for a running plug-in."""
    is_of_vehicle = pattern.vehicle is None or (answer.vehicle is not None and answer.vehicle.id == pattern.vehicle)
    return is_of_vehicle and (pattern.chosen or pattern.name == answer.permission.pattern)


def _is_only_assumed(answer: Answer | None) -> bool:
    """The host of a private EVSE was asked as nobody had said that they stand there, and has not answered."""
    return answer is not None and answer.assumed and answer.permission.answered_at is None


def _lapsed(permission: Permission, now: datetime) -> Permission:
    if permission.state is not PermissionState.UNASKED:
        return lapsed(permission, now)
    over = permission.expires_at is None or permission.expires_at <= now
    return replace(permission, state=PermissionState.EXPIRED, channel=Channel.TIMEOUT) if over else permission
