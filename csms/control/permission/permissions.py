"""May it be used: the answer to the question at plug-in, and the conditions under which it holds. P4, P9, P10."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from csms.control.permission import patterns
from csms.control.permission.answers import Said, after
from csms.control.permission.kept import Kept, Savings
from csms.control.permission.matching import slots_answer
from csms.control.state import changes
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive
from csms.control.state.records import Answer
from csms.control.state.use import use_now
from csms.domain.conditions import Pattern
from csms.domain.errors import NotFound
from csms.domain.ids import PlugInId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.snapshot import Use
from csms.settings import PermissionSettings
from csms.store import reads, writes
from policies.permission import by_slot, lapsed, revised

log = structlog.get_logger()


class Permissions:
    """Keeps the answers, and what follows from them and from time."""

    def __init__(self, ground: Ground, feed: Feed, rules: PermissionSettings, savings: Savings) -> None:
        self._ground = ground
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self._feed = feed
        self._rules = rules
        self._kept = Kept(ground, feed)
        self._savings = savings

    async def answer(self, id_: PlugInId, user: UserId, said: Said) -> PlugIn:
        """Take what the user says of a plug-in; all of it is durable, in one write, when it returns.

        NotFound: it is not the user's open plug-in, or there is no such vehicle or pattern of theirs.
        """
        _, answer = self._own(id_, user)
        async with self._savings.of(user), answer.lock:  # what another phone saves meanwhile waits, or is read here
            own = await self._store.read(partial(reads.patterns, user=user))
            vehicles = await self._store.read(partial(reads.vehicles, user=user))
            evse, _ = self._own(id_, user)
            before = self._plug_in(evse)
            told, kept = after(before, said, own, vehicles, self._clock.now())
            await self._store.writer.run(partial(_write, told=[told], user=user, pattern=kept))
            is_matched_anew = before.is_guess or told.vehicle != before.vehicle
            answer.vehicle = next((each for each in vehicles if each.id == told.vehicle), answer.vehicle)
            answer.stated_soc_percent, answer.permission = told.stated_soc_percent, told.permission
            if said.granted:
                answer.start = answer.start_failed = None  # a new yes is worth new tries
        if is_matched_anew and evse.answered is answer:
            self._ground.emit(changes.Matched(told))
        self._kept.tell(evse)
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
        await self._keep(user, lambda _own: pattern)

    async def _keep(self, user: UserId, found: Callable[[Sequence[Pattern]], Pattern]) -> Pattern:
        """``found``: the pattern, of what the user has when nobody else saves any more."""
        async with AsyncExitStack() as stack:
            held = await self.hold((user,), stack)
            own = await self._store.read(partial(reads.patterns, user=user))
            pattern = found(own)
            bound = [answer for answer in held if _binds(pattern, own, answer)]
            told = self._revised(bound, pattern)
            await self._store.writer.run(partial(_write, told=told, user=user, pattern=pattern))
            for answer, plug_in in zip(bound, told, strict=True):
                answer.permission = plug_in.permission
        for plug_in in told:
            if evse := self._live.of_plug_in(plug_in.id):
                self._kept.tell(evse)
        self._feed.changed(user)
        return pattern

    async def hold(self, users: Collection[UserId], stack: AsyncExitStack) -> list[Answer]:
        """These users' answers; nothing that is said of them meanwhile is taken, and no other plug-in becomes theirs,
        until ``stack`` is left."""
        users = set(users)
        for user in sorted(users):
            await stack.enter_async_context(self._savings.of(user))
        found = [answer for user in users for evse in self._live.all_of_user(user) if (answer := evse.answered)]
        for answer in sorted(found, key=lambda answer: answer.plug_in):
            await stack.enter_async_context(answer.lock)
        return [answer for answer in found if answer.user in users]

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
            if slots_answer(answer):
                new = by_slot(new, before.plugged_at, now)
            told.append(replace(before, permission=new))
        return told

    async def choose(self, user: UserId, name: str, vehicle: VehicleId | None) -> Pattern:
        """Use a pattern, own or prepared, from now on; "mine" is not touched by it. NotFound: there is none."""
        return await self._keep(
            user, lambda own: replace(patterns.named(own, name, vehicle), vehicle=vehicle, chosen=True)
        )

    async def forget(self, user: UserId, name: str, vehicle: VehicleId | None) -> None:
        """Delete a user's pattern; the running plug-in keeps its conditions. NotFound: there is none."""
        work = partial(writes.delete_pattern, user=user, name=name, vehicle=vehicle)
        async with self._savings.of(user):
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
        self._kept.tell(evse)
        return told

    def renewed(self, vehicle: Vehicle) -> None:
        """Other particulars of a vehicle hold for its running plug-in too."""
        for _, evse in self._live.evses():
            if evse.vehicle is not None and evse.vehicle.id == vehicle.id and evse.answered is not None:
                evse.answered.vehicle = vehicle
                self._kept.tell(evse)

    async def without(self, users: Collection[UserId], vehicle: VehicleId, stack: AsyncExitStack) -> list[PlugIn]:
        """These users' plug-ins with a vehicle, as they are without it; their answers wait until ``stack`` is left."""
        await self.hold(users, stack)
        here = [plug_in for user in users for evse in self._live.all_of_user(user) if (plug_in := evse.plug_in)]
        gone = [plug_in for plug_in in here if plug_in.vehicle == vehicle]
        return [replace(plug_in, vehicle=None, stated_soc_percent=None) for plug_in in gone]

    def dropped(self, told: list[PlugIn]) -> None:
        """These plug-ins are stored without their vehicle."""
        for plug_in in told:
            evse = self._live.of_plug_in(plug_in.id)
            if evse is not None and evse.answered is not None:
                evse.answered.vehicle = evse.answered.stated_soc_percent = None
                self._ground.emit(changes.Matched(plug_in))
                self._kept.tell(evse)

    def sweep(self, evse: EvseLive, now: datetime) -> None:
        """What follows from time alone: a permitted slot that opens answers the open question (P9), an unanswered one
        lapses, also one that could be put to nobody."""
        answer, plugged = evse.answered, evse.cable.plugged
        if answer is None or plugged is None or answer.lock.locked():
            return
        permission = _lapsed(answer.permission, now)
        if slots_answer(answer):
            permission = by_slot(permission, plugged.plugged_at, now)
        if permission is not answer.permission:
            self._kept.decide(evse, answer, permission)
        self._note_participation(evse, answer, now)

    def _note_participation(self, evse: EvseLive, answer: Answer, now: datetime) -> None:
        """Tell the user when the vehicle really begins to take part, and when it no longer does (P3)."""
        takes_part = evse.run.authorized and use_now(evse, self._rules, now) is Use.RESOURCE
        if takes_part == (answer.participating_since is not None):
            return
        answer.participating_since = now if takes_part else None
        self._kept.save(evse)
        self._feed.changed(answer.user)

    def noted(self, change: changes.SocKnown | changes.NeedsKnown) -> None:
        """Something was learnt of the plug-in that must survive a restart."""
        self._kept.note(change.evse)

    def began(self, change: changes.TransactionBegan) -> None:
        """A transaction runs: no start is needed any more, and a permitted vehicle takes part from now on."""
        evse, answer = change.evse, change.evse.answered
        self._kept.note(evse)
        if answer is not None and evse.run.authorized:
            answer.start = answer.start_failed = answer.cycled_at = None
            left = tuple(key for key in answer.evidence.start_tokens if key not in evse.run.tokens)
            self._kept.evidence(evse, replace(answer.evidence, start_tokens=left))
            if not answer.lock.locked():
                self._note_participation(evse, answer, self._clock.now())

    def transaction_over(self, change: changes.TransactionOver) -> None:
        """A start that is under way is for the transaction that has ended."""
        answer = change.evse.answered
        if answer is not None:
            answer.start = None
            if not answer.lock.locked():
                self._note_participation(change.evse, answer, self._clock.now())
        self._kept.note(change.evse)

    def ended(self, change: changes.Unplugged) -> None:
        """The cable is out: keep the plug-in as it ended, and forget whose it was. An answer that is being stored now
        stays with it."""
        answer = change.evse.answer
        if answer is not None and answer.plug_in == change.plug_in.id:
            change.evse.answer = None
        self._ground.put(writes.note_plug_in, plug_in=change.plug_in)
        self._feed.changed(change.plug_in.user)


def _write(conn: Any, told: list[PlugIn], user: UserId, pattern: Pattern | None) -> None:
    """What a user said, whole: of the plug-ins and of the pattern."""
    for plug_in in told:
        writes.save_answer(conn, plug_in=plug_in)
    if pattern is not None:
        writes.save_pattern(conn, user=user, pattern=pattern)


def _binds(pattern: Pattern, own: Sequence[Pattern], answer: Answer) -> bool:
    """Whether a pattern that is saved holds for a running plug-in."""
    return patterns.binds(pattern, own, answer.vehicle.id if answer.vehicle else None, answer.permission.pattern)


def _lapsed(permission: Permission, now: datetime) -> Permission:
    if permission.state is not PermissionState.UNASKED:
        return lapsed(permission, now)
    over = permission.expires_at is None or permission.expires_at <= now
    return replace(permission, state=PermissionState.EXPIRED, channel=Channel.TIMEOUT) if over else permission
