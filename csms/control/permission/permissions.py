"""Whose vehicle is it, and may it be used: the question at plug-in and its answer. P1-P4, P9, P10; V2G-28."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from csms.control.state.feed import Feed
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import EvseLive, Live
from csms.control.state.tasks import Spawn, nothing
from csms.domain.conditions import Conditions, Pattern
from csms.domain.errors import NotFound
from csms.domain.facts import IdToken
from csms.domain.ids import EvseRef, PlugInId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.ports import Clock
from csms.settings import PermissionSettings
from csms.store import Store, Write, reads, writes
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
    """Matches plug-ins to users, asks, keeps the answers. ``on_decided`` hears of every EVSE whose answer changed,
    ``on_matched`` of every plug-in that found its user.

    Who waits at an EVSE for a cable is in memory only: after a restart they open the EVSE's link again, or claim the
    plug-in once it is seen.
    """

    def __init__(self, store: Store, live: Live, tokens: IdTokens, feed: Feed, clock: Clock) -> None:
        self._store = store
        self._live = live
        self._tokens = tokens
        self._feed = feed
        self._clock = clock
        self._claims: dict[EvseRef, Claim] = {}
        self.rules = PermissionSettings()
        self.spawn: Spawn = lambda coroutine: coroutine.close()
        self.on_decided: Callable[[EvseLive], None] = lambda evse: None
        self.on_matched: Callable[[PlugIn], None] = lambda plug_in: None

    def plugged_in(self, evse: EvseLive) -> None:
        """A cable went in: ask whoever is known to stand there. With nobody known the question lapses all the same."""
        if evse.plug_in is not None:
            unasked = on_plug_in(evse.plug_in, None, self._clock.now(), self.rules.question_timeout_s)
            evse.plug_in = replace(evse.plug_in, permission=unasked)
        self._save(evse)
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

    def token_shown(self, evse: EvseLive, token: IdToken) -> None:
        """A card that belongs to a user says whose vehicle this is."""
        record = self._tokens.find(token)
        if record is None or record.user is None or evse.plug_in is None or evse.plug_in.user is not None:
            return
        self._seek(evse, record.user, record.vehicle)

    def _seek(self, evse: EvseLive, user: UserId, vehicle: VehicleId | None) -> None:
        """Nothing flows while the user is looked up who is about to be asked (P4)."""
        evse.matching = evse.plug_in.id if evse.plug_in else None
        self.spawn(self._sought(evse, user, vehicle))

    async def _sought(self, evse: EvseLive, user: UserId, vehicle: VehicleId | None) -> None:
        sought = evse.matching
        try:
            await self.match(evse, user, vehicle)
        finally:
            if evse.matching == sought:
                evse.matching = None
                self.on_decided(evse)

    async def match(self, evse: EvseLive, user: UserId, vehicle: VehicleId | None) -> None:
        """Link the plug-in to its user and vehicle, and ask, or answer from a permitted time slot (P9)."""
        waiting = evse.plug_in
        if waiting is None or waiting.user is not None or not await self._is_known(user):
            return
        vehicles = await self._store.read(partial(reads.vehicles, user=user))
        conditions = await self.conditions_of(user)
        if evse.plug_in is None or evse.plug_in.id != waiting.id or evse.plug_in.user is not None:
            return
        evse.vehicle = _choose(vehicles, vehicle)
        self.on_matched(waiting)
        linked = replace(evse.plug_in, user=user, vehicle=evse.vehicle.id if evse.vehicle else None)
        permission = on_plug_in(linked, conditions, self._clock.now(), self.rules.question_timeout_s)
        self._decide(evse, replace(linked, permission=permission))

    async def _is_known(self, user: UserId) -> bool:
        """A station's host need not have a terminal here."""
        return await self._store.read(partial(reads.user, id=user)) is not None

    async def claim(self, user: UserId, ref: EvseRef) -> PlugIn | None:
        """A user stands at this EVSE. Returns the plug-in that waits there; without one the next is theirs."""
        evse = self._live.find(ref)
        if evse is None:
            raise NotFound(f"there is no EVSE {ref}")
        if evse.plug_in is None:
            self._claims[ref] = Claim(user, self._clock.now() + CLAIM_HOLDS)
            return None
        if evse.plug_in.user is None:
            await self.match(evse, user, None)
        return evse.plug_in if evse.plug_in and evse.plug_in.user == user else None

    async def answer(
        self, id_: PlugInId, user: UserId, conditions: Conditions | None, channel: Channel, *, granted: bool
    ) -> PlugIn:
        """Take the user's yes or no; durable when it returns. NotFound: it is not the user's open plug-in."""
        stated = conditions or await self.conditions_of(user) or Conditions()
        evse = self._live.of_plug_in(id_)
        if evse is None or evse.plug_in is None or evse.plug_in.user != user:
            raise NotFound("this plug-in has ended or is not yours; reload the page")
        now = self._clock.now()
        permission = answered(evse.plug_in.permission, granted, stated, evse.plug_in.plugged_at, now, channel)
        plug_in = replace(evse.plug_in, permission=permission)
        await self._store.writer.run(partial(writes.save_plug_in, plug_in=plug_in))
        if granted and conditions is not None:
            await self.keep(user, Pattern(name=OWN_CONDITIONS, conditions=conditions))
        if evse.plug_in is not None and evse.plug_in.id == id_:
            if granted:
                evse.want_start()
            self._decide(evse, replace(evse.plug_in, permission=permission))
        else:
            await self._keep_after_end(id_, permission)
        log.info("permission.answered", plug_in=id_, state=permission.state, channel=channel)
        return plug_in

    async def _keep_after_end(self, id_: PlugInId, permission: Permission) -> None:
        """The cable went out while the answer was being stored: the plug-in that ended keeps the answer."""
        ended = await self._store.read(partial(reads.plug_in, id=id_))
        if ended is not None:
            work = partial(writes.save_plug_in, plug_in=replace(ended, permission=permission))
            await self._store.writer.run(work)

    async def keep(self, user: UserId, pattern: Pattern) -> None:
        """Store a user's pattern of conditions under its name; the user's terminals show it from now on."""
        await self._store.writer.run(partial(writes.save_pattern, user=user, pattern=pattern))
        self._feed.changed(user)

    async def conditions_of(self, user: UserId) -> Conditions | None:
        """The user's own stored conditions."""
        patterns = await self._store.read(partial(reads.patterns, user=user))
        return next((pattern.conditions for pattern in patterns if pattern.name == OWN_CONDITIONS), None)

    def sweep(self, evse: EvseLive, now: datetime) -> None:
        """Let an unanswered question lapse; one that could be put to nobody lapses in the same time."""
        plug_in = evse.plug_in
        if plug_in is None:
            return
        permission = _lapsed(plug_in.permission, now)
        if permission is not plug_in.permission:
            self._decide(evse, replace(plug_in, permission=permission))

    def noted(self, evse: EvseLive) -> None:
        """Something was learnt of the plug-in that must survive a restart, as which transaction runs in it."""
        self._save(evse)

    def ended(self, plug_in: PlugIn) -> None:
        """The cable is out: keep the plug-in as it ended."""
        self._store.writer.put(Write((), partial(writes.save_plug_in, plug_in=plug_in), nothing))
        self._feed.changed(plug_in.user)

    def _decide(self, evse: EvseLive, plug_in: PlugIn) -> None:
        evse.plug_in = plug_in
        self._save(evse)
        self._feed.changed(plug_in.user)
        self.on_decided(evse)

    def _save(self, evse: EvseLive) -> None:
        if evse.plug_in is not None:
            self._store.writer.put(Write((), partial(writes.save_plug_in, plug_in=evse.plug_in), nothing))


def _lapsed(permission: Permission, now: datetime) -> Permission:
    if permission.state is not PermissionState.UNASKED:
        return lapsed(permission, now)
    over = permission.expires_at is None or permission.expires_at <= now
    return replace(permission, state=PermissionState.EXPIRED, channel=Channel.TIMEOUT) if over else permission


def _choose(vehicles: list[Vehicle] | tuple[Vehicle, ...], wanted: VehicleId | None) -> Vehicle | None:
    """The vehicle that the token names, else the user's last."""
    named = next((vehicle for vehicle in vehicles if vehicle.id == wanted), None)
    return named or (vehicles[-1] if vehicles else None)
