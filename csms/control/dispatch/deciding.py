"""Decides anew where something is another than before, beside the loop where that takes long. Design §4, §6; C9."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from csms.control.dispatch.parts import JOINT, PartId, Parts
from csms.control.dispatch.snapshots import Snapshots
from csms.control.dispatch.standing import Seen, Standing
from csms.domain.decision import Decision, Setpoint, Violation
from csms.domain.dr import DrEvent
from csms.domain.ids import SiteId
from csms.domain.snapshot import EvseState, Site, Snapshot
from policies import decide
from policies.constraints import safe_decision
from policies.plugs import Policies

INLINE_EVSES = 40
"""So many are decided at once on the loop: sooner than a thread would be told."""

BATCH_EVSES = 200
"""Small parts are decided together up to about so many EVSEs: what a decision costs besides its EVSEs is shared."""


@dataclass(slots=True)
class Decided:
    """The newest decision of one part. ``world``: how often the world around had changed by then. ``waits``: not all of
    it is told yet, or it was not answered."""

    states: tuple[EvseState, ...]
    setpoints: tuple[Setpoint, ...]
    at: datetime
    world: int
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Round:
    """What one tick found. ``parts``: those that may have something to tell. ``is_new``: the decision says something
    that the one before did not."""

    decision: Decision
    parts: tuple[PartId, ...]
    broken: tuple[Violation, ...]
    is_new: bool


@dataclass(frozen=True, slots=True)
class Given:
    """One batch to be decided. ``sizes``: EVSEs per part, in the snapshot's order; ``before``: the last decision."""

    snapshot: Snapshot
    sizes: Sequence[tuple[PartId, int]]
    before: Mapping[PartId, tuple[Setpoint, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """What was decided for one batch. ``joint``: the whole decision where events run."""

    parts: Sequence[tuple[PartId, tuple[EvseState, ...], tuple[Setpoint, ...]]]
    joint: Decision | None
    broken: tuple[Violation, ...]
    is_new: bool


class Deciding:
    """Keeps the decision of each part for as long as what it was made from holds, ``holds`` at most."""

    def __init__(self, snapshots: Snapshots, standing: Standing, policies: Policies, holds: timedelta) -> None:
        self._snapshots = snapshots
        self._standing = standing
        self._policies = policies
        self._holds = holds
        self._parts = Parts(snapshots.sites)
        self._by_site: Mapping[SiteId, PartId] = self._parts.by_site(())
        self._events: tuple[DrEvent, ...] = ()
        self._joint: Decision | None = None
        self._world = 0
        self.kept: dict[PartId, Decided] = {}

    def forget(self) -> None:
        """The world around is another: prices or events."""
        self._world += 1

    async def round(self, now: datetime) -> Round:
        """Look at all, and decide where it is due."""
        world, number = self._snapshots.around((), now), self._world
        is_new = self._is_other_world(world)
        seen = await self._standing.look(now, self._by_site)
        gone = self.kept.keys() - seen.states.keys()
        for part in gone:
            del self.kept[part]
        due = [part for part, states in self._all(seen, world) if self._is_due(part, states, now)]
        broken, is_other = await self._decide(world, seen, due, number)
        parts = tuple(part for part, decided in self.kept.items() if decided.waits)
        return Round(self._whole(now), parts, broken, is_new or is_other or bool(gone) or bool(broken))

    def sites_of(self, part: PartId) -> Sequence[Site]:
        """The limits that hold in a part."""
        return self._parts.sites_of(state.site for state in self.kept[part].states)

    def _is_other_world(self, world: Snapshot) -> bool:
        """Events have begun or ended since, or limits are others."""
        if self._parts.sites is not world.sites:
            self._parts = Parts(world.sites)
        elif self._events == world.events:
            return False
        self._by_site, self._events = self._parts.by_site(world.events), world.events
        self._joint = None
        self.kept.clear()
        return True

    def _all(self, seen: Seen, world: Snapshot) -> Iterator[tuple[PartId, list[EvseState]]]:
        """Every part; an event is told what it gets also where nobody is there to serve it."""
        if world.events:
            seen.states.setdefault(JOINT, [])
        return iter(seen.states.items())

    def _is_due(self, part: PartId, states: Sequence[EvseState], now: datetime) -> bool:
        known = self.kept.get(part)
        if known is None or known.world != self._world or now - known.at >= self._holds:
            return True
        return known.states != tuple(states)

    async def _decide(
        self, world: Snapshot, seen: Seen, due: Sequence[PartId], number: int
    ) -> tuple[tuple[Violation, ...], bool]:
        """What was broken, and whether anything is another than before."""
        given = [self._given(world, seen, batch) for batch in _batches(seen, due)]
        find = partial(_found, given, self._policies)
        is_small = sum(len(one.snapshot.evses) for one in given) <= INLINE_EVSES
        found = find() if is_small else await asyncio.to_thread(find)
        is_new = False
        for one in found:
            for part, states, setpoints in one.parts:
                self.kept[part] = Decided(states, setpoints, seen.now, number)
            if one.joint is not None:
                self._joint = one.joint
            is_new = is_new or one.is_new
        return tuple(chain.from_iterable(one.broken for one in found)), is_new

    def _given(self, world: Snapshot, seen: Seen, batch: Sequence[PartId]) -> Given:
        """What a batch is decided from. Events matter in the joint part only."""
        before = {part: known.setpoints for part in batch if (known := self.kept.get(part)) is not None}
        evses = tuple(chain.from_iterable(seen.states[part] for part in batch))
        sizes = [(part, len(seen.states[part])) for part in batch]
        if JOINT in batch:
            return Given(replace(world, evses=evses), sizes, before)
        sites = self._parts.sites_of(evse.site for evse in evses)
        return Given(replace(world, sites=sites, evses=evses, events=(), virtual={}), sizes, before)

    def _whole(self, now: datetime) -> Decision:
        return Decision(
            at=now,
            setpoints=tuple(chain.from_iterable(decided.setpoints for decided in self.kept.values())),
            events=self._joint.events if self._joint else (),
            virtual=self._joint.virtual if self._joint else (),
            policies=self._policies.stated,
        )


def _batches(seen: Seen, due: Iterable[PartId]) -> Iterator[list[PartId]]:
    batch: list[PartId] = []
    count = 0
    for part in due:
        if part == JOINT:
            yield [part]
            continue
        batch.append(part)
        count += len(seen.states[part])
        if count >= BATCH_EVSES:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _found(given: Sequence[Given], policies: Policies) -> list[Found]:
    """Pure: runs in any thread."""
    return [_found_one(one, policies) for one in given]


def _found_one(given: Given, policies: Policies) -> Found:
    snapshot, at, parts, is_new = given.snapshot, 0, [], False
    decision, broken = safe_decision(snapshot, decide(snapshot, policies))
    for part, size in given.sizes:
        states, setpoints = snapshot.evses[at : at + size], decision.setpoints[at : at + size]
        at += size
        before = given.before.get(part)
        is_new = is_new or before is None or _essence(setpoints) != _essence(before)
        parts.append((part, states, setpoints))
    is_joint = any(part == JOINT for part, _ in given.sizes)
    return Found(parts, decision if is_joint else None, broken, is_new or is_joint)


def _essence(setpoints: Sequence[Setpoint]) -> list[tuple[object, ...]]:
    return [(setpoint.evse, setpoint.setpoint_w, setpoint.reasons) for setpoint in setpoints]
