"""One pure decision for all EVSEs: what would be without DR, then each event by merit order on top of it. Design §4."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from csms.domain.decision import Decision, EventShare, Reason
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId
from csms.domain.snapshot import EvseState, Snapshot, Use
from policies.counterfactual import is_unseen
from policies.joint import Wish
from policies.plugs import Policies
from policies.registry import DEFAULT
from policies.response import (
    Ask,
    Before,
    Movable,
    Offer,
    bids_of,
    least_powers,
    movable,
    offer_of,
    rivals_of,
    rooms,
    sign_of,
)
from policies.scene import Scene, scene_of
from policies.setpoints import Moved, Plan, permitted_w, setpoints_of
from policies.shortfall import misses, missing_w
from policies.together import Field, together
from policies.tree import Watts

MOST_ROUNDS = 8
"""Of asking others for what is missing: halved each time where vehicles give half, it is within a percent by then."""
NOTHING_OFFERED = Offer()


def decide(snapshot: Snapshot, policies: Policies = DEFAULT) -> Decision:
    """One setpoint per EVSE, in the snapshot's order. Never fails for want of power: events get less, with a reason.

    Same snapshot, same decision. Events are served by priority, then in order of their creation; those of one direction
    together, and each watt serves one of them. An area is never moved both ways while the first of them lasts.
    """
    scene = scene_of(snapshot, policies)
    plan = Plan(scene.given, {}, {})
    offers = {event.id: _offers(scene, event) for event in scene.events}
    for direction in dict.fromkeys(event.direction for event in scene.events):
        events = [event for event in scene.events if event.direction is direction]
        alone = len(events) == 1
        plan = _with_event(scene, plan, events[0], offers) if alone else _with_events(scene, plan, events, offers)
    return Decision(
        at=snapshot.now,
        setpoints=setpoints_of(scene, plan),
        events=tuple(sorted(plan.shares, key=lambda share: list(offers).index(share.event))),
        virtual=scene.rolled(),
        policies=policies.stated,
    )


def _offers(scene: Scene, event: DrEvent) -> list[Offer]:
    """What everybody could do for the event, in the tree's order, if no other event took it."""
    areas = _serves(scene, event)
    return [
        offer_of(party, power, event, scene.policies) if party.area in areas else NOTHING_OFFERED
        for party, power in zip(scene.members, scene.taken.tolist(), strict=True)
    ]


def _with_event(scene: Scene, plan: Plan, event: DrEvent, offered: Mapping[DrEventId, Sequence[Offer]]) -> Plan:
    """Moved by the only event of its direction: by merit order."""
    offers, before = offered[event.id], _before(scene, plan)
    fixed = _discharging_anyway(scene, plan, event)
    drift_w = _drift_w(scene, event)
    already_w = -sum(fixed.values())
    can = movable(scene.tree, scene.members, before, Ask(event, offers, *rivals_of([offers])))
    powers, missing = _respond(scene, can, event, event.requested_w - already_w - sum(drift_w.values()))
    is_moved = powers != before.taken
    change_w = (can.sign * (powers - scene.without)).tolist()
    moved = {place: (Moved(event, change_w[place]),) for place in np.flatnonzero(is_moved).tolist()}
    allotted_w = sum(change_w[place] for place in moved) + already_w
    expected_w = allotted_w - missing + sum(watts for place, watts in drift_w.items() if not is_moved[place])
    return Plan(
        powers=np.where(is_moved, powers, plan.powers),
        moved_by=plan.moved_by | moved | {place: (Moved(event, -power),) for place, power in fixed.items()},
        why_not=plan.why_not | _why_not(offers),
        shares=(*plan.shares, _share(event, _Got(can.capacity_w, can.is_capped, already_w, allotted_w, expected_w))),
    )


def _before(scene: Scene, plan: Plan) -> Before:
    is_served = np.isin(np.arange(len(scene.members)), list(plan.moved_by))
    return Before(plan.powers, np.where(is_served, plan.powers, scene.taken))


def _why_not(offers: Sequence[Offer]) -> dict[int, Reason]:
    return {place: offer.why_not for place, offer in enumerate(offers) if offer.why_not}


def _with_events(
    scene: Scene, plan: Plan, events: Sequence[DrEvent], offered: Mapping[DrEventId, Sequence[Offer]]
) -> Plan:
    """Moved by several events of one direction, each watt by one of them."""
    before, direction = _before(scene, plan), events[0].direction
    offers = [offered[event.id] for event in events]
    drifts, rivals = [_drift_w(scene, event) for event in events], rivals_of(offers)
    already: list[int] = []
    moved_by, why_not, wishes = dict(plan.moved_by), dict(plan.why_not), []
    for number, event in enumerate(events):
        fixed = _discharging_anyway(scene, replace(plan, moved_by=moved_by), event)
        moved_by |= {place: (Moved(event, -power),) for place, power in fixed.items()}
        why_not |= _why_not(offers[number])
        already.append(-sum(fixed.values()))
        bids = bids_of(scene.members, before.taken, Ask(event, offers[number], rivals[number]))
        wanted_w = event.requested_w - already[number] - sum(drifts[number].values())
        wishes.append(Wish(bids.quantity, bids.rank, wanted_w))
    found = together(
        Field(
            tree=scene.tree,
            parties=scene.members,
            room=rooms(scene.tree, scene.members, before, direction),
            taken=before.taken,
            without=scene.without,
            least_w=least_powers(scene.members),
            sign=sign_of(direction),
        ),
        events,
        wishes,
    )
    allotted_w = Counter({event.id: done_w for event, done_w in zip(events, already, strict=True)})
    allotted_w.update(_sums(found.moved.values()))
    shares = []
    for number, event in enumerate(events):
        drift_w = sum(watts for place, watts in drifts[number].items() if place not in found.moved)
        expected_w = allotted_w[event.id] - found.missing_w[number] + drift_w
        got = _Got(found.capacity_w[number], found.is_capped[number], already[number], allotted_w[event.id], expected_w)
        shares.append(_share(event, got))
    return Plan(
        powers=np.where(found.powers != before.taken, found.powers, plan.powers),
        moved_by=moved_by | dict(found.moved),
        why_not=why_not,
        shares=(*plan.shares, *shares),
    )


def _sums(stacks: Iterable[Sequence[Moved]]) -> Counter[DrEventId]:
    """W of each event over all vehicles."""
    sums: Counter[DrEventId] = Counter()
    for moved in chain.from_iterable(stacks):
        sums[moved.event.id] += moved.power_w
    return sums


def _respond(scene: Scene, can: Movable, event: DrEvent, wanted_w: int) -> tuple[Watts, int]:
    """W per place after the event, and what will not come of it by what was seen. That much more is asked for, of
    others; each time some of it may fall to vehicles that do not give it either."""
    doubtful = [
        (place, party.evse, int(can.taken[place]))
        for place, party in enumerate(scene.members)
        if party.evse.served is not None and misses(party.evse, event)
    ]
    missing = 0
    for _ in range(MOST_ROUNDS):
        powers = can.moved_by(wanted_w + missing)
        found = min(_missing_w(doubtful, powers, event), event.requested_w)
        if found <= missing:
            break
        missing = found
    return powers, missing


def _missing_w(doubtful: Sequence[tuple[int, EvseState, int]], moved: Watts, event: DrEvent) -> int:
    """``doubtful``: places of those who did less than they were asked, and W that they would be at."""
    return sum(missing_w(evse, power, int(moved[place]), event) for place, evse, power in doubtful)


def _serves(scene: Scene, event: DrEvent) -> frozenset[AreaId]:
    """The areas that the event may move: of its own, those that no more important one moves the other way, whether that
    one finds a vehicle there or not."""
    higher = scene.events[: scene.events.index(event)]
    opposite = [by for by in higher if by.direction is not event.direction]
    return frozenset(area for area in scene.areas if event.covers(area) and not any(by.covers(area) for by in opposite))


def _drift_w(scene: Scene, event: DrEvent) -> dict[int, int]:
    """Place -> what flows for the event (or against it, < 0) though nobody is asked for it now: a vehicle that an event
    moved before has another need, or another room, than it would have. Counted for the first event of an area. One that
    has not been seen to charge has not been moved: that it counts as full is a doubt, nothing to be made up for."""
    earlier = scene.events[: scene.events.index(event)]
    areas = {area for area in _serves(scene, event) if not any(by.covers(area) for by in earlier)}
    sign = 1 if event.direction is Direction.UP else -1
    return {
        place: sign * int(scene.taken[place] - scene.without[place])
        for place in np.flatnonzero(scene.taken != scene.without).tolist()
        if (party := scene.members[place]).area in areas
        and party.evse.use is Use.RESOURCE
        and not is_unseen(party.evse)
    }


def _discharging_anyway(scene: Scene, plan: Plan, event: DrEvent) -> dict[int, int]:
    """Place -> W < 0, of stations that do not follow but discharge as far as their users permit."""
    if event.direction is Direction.UP:
        return {}
    areas = _serves(scene, event)
    return {
        place: max(fixed, -permitted)
        for place, party in enumerate(scene.members)
        if (fixed := party.corridor.uncontrolled_w or 0) < 0 and party.area in areas and place not in plan.moved_by
        if (permitted := permitted_w(party, party.price_per_kwh(event, scene.policies))) > 0
    }


@dataclass(frozen=True, slots=True)
class _Got:
    """One event's part, W: what could be moved, what flows out unasked, what is moved, and what of it will come."""

    capacity_w: int
    is_capped: bool
    already_w: int
    allotted_w: int
    expected_w: int


def _share(event: DrEvent, got: _Got) -> EventShare:
    reasons: tuple[Reason, ...] = ()
    if got.expected_w < event.requested_w:
        limit = Reason.SITE_IMPORT_LIMIT if event.direction is Direction.UP else Reason.SITE_EXPORT_LIMIT
        reasons = (Reason.DR_SHORTFALL, *((limit,) if got.is_capped else ()))
    elif got.expected_w > event.requested_w:
        reasons = (Reason.BELOW_MINIMUM_POWER,)
    return EventShare(
        event=event.id,
        requested_w=event.requested_w,
        capacity_w=max(got.capacity_w + got.already_w, got.allotted_w, 0),
        allotted_w=max(got.allotted_w, 0),
        reasons=reasons,
    )
