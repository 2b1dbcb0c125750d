"""One pure decision for all EVSEs: what would be without DR, then each event by merit order on top of it. Design §4."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from csms.domain.decision import Decision, EventShare, Reason, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef
from csms.domain.snapshot import Snapshot, Use, Virtual
from policies.baseline import baseline, parties, party_of, shared
from policies.corridor import discharge_limit, is_price_within
from policies.counterfactual import virtual_state, would_take
from policies.plugs import Policies
from policies.pricing import least_sell, markets
from policies.registry import DEFAULT
from policies.response import Ask, Before, Offer, Party, Response, offer_of, respond, wanted_by
from policies.shortfall import missing_w
from policies.tree import SiteTree, Watts, site_tree

MOST_ROUNDS = 8
"""Of asking others for what is missing: halved each time where vehicles give half, it is within a percent by then."""
UNBOUND_W = 10**12


@dataclass(frozen=True, slots=True)
class Scene:
    """What a decision starts from, W per place in the tree's order.

    ``given``: what each is told where no event moves it. ``without``: the counterfactual. ``taken``: the part of both
    that events move: what flows now of what would flow without them.
    """

    snapshot: Snapshot
    policies: Policies
    tree: SiteTree
    members: tuple[Party, ...]
    events: tuple[DrEvent, ...]
    virtual: Mapping[EvseRef, Virtual]
    given: Watts
    without: Watts
    taken: Watts


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision in the making. ``moved_by``: place -> the event that moved it; ``why_not``: place -> why not more."""

    powers: Watts
    moved_by: dict[int, DrEvent]
    why_not: dict[int, Reason]
    shares: tuple[EventShare, ...] = ()


def decide(snapshot: Snapshot, policies: Policies = DEFAULT) -> Decision:
    """One setpoint per EVSE, in the snapshot's order. Never fails for want of power: events get less, with a reason.

    Same snapshot, same decision. Events are served by priority, then in order of their creation, all by one view of who
    could serve which; a vehicle serves one event, and an area is never moved both ways while the first of them lasts.
    """
    scene = _scene(snapshot, policies)
    plan = Plan(scene.given, {}, {})
    offers = {event.id: _offers(scene, event) for event in scene.events}
    for event in scene.events:
        plan = _with_event(scene, plan, event, offers)
    placed = {index: place for place, index in enumerate(scene.tree.order)}
    setpoints = (_setpoint(scene, plan, placed[index]) for index in range(len(snapshot.evses)))
    return Decision(
        at=snapshot.now,
        setpoints=tuple(setpoints),
        events=plan.shares,
        virtual=tuple(_rolled(scene, placed)),
        policies=policies.stated,
    )


def active_events(snapshot: Snapshot) -> tuple[DrEvent, ...]:
    """The events in force now, the most important first, then the first created."""
    active = (event for event in snapshot.events if event.is_active(snapshot.now))
    return tuple(sorted(active, key=lambda event: (event.priority, event.created_at, event.id)))


def _scene(snapshot: Snapshot, policies: Policies) -> Scene:
    tree = site_tree(snapshot.sites, snapshot.evses)
    by_area = markets(snapshot)
    members = parties(snapshot, tree, by_area, policies)
    events = active_events(snapshot)
    areas = frozenset(area for area in by_area if any(event.covers(area) for event in events))
    virtual = policies.baseline.run(snapshot, areas) if areas else {}
    twins = _twins(tree, members, virtual, policies)
    would_be_given = baseline(tree, twins, snapshot)
    given, without = would_be_given, would_be_given
    if areas:
        in_event = np.array([party.area in areas for party in members], dtype=bool)
        without = np.where(in_event, would_take(members, would_be_given, _asking(events, areas)), would_be_given)
        if twins is not members:
            given = baseline(tree, members, snapshot, _ceiling(members, would_be_given, virtual))
            without = np.where(_is_plain(members), given, without)
    taken = np.minimum(given, np.maximum(without, would_take(members, _required(members))))
    return Scene(snapshot, policies, tree, members, events, virtual, given, without, np.minimum(taken, given))


def _asking(events: Sequence[DrEvent], areas: Iterable[AreaId]) -> frozenset[AreaId]:
    """Areas in which a DOWN event runs."""
    down = [event for event in events if event.direction is Direction.DOWN]
    return frozenset(area for area in areas if any(event.covers(area) for event in down))


def _twins(
    tree: SiteTree, members: tuple[Party, ...], virtual: Mapping[EvseRef, Virtual], policies: Policies
) -> tuple[Party, ...]:
    """The same EVSEs in the world without events; the very same tuple where no event has changed anything yet."""
    states = [virtual_state(party.evse, virtual.get(party.evse.ref)) for party in members]
    if all(state is party.evse for state, party in zip(states, members, strict=True)):
        return members
    own = [
        party if state is party.evse else party_of(state, party.area, party.market, policies)
        for state, party in zip(states, members, strict=True)
    ]
    return shared(tree, own)


def _ceiling(members: Sequence[Party], without: Watts, virtual: Mapping[EvseRef, Virtual]) -> Watts:
    """What was given up for an event is not taken back while one lasts, but for a required charge."""
    bounds = [
        max(power, party.corridor.required_w) if party.evse.ref in virtual else UNBOUND_W
        for party, power in zip(members, without.tolist(), strict=True)
    ]
    return np.array(bounds, dtype=np.int64)


def _is_plain(members: Sequence[Party]) -> Watts:
    return np.array([party.evse.use is not Use.RESOURCE for party in members], dtype=bool)


def _required(members: Sequence[Party]) -> Watts:
    return np.array([party.corridor.required_w for party in members], dtype=np.int64)


def _rolled(scene: Scene, placed: Mapping[int, int]) -> list[Virtual]:
    """The counterfactual for the next decision, in the snapshot's order."""
    return [
        replace(scene.virtual[evse.ref], power_w=int(scene.without[placed[index]]))
        for index, evse in enumerate(scene.snapshot.evses)
        if evse.ref in scene.virtual
    ]


def _offers(scene: Scene, event: DrEvent) -> list[Offer]:
    """What everybody could do for the event, in the tree's order, if no other event took it."""
    areas = _serves(scene, event)
    return [
        offer_of(party, power, event, scene.policies) if party.area in areas else Offer()
        for party, power in zip(scene.members, scene.taken.tolist(), strict=True)
    ]


def _with_event(scene: Scene, plan: Plan, event: DrEvent, offered: Mapping[DrEventId, Sequence[Offer]]) -> Plan:
    offers = [Offer() if place in plan.moved_by else offer for place, offer in enumerate(offered[event.id])]
    later = [offered[other.id] for other in scene.events[scene.events.index(event) + 1 :]]
    ask = Ask(event, offers, wanted_by(later, len(offers)))
    is_served = np.isin(np.arange(len(offers)), list(plan.moved_by))
    before = Before(plan.powers, np.where(is_served, plan.powers, scene.taken))
    fixed = _discharging_anyway(scene, plan, event)
    drift_w = _drift_w(scene, event)
    already_w = -sum(fixed.values())
    response, missing = _respond(scene, before, ask, already_w + sum(drift_w.values()))
    is_moved = response.powers != before.taken
    moved = is_moved.nonzero()[0].tolist()
    sign = 1 if event.direction is Direction.UP else -1
    allotted_w = sum(sign * int(response.powers[place] - scene.without[place]) for place in moved) + already_w
    expected_w = allotted_w - missing + sum(watts for place, watts in drift_w.items() if not is_moved[place])
    return Plan(
        powers=np.where(is_moved, response.powers, plan.powers),
        moved_by=plan.moved_by | dict.fromkeys([*moved, *fixed], event),
        why_not=plan.why_not | {place: offer.why_not for place, offer in enumerate(offers) if offer.why_not},
        shares=(*plan.shares, _share(event, response, already_w, allotted_w, expected_w)),
    )


def _respond(scene: Scene, before: Before, ask: Ask, already_w: int) -> tuple[Response, int]:
    """The response, and what will not come of it by what was seen. That much more is asked for, of others; each time
    some of it may fall to vehicles that do not give it either."""
    missing = 0
    for _ in range(MOST_ROUNDS):
        response = respond(scene.tree, scene.members, before, ask, already_w - missing)
        found = min(_missing_w(scene.members, before.taken, response.powers, ask.event), ask.event.requested_w)
        if found <= missing:
            break
        missing = found
    return response, missing


def _missing_w(members: Sequence[Party], powers: Watts, moved: Watts, event: DrEvent) -> int:
    return sum(
        missing_w(party.evse, power, asked, event)
        for party, power, asked in zip(members, powers.tolist(), moved.tolist(), strict=True)
        if party.evse.served is not None
    )


def _serves(scene: Scene, event: DrEvent) -> frozenset[AreaId]:
    """The areas that the event may move: of its own, those that no more important one moves the other way, whether that
    one finds a vehicle there or not."""
    higher = scene.events[: scene.events.index(event)]
    areas = {site.area for site in scene.snapshot.sites if event.covers(site.area)}
    return frozenset(
        area for area in areas if not any(by.direction is not event.direction and by.covers(area) for by in higher)
    )


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
        if (permitted := _permitted_w(scene, party, event)) > 0
    }


def _permitted_w(scene: Scene, party: Party, event: DrEvent) -> int:
    return discharge_limit(party.evse, party.market, party.price_per_kwh(event, scene.policies))[0]


def _share(event: DrEvent, response: Response, already_w: int, allotted_w: int, expected_w: int) -> EventShare:
    reasons: tuple[Reason, ...] = ()
    if expected_w < event.requested_w:
        limit = Reason.SITE_IMPORT_LIMIT if event.direction is Direction.UP else Reason.SITE_EXPORT_LIMIT
        reasons = (Reason.DR_SHORTFALL, *((limit,) if response.is_capped else ()))
    elif expected_w > event.requested_w:
        reasons = (Reason.BELOW_MINIMUM_POWER,)
    return EventShare(
        event=event.id,
        requested_w=event.requested_w,
        capacity_w=max(response.capacity_w + already_w, allotted_w, 0),
        allotted_w=max(allotted_w, 0),
        reasons=reasons,
    )


def _setpoint(scene: Scene, plan: Plan, place: int) -> Setpoint:
    party, event = scene.members[place], plan.moved_by.get(place)
    power, counterfactual_w = int(plan.powers[place]), int(scene.without[place])
    if party.corridor.uncontrolled_w is not None:
        power, counterfactual_w = _of_uncontrolled(scene, party, event)
    price = party.price_per_kwh(event, scene.policies) if event else None
    return Setpoint(
        evse=party.evse.ref,
        setpoint_w=power,
        counterfactual_w=counterfactual_w,
        expires_at=_expiry(scene, party, event),
        reasons=_reasons(scene, place, power, event, plan.why_not.get(place)),
        event=event.id if event else None,
        price_per_kwh=price,
    )


def _of_uncontrolled(scene: Scene, party: Party, event: DrEvent | None) -> tuple[int, int]:
    """What a station that does not follow is told: the permitted power nearest to what it takes."""
    fixed = party.corridor.uncontrolled_w or 0
    charging = min(max(fixed, party.corridor.least_w), party.corridor.wanted_w)
    if event is None or fixed >= 0:
        return charging, charging
    return max(fixed, -_permitted_w(scene, party, event)), charging


def _expiry(scene: Scene, party: Party, event: DrEvent | None) -> datetime:
    """The horizon; what an event moved ends with it, with the permitted slot and with the price it was moved at."""
    end = scene.snapshot.now + timedelta(seconds=scene.snapshot.horizon_s)
    if event is None:
        return end
    end = min(end, event.stops_at, party.evse.terms.permitted_until or end)
    change = party.market.next_change
    return end if change is None or change.starts_at >= end else _price_ends_at(scene, party, event) or end


def _price_ends_at(scene: Scene, party: Party, event: DrEvent) -> datetime | None:
    """When the next tariff would break the user's conditions, or make the frozen price of charging dearer than the
    tariff: its start; else None."""
    change = party.market.next_change
    if change is None:
        return None
    frozen = party.price_per_kwh(event, scene.policies)
    then = replace(party, market=replace(party.market, tariff_per_kwh=change.price_per_kwh))
    price = then.price_per_kwh(event, scene.policies)
    if event.direction is Direction.UP:
        is_fine = party.evse.terms.entrust or is_price_within(party.evse.terms, price)
        return None if is_fine and frozen <= change.price_per_kwh else change.starts_at
    if party.evse.battery is None:
        return change.starts_at
    least = least_sell(party.evse.terms, change.price_per_kwh, party.evse.battery)
    return None if least is None or min(price, frozen) >= least else change.starts_at


def _reasons(
    scene: Scene, place: int, power_w: int, event: DrEvent | None, why_not: Reason | None
) -> tuple[Reason, ...]:
    party = scene.members[place]
    reasons = party.corridor.reasons
    is_given_up = party.evse.ref in scene.virtual and scene.given[place] >= scene.without[place]
    if scene.given[place] < party.corridor.wanted_w and party.corridor.uncontrolled_w is None and not is_given_up:
        reasons = (*reasons, Reason.SITE_IMPORT_LIMIT)
    if event is not None:
        reasons = (*reasons, _dr_reason(power_w, event))
    if why_not is not None and why_not not in reasons:
        reasons = (*reasons, why_not)
    return reasons


def _dr_reason(power_w: int, event: DrEvent) -> Reason:
    if event.direction is Direction.UP:
        return Reason.DR_CHARGE
    return Reason.DR_DISCHARGE if power_w < 0 else Reason.DR_STOP_CHARGING
