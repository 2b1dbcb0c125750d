"""From the powers of a plan to one setpoint per EVSE: its expiry, its frozen price and its reasons. P11, P16."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from csms.domain.decision import EventShare, Part, Parts, Reason, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId
from policies.corridor import discharge_limit, is_price_within
from policies.pricing import is_raise_within, least_sell
from policies.response import Party
from policies.scene import Scene, importance
from policies.tree import Watts


@dataclass(frozen=True, slots=True)
class Moved:
    """What one event moves of one vehicle, W in its direction, from what would flow without any."""

    event: DrEvent
    power_w: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision in the making. ``moved_by``: place -> what moved it, from the counterfactual on, so that discharging
    comes last; ``why_not``: place -> why not more."""

    powers: Watts
    moved_by: dict[int, tuple[Moved, ...]]
    why_not: dict[int, Reason]
    shares: tuple[EventShare, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found for one EVSE, W: told it, and without any event; ``given``: without what events move now."""

    power_w: int
    without_w: int
    given_w: int
    moved_by: tuple[Moved, ...]
    why_not: Reason | None

    @property
    def events(self) -> list[DrEvent]:
        """Each once, the most important one first."""
        by_id = {moved.event.id: moved.event for moved in self.moved_by}
        return sorted(by_id.values(), key=importance)


def setpoints_of(scene: Scene, plan: Plan) -> tuple[Setpoint, ...]:
    """One per EVSE, in the snapshot's order."""
    powers = zip(plan.powers.tolist(), scene.without.tolist(), scene.given.tolist(), strict=True)
    outcomes = [Outcome(*watts, plan.moved_by.get(at, ()), plan.why_not.get(at)) for at, watts in enumerate(powers)]
    end = scene.snapshot.now + timedelta(seconds=scene.snapshot.horizon_s)
    in_order = np.argsort(scene.tree.order).tolist()
    return tuple(_setpoint(scene, scene.members[place], outcomes[place], end) for place in in_order)


def _setpoint(scene: Scene, party: Party, outcome: Outcome, end: datetime) -> Setpoint:
    power, counterfactual_w, events = outcome.power_w, outcome.without_w, outcome.events
    prices = {event.id: party.price_per_kwh(event, scene.policies) for event in events}
    first = events[0] if events else None
    price = prices[first.id] if first else None
    if party.corridor.uncontrolled_w is not None:
        power, counterfactual_w = _of_uncontrolled(party, price)
    return Setpoint(
        evse=party.evse.ref,
        setpoint_w=power,
        counterfactual_w=counterfactual_w,
        expires_at=min((_expiry(scene, party, event, prices[event.id], end) for event in events), default=end),
        reasons=_reasons(scene, party, outcome, power),
        event=first.id if first else None,
        price_per_kwh=price,
        parts=_parts(outcome, prices) if len(events) > 1 else (),
    )


def _parts(outcome: Outcome, prices: Mapping[DrEventId, Decimal]) -> Parts:
    return tuple(Part(moved.event.id, moved.power_w, prices[moved.event.id]) for moved in outcome.moved_by)


def _of_uncontrolled(party: Party, price_per_kwh: Decimal | None) -> tuple[int, int]:
    """What a station that does not follow is told: the permitted power nearest to what it takes. ``price_per_kwh``: of
    the event that it serves; None = of no event."""
    fixed = party.corridor.uncontrolled_w or 0
    charging = min(max(fixed, party.corridor.least_w), party.corridor.wanted_w)
    if price_per_kwh is None or fixed >= 0:
        return charging, charging
    return max(fixed, -permitted_w(party, price_per_kwh)), charging


def permitted_w(party: Party, price_per_kwh: Decimal) -> int:
    """How far the user lets the vehicle be discharged at this price, W >= 0."""
    return discharge_limit(party.evse, party.corridor.limits, party.market, price_per_kwh)[0]


def _expiry(scene: Scene, party: Party, event: DrEvent, price: Decimal, end: datetime) -> datetime:
    """The horizon; what an event moved ends with it, with the permitted slot and with the price it was moved at."""
    end = min(end, event.stops_at, party.evse.terms.permitted_until or end)
    change = party.market.next_change
    is_before = change is not None and change.starts_at < end
    return (_price_ends_at(scene, party, event, price) or end) if is_before else end


def _price_ends_at(scene: Scene, party: Party, event: DrEvent, frozen: Decimal) -> datetime | None:
    """When the next tariff would break the user's conditions, or make the frozen price of charging dearer than the
    tariff: its start; else None."""
    change = party.market.next_change
    if change is None:
        return None
    price = party.price_at(change.price_per_kwh, event, scene.policies)
    if event.direction is Direction.UP:
        terms = party.evse.terms
        is_fine = terms.entrust or is_price_within(terms, price)
        is_fine = is_fine and is_raise_within(terms, change.price_per_kwh, max(price, frozen))
        return None if is_fine and frozen <= change.price_per_kwh else change.starts_at
    if party.evse.battery is None:
        return change.starts_at
    least = least_sell(party.evse.terms, change.price_per_kwh, party.evse.battery)
    return None if least is None or min(price, frozen) >= least else change.starts_at


def _reasons(scene: Scene, party: Party, outcome: Outcome, power_w: int) -> tuple[Reason, ...]:
    reasons, why_not = party.corridor.reasons, outcome.why_not
    if outcome.given_w < party.corridor.wanted_w and party.corridor.uncontrolled_w is None:
        is_given_up = outcome.given_w >= outcome.without_w and party.evse.ref in scene.virtual
        reasons = reasons if is_given_up else (*reasons, Reason.SITE_IMPORT_LIMIT)
    if outcome.moved_by:
        reasons = (*reasons, _dr_reason(power_w, outcome.moved_by[0].event))
    if why_not is not None and why_not not in reasons:
        reasons = (*reasons, why_not)
    return reasons


def _dr_reason(power_w: int, event: DrEvent) -> Reason:
    if event.direction is Direction.UP:
        return Reason.DR_CHARGE
    return Reason.DR_DISCHARGE if power_w < 0 else Reason.DR_STOP_CHARGING
