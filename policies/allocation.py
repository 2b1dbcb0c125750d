"""One pure decision for all EVSEs: the baseline under the caps, then each DR event by merit order. Design §4."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from csms.domain.decision import Decision, EventShare, Reason, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId
from csms.domain.snapshot import Snapshot
from policies.baseline import baseline, parties
from policies.corridor import discharge_limit, is_price_within
from policies.pricing import least_sell
from policies.response import Before, Offer, Party, Response, candidates, offer_of, respond
from policies.shortfall import missing_w
from policies.tree import SiteTree, Watts, site_tree

MOST_ROUNDS = 8
"""Of asking others for what is missing: halved each time where vehicles give half, it is within a percent by then."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision in the making. ``moved_by``: place -> the event that moved it; ``why_not``: place -> why not more."""

    powers: Watts
    moved_by: dict[int, DrEvent]
    why_not: dict[int, Reason]
    shares: tuple[EventShare, ...] = ()


def decide(snapshot: Snapshot) -> Decision:
    """One setpoint per EVSE, in the snapshot's order. Never fails for want of power: events get less, with a reason.

    Same snapshot, same decision. Events are served in order of their creation; a vehicle serves one event, and a region
    is never moved both ways at once.
    """
    tree = site_tree(snapshot.sites, snapshot.evses)
    members = parties(snapshot, tree)
    base = baseline(tree, members, snapshot)
    plan = Plan(base, {}, {})
    for event in active_events(snapshot):
        plan = _with_event(plan, tree, members, event)
    placed = {index: place for place, index in enumerate(tree.order)}
    setpoints = (_setpoint(snapshot, members, base, plan, placed[index]) for index in range(len(snapshot.evses)))
    return Decision(at=snapshot.now, setpoints=tuple(setpoints), events=plan.shares)


def active_events(snapshot: Snapshot) -> list[DrEvent]:
    """The events in force now, first created first."""
    active = (event for event in snapshot.events if event.is_active(snapshot.now))
    return sorted(active, key=lambda event: (event.created_at, event.id))


def _with_event(plan: Plan, tree: SiteTree, members: Sequence[Party], event: DrEvent) -> Plan:
    blocked = _opposed(plan, members, event)
    may = candidates(members, event, plan.moved_by, blocked)
    taken = _taken(members, plan.powers, may)
    offers = [
        offer_of(party, power, event) if is_candidate else Offer()
        for party, power, is_candidate in zip(members, taken.tolist(), may, strict=True)
    ]
    fixed = {place: -power for place, power in _discharging_anyway(members, may, event)}
    response, missing_w = _respond(tree, members, Before(plan.powers, taken), offers, event, sum(fixed.values()))
    is_moved = response.powers != taken
    moved = is_moved.nonzero()[0].tolist()
    return Plan(
        powers=np.where(is_moved, _never_less(response.powers, plan.powers, event), plan.powers),
        moved_by=plan.moved_by | dict.fromkeys([*moved, *fixed], event),
        why_not=plan.why_not | {place: offer.why_not for place, offer in enumerate(offers) if offer.why_not},
        shares=(*plan.shares, _share(event, taken, response, sum(fixed.values()), missing_w)),
    )


def _respond(
    tree: SiteTree, members: Sequence[Party], before: Before, offers: Sequence[Offer], event: DrEvent, already_w: int
) -> tuple[Response, int]:
    """The response, and what will not come of it by what was seen. That much more is asked for, of others; each time
    some of it may fall to vehicles that do not give it either."""
    missing_w = 0
    for _ in range(MOST_ROUNDS):
        response = respond(tree, members, before, offers, event, already_w - missing_w)
        found_w = min(_missing_w(members, before.taken, response.powers, event), event.requested_w)
        if found_w <= missing_w:
            break
        missing_w = found_w
    return response, missing_w


def _missing_w(members: Sequence[Party], powers: Watts, moved: Watts, event: DrEvent) -> int:
    return sum(
        missing_w(party.evse, power, asked, event)
        for party, power, asked in zip(members, powers.tolist(), moved.tolist(), strict=True)
        if party.evse.served is not None
    )


def _taken(members: Sequence[Party], powers: Watts, may: Sequence[bool]) -> Watts:
    """What vehicles really take of what they are given: only that much can be stopped, or comes on top."""
    drawn = [
        power if party.evse.drawn_w is None or not is_candidate else min(power, party.evse.drawn_w)
        for party, power, is_candidate in zip(members, powers.tolist(), may, strict=True)
    ]
    return np.array(drawn, dtype=np.int64)


def _never_less(powers: Watts, before: Watts, event: DrEvent) -> Watts:
    """An UP event takes no limit down that a vehicle did not use up."""
    return np.maximum(powers, before) if event.direction is Direction.UP else powers


def _opposed(plan: Plan, members: Sequence[Party], event: DrEvent) -> frozenset[AreaId]:
    """Regions in which an earlier event moves vehicles the other way."""
    return frozenset(members[place].area for place, by in plan.moved_by.items() if by.direction is not event.direction)


def _discharging_anyway(members: Sequence[Party], may: Sequence[bool], event: DrEvent) -> list[tuple[int, int]]:
    """(place, W < 0) of stations that do not follow but discharge as far as their users permit."""
    if event.direction is Direction.UP:
        return []
    return [
        (place, max(fixed, -discharge_limit(party.evse, party.market, event)[0]))
        for place, party in enumerate(members)
        if may[place] and (fixed := party.corridor.uncontrolled_w or 0) < 0
        if discharge_limit(party.evse, party.market, event)[0] > 0
    ]


def _share(event: DrEvent, before: Watts, response: Response, already_w: int, missing_w: int) -> EventShare:
    allotted = abs(int((response.powers - before).sum())) + already_w
    expected = allotted - missing_w
    reasons: tuple[Reason, ...] = ()
    if expected < event.requested_w:
        limit = Reason.SITE_IMPORT_LIMIT if event.direction is Direction.UP else Reason.SITE_EXPORT_LIMIT
        reasons = (Reason.DR_SHORTFALL, *((limit,) if response.is_capped else ()))
    elif expected > event.requested_w:
        reasons = (Reason.BELOW_MINIMUM_POWER,)
    return EventShare(
        event=event.id,
        requested_w=event.requested_w,
        capacity_w=max(response.capacity_w + already_w, allotted),
        allotted_w=allotted,
        reasons=reasons,
    )


def _setpoint(snapshot: Snapshot, members: Sequence[Party], base: Watts, plan: Plan, place: int) -> Setpoint:
    party, event = members[place], plan.moved_by.get(place)
    power, counterfactual_w = int(plan.powers[place]), int(base[place])
    if event is not None and party.evse.drawn_w is not None:
        counterfactual_w = min(counterfactual_w, party.evse.drawn_w)
    if party.corridor.uncontrolled_w is not None:
        power, counterfactual_w = _of_uncontrolled(party, event)
    return Setpoint(
        evse=party.evse.ref,
        setpoint_w=power,
        counterfactual_w=counterfactual_w,
        expires_at=_expiry(snapshot, party, event),
        reasons=_reasons(party, power, counterfactual_w, event, plan.why_not.get(place)),
        event=event.id if event else None,
    )


def _of_uncontrolled(party: Party, event: DrEvent | None) -> tuple[int, int]:
    """What a station that does not follow is told: the permitted power nearest to what it takes."""
    fixed = party.corridor.uncontrolled_w or 0
    charging = min(max(fixed, party.corridor.least_w), party.corridor.wanted_w)
    if event is None or fixed >= 0:
        return charging, charging
    return max(fixed, -discharge_limit(party.evse, party.market, event)[0]), charging


def _expiry(snapshot: Snapshot, party: Party, event: DrEvent | None) -> datetime:
    """The horizon; what an event moved ends with it, with the permitted slot and with the prices the user accepts."""
    end = snapshot.now + timedelta(seconds=snapshot.horizon_s)
    if event is None:
        return end
    ends = (event.stops_at, party.evse.terms.permitted_until, _price_ends_at(party, event))
    return min(end, *(other for other in ends if other is not None))


def _price_ends_at(party: Party, event: DrEvent) -> datetime | None:
    """When the next price would break the user's conditions: its start; else None."""
    change, battery, terms = party.market.next_change, party.evse.battery, party.evse.terms
    if change is None or battery is None:
        return change.starts_at if change else None
    price = event.unit_price(change.price_per_kwh)
    if event.direction is Direction.UP:
        return None if terms.entrust or is_price_within(terms, price) else change.starts_at
    least = least_sell(terms, change.price_per_kwh, battery)
    return None if least is None or price >= least else change.starts_at


def _reasons(
    party: Party, power_w: int, counterfactual_w: int, event: DrEvent | None, why_not: Reason | None
) -> tuple[Reason, ...]:
    reasons = party.corridor.reasons
    if counterfactual_w < party.corridor.wanted_w and party.corridor.uncontrolled_w is None:
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
