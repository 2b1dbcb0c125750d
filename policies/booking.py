"""Entrusted vehicles behind one fuse book their cheapest hours, the earliest departure first, so that not everybody
waits for the same hour. Requirement P8; mission, must hold 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from csms.domain.snapshot import Use
from policies.corridor import rolled
from policies.feasibility import contended, rooms_w
from policies.pricing import Market
from policies.response import Party
from policies.tree import SiteTree, Watts, follows_setpoints

LONGEST_H = 1.0
"""A stretch at one price is booked in parts of this, so that an early departure gets the first of them."""
FURTHEST = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hours [start_h, end_h) from now. ``room_wh``: what each node of the tree can still take in it; it is used up."""

    start_h: float
    end_h: float
    room_wh: dict[int, float]


def booked_now(tree: SiteTree, parties: Sequence[Party], unavoidable: Watts) -> dict[int, int]:
    """Place -> W that an entrusted vehicle behind a contended fuse takes now; 0 = it waits for an hour it booked."""
    powers = [party.corridor.limits.charge_w if _takes_part(party) else 0 for party in parties]
    charging = np.array(powers, dtype=np.int64)
    fixed = np.where(charging > 0, 0, unavoidable)
    found: dict[int, int] = {}
    for root in contended(tree, charging, fixed):
        places = (np.flatnonzero(charging[root.start : root.stop]) + root.start).tolist()
        room = dict(zip(tree.indices_below(root), rooms_w(tree, root, fixed), strict=True))
        found |= _of_root(tree, parties, places, room)
    return found


def _takes_part(party: Party) -> bool:
    """Entrusted and able to choose, or bound to a required charge that takes room from those who are."""
    return follows_setpoints(party.evse) and (party.corridor.limits.need_wh > 0 or is_entrusted(party))


def is_entrusted(party: Party) -> bool:
    """Its hours are ours to choose (P8)."""
    terms = party.evse.terms
    return terms.entrust and terms.charge and party.evse.use is Use.RESOURCE and party.corridor.limits.most_w > 0


def _of_root(
    tree: SiteTree, parties: Sequence[Party], places: Sequence[int], room_w: dict[int, float]
) -> dict[int, int]:
    markets = {parties[place].area: parties[place].market for place in places}
    entrusted = {place for place in places if is_entrusted(parties[place])}
    if not entrusted:
        return {}
    stretches = _stretches(list(markets.values()), room_w)
    cheapest_first = {area: _cheapest_first(stretches, market) for area, market in markets.items()}
    found: dict[int, int] = {}
    for place in sorted(places, key=lambda place: (_leaves_at(parties[place]), place)):
        party = parties[place]
        if place not in entrusted:
            _book_required(party, tree.ancestors[place], stretches)
            continue
        is_now = _book(party, tree.ancestors[place], cheapest_first[party.area])
        found[place] = party.corridor.limits.most_w if is_now else 0
    return found


def _leaves_at(party: Party) -> datetime:
    return party.evse.terms.departure_at or party.market.now + FURTHEST


def _stretches(markets: Sequence[Market], room_w: dict[int, float]) -> list[Stretch]:
    """From now on, cut at price steps of every area and after an hour."""
    now, most_h = markets[0].now, FURTHEST.total_seconds() / 3600
    steps = {(step.starts_at - now).total_seconds() / 3600 for market in markets for step in market.ahead}
    whole = {hour * LONGEST_H for hour in range(int(most_h / LONGEST_H) + 1)}
    edges = sorted({edge for edge in steps | whole if edge <= most_h})
    return [
        Stretch(start, end, {index: watts * (end - start) for index, watts in room_w.items()})
        for start, end in pairwise(edges)
    ]


def _cheapest_first(stretches: Sequence[Stretch], market: Market) -> list[Stretch]:
    return sorted(stretches, key=lambda stretch: (market.price_in(stretch.start_h), stretch.start_h))


def _book_required(party: Party, above: Sequence[int], in_time: Sequence[Stretch]) -> bool:
    """Book what is required before departure; whether any of it is to flow now."""
    limits = party.corridor.limits
    return _take(in_time, above, limits.charge_w, limits.need_wh, limits.spare_h + party.market.horizon_h)


def _book(party: Party, above: Sequence[int], cheapest_first: Sequence[Stretch]) -> bool:
    """Book the required charge before departure, then the rest; whether any of it is to flow now."""
    limits, now = party.corridor.limits, party.market.now
    is_now = limits.need_wh > 0 and _book_required(party, above, cheapest_first)
    until_h = (rolled(party.evse.terms.departure_at, now) - now).total_seconds() / 3600
    return _take(cheapest_first, above, limits.charge_w, limits.room_wh - limits.need_wh, until_h) or is_now


def _take(stretches: Sequence[Stretch], above: Sequence[int], power_w: int, energy_wh: float, until_h: float) -> bool:
    """Use up the rooms in this order; whether the first stretch of all is among them."""
    is_now = False
    for stretch in stretches:
        if energy_wh <= 1:
            break
        if stretch.start_h >= until_h:
            continue
        room = stretch.room_wh
        taken = min(power_w * (min(stretch.end_h, until_h) - stretch.start_h), energy_wh, *[room[i] for i in above])
        if taken <= 1:
            continue
        energy_wh -= taken
        is_now = is_now or stretch.start_h == 0.0
        for index in above:
            room[index] -= taken
    return is_now
