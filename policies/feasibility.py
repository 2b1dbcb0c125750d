"""Required charges that share a fuse: what must flow now so that all of them are still reached in time. P7.

As late as possible, from the last departure back to now: what does not fit later under the caps must flow now. In each
stretch the vehicles with the most hours still to charge go first; for one fuse that is the latest schedule there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from policies.corridor import stepped_w
from policies.response import Party
from policies.tree import Node, Places, SiteTree, Watts, follows_setpoints, reserved_w

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Needs:
    """Those below one root who need to charge: places in the tree, Wh, W, and the hours they stay after this horizon,
    less the margin."""

    places: Places
    energy_wh: Floats
    power_w: Floats
    spare_h: Floats


@dataclass(frozen=True, slots=True)
class Below:
    """The nodes of one tree over the needy, children before parents: the needy below a node are ``first:last``.

    ``member`` and ``node``: each pair of one of the needy and a node above it, the top one left out.
    """

    first: Places
    last: Places
    room_w: Floats
    member: Places
    node: Places

    def sums(self, quantity: Floats) -> Floats:
        until = np.concatenate([[0.0], np.cumsum(quantity)])
        sums: Floats = until[self.last] - until[self.first]
        return sums


def required_under_caps(tree: SiteTree, parties: Sequence[Party], unavoidable: Watts) -> dict[int, int]:
    """Place -> W that must flow now, where fuses make it more than the vehicle's own time would.

    ``unavoidable``: see there.
    """
    charging = np.array([_needing_w(party) for party in parties], dtype=np.int64)
    fixed = np.where(charging > 0, 0, unavoidable)
    found: dict[int, int] = {}
    for root in contended(tree, charging, fixed):
        needs = needs_of(parties, np.flatnonzero(charging[root.start : root.stop]) + root.start)
        left_wh = _left_after(tree.below(root), needs, rooms_w(tree, root, fixed))
        for place, lacking_wh in zip(needs.places.tolist(), left_wh.tolist(), strict=True):
            party = parties[place]
            found[place] = max(party.corridor.required_w, stepped_w(party.corridor.limits, party.market, lacking_wh))
    return found


def contended(tree: SiteTree, charging: Watts, fixed: Watts) -> list[Node]:
    """The roots under which not all that might charge (W per place) can do so at once. ``fixed``: what flows whatever
    is decided, at the others."""
    if not charging.any():
        return []
    sums = tree.sums(charging + fixed)
    over = (node for node, total in zip(tree.nodes, sums, strict=True) if total > node.import_limit_w)
    return list(dict.fromkeys(tree.root_of(node) for node in over))


def unavoidable_w(parties: Sequence[Party]) -> Watts:
    """What flows at each whatever is decided."""
    return np.array([max(reserved_w(party.evse), party.corridor.least_w) for party in parties], dtype=np.int64)


def rooms_w(tree: SiteTree, root: Node, fixed: Watts) -> list[float]:
    """W for those who might charge in each node of ``tree.below(root)``."""
    return [max(0.0, float(node.import_limit_w - node.sum_of(fixed))) for node in tree.below(root)]


def needs_of(parties: Sequence[Party], places: Places) -> Needs:
    """The required charges at these places."""
    limits = [parties[place].corridor.limits for place in places.tolist()]
    return Needs(
        places=places,
        energy_wh=np.array([each.need_wh for each in limits]),
        power_w=np.array([float(each.charge_w) for each in limits]),
        spare_h=np.array([each.spare_h for each in limits]),
    )


def _needing_w(party: Party) -> int:
    limits = party.corridor.limits
    return limits.charge_w if limits.need_wh > 0 and follows_setpoints(party.evse) else 0


def _left_after(nodes: Sequence[Node], needs: Needs, room_w: Sequence[float]) -> Floats:
    """Wh of each that find no place after this horizon."""
    left_wh = needs.energy_wh.copy()
    below = _below(nodes, needs.places, room_w)
    edges = _edges_h(float(needs.spare_h.max(initial=0.0)))
    for start, end in reversed(list(pairwise(edges))):
        hours = end - start
        staying = np.clip((needs.spare_h - start) / hours, 0.0, 1.0)
        offered = np.minimum(needs.power_w * staying, left_wh / hours)
        left_wh = left_wh - hours * _within(below, offered, _most_hours_first(below, needs, left_wh))
    return left_wh


def _below(nodes: Sequence[Node], places: Places, room_w: Sequence[float]) -> Below:
    first = np.searchsorted(places, [node.start for node in nodes])
    last = np.searchsorted(places, [node.stop for node in nodes])
    under_top = range(len(nodes) - 1)
    member = [np.arange(first[node], last[node]) for node in under_top]
    return Below(
        first=first,
        last=last,
        room_w=np.array(room_w),
        member=np.concatenate([*member, np.empty(0, dtype=np.int64)]),
        node=np.repeat(np.arange(len(nodes) - 1), (last - first)[:-1]),
    )


def _most_hours_first(below: Below, needs: Needs, left_wh: Floats) -> Places:
    """By the hours that a vehicle needs, or a fuse that it shares with others below the top one."""
    own_h = left_wh / np.maximum(needs.power_w, 1.0)
    shared_h = below.sums(left_wh) / np.maximum(below.room_w, 1.0)
    hours = own_h.copy()
    np.maximum.at(hours, below.member, shared_h[below.node])
    return np.lexsort((-own_h, -hours))


def _edges_h(until_h: float) -> list[float]:
    """Quarters of an hour first, then longer stretches."""
    edges = [0.0]
    while edges[-1] < until_h:
        step = 0.25 if edges[-1] < 4 else 0.5 if edges[-1] < 12 else 1.0 if edges[-1] < 36 else 12.0
        edges.append(min(edges[-1] + step, until_h))
    return edges


def _within(below: Below, offered_w: Floats, order: Places) -> Floats:
    """As much of the offers as fits into each node's room, those first in ``order`` first."""
    kept = offered_w.copy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    for node in np.flatnonzero(below.sums(offered_w) > below.room_w).tolist():
        first, last, room = below.first[node], below.last[node], below.room_w[node]
        if kept[first:last].sum() <= room:
            continue
        inside = first + np.argsort(rank[first:last])
        before = np.cumsum(kept[inside]) - kept[inside]
        kept[inside] = np.clip(room - before, 0.0, kept[inside])
    return kept
