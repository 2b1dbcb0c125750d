"""One pure decision for all EVSEs: what would be without DR, then each event by merit order on top of it. Design §4."""

from collections.abc import Mapping, Sequence

import numpy as np

from csms.domain.decision import Decision, EventShare, Reason
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId
from csms.domain.snapshot import EvseState, Snapshot, Use
from policies.plugs import Policies
from policies.registry import DEFAULT
from policies.response import Ask, Before, Movable, Offer, movable, offer_of, wanted_by
from policies.scene import Scene, scene_of
from policies.setpoints import Plan, permitted_w, setpoints_of
from policies.shortfall import misses, missing_w
from policies.tree import Watts

MOST_ROUNDS = 8
"""Of asking others for what is missing: halved each time where vehicles give half, it is within a percent by then."""
NOTHING_OFFERED = Offer()


def decide(snapshot: Snapshot, policies: Policies = DEFAULT) -> Decision:
    """One setpoint per EVSE, in the snapshot's order. Never fails for want of power: events get less, with a reason.

    Same snapshot, same decision. Events are served by priority, then in order of their creation, all by one view of who
    could serve which; a vehicle serves one event, and an area is never moved both ways while the first of them lasts.
    """
    scene = scene_of(snapshot, policies)
    plan = Plan(scene.given, {}, {})
    offers = {event.id: _offers(scene, event) for event in scene.events}
    for event in scene.events:
        plan = _with_event(scene, plan, event, offers)
    return Decision(
        at=snapshot.now,
        setpoints=setpoints_of(scene, plan),
        events=plan.shares,
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
    offers = [NOTHING_OFFERED if place in plan.moved_by else offer for place, offer in enumerate(offered[event.id])]
    later = [offered[other.id] for other in scene.events[scene.events.index(event) + 1 :]]
    is_served = np.isin(np.arange(len(offers)), list(plan.moved_by))
    before = Before(plan.powers, np.where(is_served, plan.powers, scene.taken))
    fixed = _discharging_anyway(scene, plan, event)
    drift_w = _drift_w(scene, event)
    already_w = -sum(fixed.values())
    can = movable(scene.tree, scene.members, before, Ask(event, offers, wanted_by(later, len(offers))))
    powers, missing = _respond(scene, can, event, event.requested_w - already_w - sum(drift_w.values()))
    is_moved = powers != before.taken
    moved = is_moved.nonzero()[0].tolist()
    allotted_w = can.sign * int((powers - scene.without)[is_moved].sum()) + already_w
    expected_w = allotted_w - missing + sum(watts for place, watts in drift_w.items() if not is_moved[place])
    return Plan(
        powers=np.where(is_moved, powers, plan.powers),
        moved_by=plan.moved_by | dict.fromkeys([*moved, *fixed], event),
        why_not=plan.why_not | {place: offer.why_not for place, offer in enumerate(offers) if offer.why_not},
        shares=(*plan.shares, _share(event, can, already_w, allotted_w, expected_w)),
    )


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
    moved before has another need, or another room, than it would have. Counted for the first event of an area."""
    earlier = scene.events[: scene.events.index(event)]
    areas = {area for area in _serves(scene, event) if not any(by.covers(area) for by in earlier)}
    sign = 1 if event.direction is Direction.UP else -1
    return {
        place: sign * int(scene.taken[place] - scene.without[place])
        for place in np.flatnonzero(scene.taken != scene.without).tolist()
        if scene.members[place].area in areas and scene.members[place].evse.use is Use.RESOURCE
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


def _share(event: DrEvent, can: Movable, already_w: int, allotted_w: int, expected_w: int) -> EventShare:
    reasons: tuple[Reason, ...] = ()
    if expected_w < event.requested_w:
        limit = Reason.SITE_IMPORT_LIMIT if event.direction is Direction.UP else Reason.SITE_EXPORT_LIMIT
        reasons = (Reason.DR_SHORTFALL, *((limit,) if can.is_capped else ()))
    elif expected_w > event.requested_w:
        reasons = (Reason.BELOW_MINIMUM_POWER,)
    return EventShare(
        event=event.id,
        requested_w=event.requested_w,
        capacity_w=max(can.capacity_w + already_w, allotted_w, 0),
        allotted_w=max(allotted_w, 0),
        reasons=reasons,
    )
