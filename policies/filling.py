"""Charging power under the caps of the tree: who is served first, and how the rest is shared."""

from collections.abc import Sequence
from itertools import compress

import numpy as np

from policies.tree import Node, SiteTree, Watts


def fill(tree: SiteTree, used: Watts, target: Watts, step: Watts, turn: Sequence[int]) -> Watts:
    """Raise ``used`` towards ``target`` (>= used where it differs) as far as the import limits allow, evenly.

    All arrays are W in the tree's order. A vehicle gets 0 or at least its ``step``; when not all can have theirs, those
    first in ``turn`` (places in the tree) do. What is full is full to the last watt.
    """
    if not _overloaded(tree, target):
        return target
    least = _admitted(tree, used, target, step, turn)
    level = np.where(least > 0, target, least)
    for node in _overloaded(tree, level):
        if node.sum_of(level) > node.import_limit_w:  # not any more, when a node below it was
            _lower(level, least, node)
    return level


def _overloaded(tree: SiteTree, powers: Watts) -> list[Node]:
    return [node for node, power in zip(tree.nodes, tree.sums(powers), strict=True) if power > node.import_limit_w]


def _admitted(tree: SiteTree, used: Watts, target: Watts, step: Watts, turn: Sequence[int]) -> Watts:
    """What each has at least: what it had, or its first step where there is room for it."""
    needs = np.where((used <= 0) & (target > 0), np.minimum(step, target), 0)
    least = np.where(needs > 0, needs, used)
    room = [node.import_limit_w - power for node, power in zip(tree.nodes, tree.sums(used), strict=True)]
    tight = [need > room[index] for index, need in enumerate(tree.sums(needs))]
    doubtful = np.zeros(len(used), dtype=bool)
    for node in compress(tree.nodes, tight):
        doubtful[node.start : node.stop] = True
    open_needs = np.where(doubtful, needs, 0).tolist()
    for place in turn:
        need = open_needs[place]
        if need == 0:
            continue
        above = [index for index in tree.ancestors[place] if tight[index]]
        if all(room[index] >= need for index in above):
            for index in above:
                room[index] -= need
        else:
            least[place] = used[place]
    return least


def _lower(level: Watts, least: Watts, node: Node) -> None:
    """Cut a node's powers to one water level, but none below its least, so that they sum to the limit."""
    span = slice(node.start, node.stop)
    low, high = least[span], level[span]
    limit = node.import_limit_w
    if int(low.sum()) >= limit:
        level[span] = low
        return
    cut = np.clip(_water_level(low, high, limit), low, high)
    spare = limit - int(cut.sum())
    cut[np.flatnonzero(cut < high)[:spare]] += 1
    level[span] = cut


def _water_level(low: Watts, high: Watts, limit: int) -> int:
    """The greatest whole level with sum(clip(level, low, high)) <= limit; the sum is linear between the edges."""
    edges = np.concatenate([low, high])
    slope_change = np.concatenate([np.ones_like(low), -np.ones_like(high)])
    order = np.argsort(edges, kind="stable")
    edges, slope = edges[order], np.cumsum(slope_change[order])
    total = low.sum() + np.concatenate([[0], np.cumsum(slope[:-1] * np.diff(edges))])
    at = int(np.searchsorted(total, limit, side="right")) - 1
    return int(edges[at] + (limit - total[at]) // max(int(slope[at]), 1))
