"""Merit order: a DR request is met by the cheapest steps first, under the caps of the tree. Reference §6.2-6.3.

For one period this is the optimum of the linear program: the caps are laminar, so cutting the dearest steps bottom-up
loses nothing. Arrays are (places, 3): a vehicle's steps in the tree's order; costs rise within a vehicle. The first
step uses no room under the caps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.tree import SiteTree

Steps = NDArray[np.int64]
Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ties:
    """Order among equal costs, one value per place: least recently used, then most laxity, then a hash."""

    last_used_s: NDArray[np.float64]
    laxity_h: NDArray[np.float64]
    lot: NDArray[np.int64]


def merit_order(cost: Costs, ties: Ties, rivals: Steps) -> NDArray[np.int64]:
    """Rank of every step, 0 = first to be used. ``rivals``: how many other events could use it; it goes before the
    cost, so that one event does not take what only another could use (A11). How much can be moved under the caps is the
    same in any order."""
    places, steps = cost.shape
    keys = (ties.lot, -ties.laxity_h, ties.last_used_s)
    place = np.repeat(np.arange(places), steps)
    step = np.tile(np.arange(steps), places)
    order = np.lexsort((step, place, *(np.repeat(key, steps) for key in keys), cost.ravel(), rivals.ravel()))
    rank = np.empty(places * steps, dtype=np.int64)
    rank[order] = np.arange(places * steps)
    return rank.reshape(places, steps)


def within_caps(tree: SiteTree, quantity: Steps, rank: NDArray[np.int64], room: Sequence[int]) -> Steps:
    """The steps that fit into each node's room (W, one per node of the tree), the dearest cut first."""
    kept, capped, capped_rank = quantity.copy(), quantity[:, 1:].copy(), rank[:, 1:]
    offered = tree.sums(capped.sum(axis=1))
    for node, room_w, offered_w in zip(tree.nodes, room, offered, strict=True):
        span = slice(node.start, node.stop)
        if offered_w > room_w and capped[span].sum() > room_w:
            capped[span] = cheapest(capped[span], capped_rank[span], max(room_w, 0))
    kept[:, 1:] = capped
    return kept


def cheapest(quantity: Steps, rank: NDArray[np.int64], total_w: int) -> Steps:
    """The steps first in rank that sum to ``total_w``, or all of them; the marginal one is used in part."""
    order = np.argsort(rank, axis=None)
    flat = quantity.ravel()[order]
    before = np.cumsum(flat) - flat
    kept = np.empty_like(flat)
    kept[order] = np.clip(total_w - before, 0, flat)
    return kept.reshape(quantity.shape)
