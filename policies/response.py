"""One DR event's part of a decision: what each vehicle offers, and who of them moves. Requirements P12, P16."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from zlib import crc32

import numpy as np

from csms.domain.decision import Reason
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, EvseRef
from csms.domain.snapshot import EvseState, Use
from policies.corridor import RESTING, Corridor, discharge_limit, is_slot_open, raise_limit
from policies.merit import Costs, Steps, Ties, cheapest, merit_order, within_caps
from policies.objective import shift_cost, sorted_costs
from policies.plugs import Available, Policies
from policies.pricing import NOTHING, Market, unit_price
from policies.shortfall import most_to_ask_w
from policies.tree import Places, SiteTree, Watts, reserved_w

NO_LIMIT_H = 1e6
"""Laxity of a vehicle without a departure."""


@dataclass(frozen=True, slots=True)
class Party:
    """One EVSE with what is known to decide about it."""

    evse: EvseState
    area: AreaId
    market: Market
    corridor: Corridor
    available: Available = Available()

    def price_per_kwh(self, event: DrEvent, policies: Policies) -> Decimal:
        """What a kWh of the event pays or costs here, with what the adders give."""
        return self.price_at(self.market.tariff_per_kwh, event, policies)

    def price_at(self, tariff_per_kwh: Decimal, event: DrEvent, policies: Policies) -> Decimal:
        """The same at another tariff."""
        added = policies.added_per_kwh(self.evse, event, self.market.now) if policies.adders else NOTHING
        return unit_price(event, tariff_per_kwh, added)


@dataclass(frozen=True, slots=True)
class Bid:
    """What an event pays (or costs) per kWh at one EVSE, and what the vehicle's two steps cost."""

    price_per_kwh: Decimal
    cost: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Offer:
    """Two steps of one vehicle in an event's direction, W, with their costs per kWh; ``why_not`` more.

    DOWN: stop charging, discharge. UP: charge, nothing.
    """

    quantity_w: tuple[int, int] = (0, 0)
    cost: tuple[float, float] = (0.0, 0.0)
    why_not: Reason | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One event and what is offered for it. ``rivals`` (places, 3): how many other events could use each step."""

    event: DrEvent
    offers: Sequence[Offer]
    rivals: Steps


@dataclass(frozen=True, slots=True)
class Before:
    """W per place before the event: what is ``given`` to the vehicles, and what they ``take`` of it."""

    given: Watts
    taken: Watts


@dataclass(frozen=True, slots=True)
class Movable:
    """What can be moved for an event under the caps: ``steps`` (places, 3) W in the order of ``rank``, from what is
    ``taken``, upwards (``sign`` 1) or downwards (-1). ``least_w``: per place, the least power that is not zero."""

    taken: Watts
    steps: Steps
    rank: Steps
    least_w: Watts
    sign: int
    is_capped: bool

    @property
    def capacity_w(self) -> int:
        return int(self.steps.sum())

    def moved_by(self, wanted_w: int) -> Watts:
        """W per place once the cheapest steps are moved that come to this much. The marginal vehicle absorbs the
        rounding to the least power."""
        moved = self.taken + self.sign * cheapest(self.steps, self.rank, max(0, wanted_w)).sum(axis=1)
        is_between = (moved > 0) & (moved < self.least_w) & (moved != self.taken)
        return np.where(is_between, np.where(self.sign > 0, self.least_w, 0), moved)


def offer_of(party: Party, power_w: int, event: DrEvent, policies: Policies) -> Offer:
    """What a vehicle at ``power_w`` can do for the event. Only a resource does anything (P4)."""
    if party.evse.use is not Use.RESOURCE or not is_slot_open(party.evse.terms, party.market.now):
        return Offer(why_not=RESTING.get(party.evse.use, Reason.NOT_PERMITTED))
    if party.corridor.uncontrolled_w is not None:
        return Offer(why_not=Reason.NOT_FOLLOWING)
    price = party.price_per_kwh(event, policies)
    cost = sorted_costs(policies.objective.run(party.evse, party.market, event, price))
    bid = Bid(price, cost)
    offer = _up(party, power_w, bid) if event.direction is Direction.UP else _down(party, power_w, bid)
    most_w = most_to_ask_w(party.evse, power_w, event)
    return offer if most_w is None else _within(offer, most_w)


def _within(offer: Offer, most_w: int) -> Offer:
    """Not more than this, the first step first."""
    first, second = offer.quantity_w
    first = min(first, most_w)
    return Offer((first, min(second, most_w - first)), offer.cost, offer.why_not or Reason.NOT_FOLLOWING)


def _up(party: Party, power_w: int, bid: Bid) -> Offer:
    """Charge more."""
    limit_w, reason = raise_limit(party.evse, party.corridor.limits, party.market, bid.price_per_kwh)
    more_w = max(0, _least(limit_w, party.available.charge_w) - power_w)
    return Offer((more_w, 0), bid.cost, None if more_w else reason)


def _down(party: Party, power_w: int, bid: Bid) -> Offer:
    """Stop charging, then discharge. Charging that costs more to shift than the event pays goes on."""
    required_w = party.corridor.required_w
    if power_w > required_w and shift_cost(party.evse, party.market) > bid.price_per_kwh:
        return Offer(why_not=Reason.CHARGING_WITHIN_PRICE)
    discharge_w, why_not = discharge_limit(party.evse, party.corridor.limits, party.market, bid.price_per_kwh)
    discharge_w = 0 if required_w else _least(discharge_w, party.available.discharge_w)
    return Offer((max(0, power_w - required_w), discharge_w), bid.cost, why_not)


def _least(power_w: int, bound_w: int | None) -> int:
    return power_w if bound_w is None else min(power_w, bound_w)


def rivals_of(offers: Sequence[Sequence[Offer]]) -> list[Steps]:
    """Per event (places, 3): how many events after it could use each step; within a vehicle a later step counts as the
    earlier. ``offers``: per event, in the tree's order. What nobody else can use is used first."""
    count = np.zeros((len(offers[0]), 2), dtype=np.int64)
    found: list[Steps] = []
    for own in reversed(offers):
        found.append(np.maximum.accumulate(np.column_stack([count[:, 0], count]), axis=1))
        count = count + (_quantities(own) > 0)
    return found[::-1]


def _quantities(offers: Sequence[Offer]) -> Steps:
    return np.array([offer.quantity_w for offer in offers], dtype=np.int64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Bids:
    """What is offered for one event as (places, 3) W, see ``_steps``, in the order of ``rank``."""

    quantity: Steps
    rank: Steps


def bids_of(parties: Sequence[Party], taken: Watts, ask: Ask) -> Bids:
    """The offers for an event in merit order. ``parties`` and ``offers`` are in the tree's order."""
    quantity, cost = _steps(parties, taken, ask.offers, ask.event.direction)
    ties = _ties(parties, ask.event, np.flatnonzero(quantity.sum(axis=1)))
    return Bids(quantity, merit_order(cost, ties, ask.rivals))


def movable(tree: SiteTree, parties: Sequence[Party], before: Before, ask: Ask) -> Movable:
    """The offers that fit under the caps, the cheapest first."""
    taken, sign = before.taken, sign_of(ask.event.direction)
    bids, least_w = bids_of(parties, taken, ask), least_powers(parties)
    room = rooms(tree, parties, before, ask.event.direction)
    steps = _whole(within_caps(tree, bids.quantity, bids.rank, room), taken, least_w, sign)
    return Movable(taken, steps, bids.rank, least_w, sign, bool((steps < bids.quantity).any()))


def sign_of(direction: Direction) -> int:
    """1 = more flows into the vehicles."""
    return 1 if direction is Direction.UP else -1


def least_powers(parties: Sequence[Party]) -> Watts:
    """Per place, the least power that is not zero."""
    return np.array([party.corridor.minimum_w for party in parties], dtype=np.int64)


def _steps(
    parties: Sequence[Party], powers: Watts, offers: Sequence[Offer], direction: Direction
) -> tuple[Steps, Costs]:
    """(places, 3): the step that uses no room under the caps, then the two that do.

    Stopping a charging that is not metered leaves what a site feeds in as it is.
    """
    given = _quantities(offers)
    cost = np.array([offer.cost for offer in offers], dtype=np.float64).reshape(-1, 2)
    unsure = np.zeros_like(powers)
    if direction is Direction.DOWN:
        unsure = np.minimum(given[:, 0], np.maximum(powers, 0) - _sure_charging(parties, powers))
    quantity = np.column_stack([unsure, given[:, 0] - unsure, given[:, 1]])
    return quantity, np.column_stack([cost[:, 0], cost])


def _sure_charging(parties: Sequence[Party], powers: Watts) -> Watts:
    """What surely flows into the vehicles: a full or slow one takes less than it may, so only the meter counts."""
    metered = np.array([party.evse.observed_w or 0 for party in parties], dtype=np.int64)
    return np.clip(powers, 0, np.maximum(metered, 0))


def _whole(offered: Steps, powers: Watts, step: Watts, sign: int) -> Steps:
    """Caps may cut a step to where the vehicle would get less than the least power: then it offers less."""
    after = powers + sign * offered.sum(axis=1)
    is_between = (after > 0) & (after < step)
    keeps = np.maximum(0, powers - step) if sign < 0 else np.zeros_like(powers)
    whole = offered.copy()
    whole[is_between, 0] = np.minimum(offered[is_between, 0], keeps[is_between])
    whole[is_between, 1] = np.minimum(offered[is_between, 1], keeps[is_between] - whole[is_between, 0])
    whole[is_between, 2] = 0
    return whole


def rooms(tree: SiteTree, parties: Sequence[Party], before: Before, direction: Direction) -> list[int]:
    """W each node's power can still move. Neither a fuse nor an export limit relies on what may stop by itself: a
    discharge that makes room for charging, a charging that is not metered, a station that does not follow, a vehicle
    that takes less than it is given."""
    powers = before.taken
    if direction is Direction.UP:
        reserved = np.array([reserved_w(party.evse) for party in parties], dtype=np.int64)
        load = np.maximum(np.maximum(before.given, powers), 0) + reserved
        return [node.import_limit_w - power for node, power in zip(tree.nodes, tree.sums(load), strict=True)]
    fed = np.array([min(party.evse.uncontrolled_w or 0, 0) for party in parties], dtype=np.int64)
    load = np.minimum(powers, 0) + _sure_charging(parties, powers) + fed
    return [node.export_limit_w + power for node, power in zip(tree.nodes, tree.sums(load), strict=True)]


def _ties(parties: Sequence[Party], event: DrEvent, places: Places) -> Ties:
    """``places``: of those who offer something; the others need no order."""
    offering = [parties[place] for place in places.tolist()]
    last_used_s, laxity = np.zeros(len(parties)), np.zeros(len(parties))
    lots = np.zeros(len(parties), dtype=np.int64)
    last_used_s[places] = [_last_used_s(party.evse) for party in offering]
    laxity[places] = [laxity_h(party) for party in offering]
    lots[places] = [_lot(event, party.evse.ref) for party in offering]
    return Ties(last_used_s, laxity, lots)


def _last_used_s(evse: EvseState) -> float:
    return evse.last_used_at.timestamp() if evse.last_used_at else 0.0


def _lot(event: DrEvent, ref: EvseRef) -> int:
    return crc32(f"{event.id}|{ref.station}/{ref.evse}".encode())


def laxity_h(party: Party) -> float:
    """Hours to departure that are not needed for the required charge."""
    if party.evse.terms.departure_at is None:
        return NO_LIMIT_H
    limits = party.corridor.limits
    need_h = limits.need_wh / limits.charge_w if limits.charge_w else 0.0
    return limits.spare_h - need_h
