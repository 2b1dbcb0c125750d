"""Several DR events of one direction: which watts of which vehicle move for which of them. A11; reference §6.3.

Watts flow from an event over the steps of vehicles and the fuses above them. Events are served in order of importance.
One that falls short looks for a path on which earlier ones move to other vehicles; they lose nothing by it. So each
event gets the most that it can have beside the more important ones, and all together no less than in any other order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from policies.merit import Steps, cheapest, within_caps
from policies.tree import SiteTree

MOST_STEPS = 1_000_000
"""That a decision looks at in its searches, so that it ends in time: 330 searches over 1,000 EVSEs, each about 5 ms. An
event that is still short after them says so."""
FEWEST_PATHS = 10
COLUMNS = 3
_NONE = -1
_TOP = -1

Numbers = NDArray[np.int64]
Hop = tuple[int, int, int]
"""(event, step, 1 = it takes more of the step, -1 = it leaves some)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One event: what it may use (places, 3) in the order of ``rank``, and how many W it wants."""

    quantity: Steps
    rank: Steps
    wanted_w: int


@dataclass(slots=True)
class Trail:
    """Where a search came from. Steps are numbered over (places, 3); ``step`` names events, and nodes after them;
    ``node`` names a node below, or a step as its negative less two."""

    step: Numbers
    event: dict[int, int] = field(default_factory=dict)
    node: dict[int, int] = field(default_factory=dict)


class Flow:
    """``used`` (events, places, 3): W that each event moves; ``room``: W that each node of the tree can still take. The
    first step of a vehicle takes no room."""

    def __init__(self, tree: SiteTree, room: Sequence[int], wishes: Sequence[Wish]) -> None:
        self._tree = tree
        self._wishes = wishes
        self._parent, self._lowest = _parents(tree), np.array([above[0] for above in tree.ancestors], dtype=np.int64)
        self._all_room = np.array(room, dtype=np.int64)
        self._may: Numbers = np.array([wish.quantity for wish in wishes], dtype=np.int64)
        self._size: Steps = self._may.max(axis=0)
        self._paths_left = max(FEWEST_PATHS, MOST_STEPS // max(self._size.size, 1))
        self.used = np.zeros_like(self._may)

    @property
    def total(self) -> Steps:
        total: Steps = self.used.sum(axis=0)
        return total

    def room(self) -> Numbers:
        taken = self._tree.sums(self.total[:, 1:].sum(axis=1))
        left: Numbers = self._all_room - np.array(taken, dtype=np.int64)
        return left

    def offered(self, number: int) -> Steps:
        """What is left for an event, whatever the caps."""
        left: Steps = np.minimum(self._wishes[number].quantity, self._size - self.total)
        return left

    def serve(self, number: int) -> tuple[int, bool]:
        """Serve one event; all before it keep what they have. W that could be moved for it, and whether a cap was in
        the way."""
        wish, left = self._wishes[number], self.offered(number)
        kept = within_caps(self._tree, left, wish.rank, self.room().tolist())
        self.used[number] += cheapest(kept, wish.rank, max(0, wish.wanted_w))
        short = wish.wanted_w - int(self.used[number].sum())
        while short > 0 and self._paths_left > 0 and (moved := self._push(number, short)):
            self._paths_left -= 1
            short -= moved
        return max(int(kept.sum()), int(self.used[number].sum())), bool((kept < left).any())

    def _push(self, number: int, most_w: int) -> int:
        """Push more along a path from the event to room at the top; 0 = there is none."""
        room, spare = self.room(), (self._size - self.total).ravel()
        trail = Trail(np.full(spare.size, _NONE, dtype=np.int64))
        end = self._search(number, trail, room, spare)
        if end is None:
            return 0
        hops, bounds = self._back(number, trail, end, room, spare)
        power = min(most_w, *bounds)
        flat = self.used.reshape(len(self._wishes), -1)
        for event, step, sign in hops:
            flat[event, step] += sign * power
        return power

    def _search(self, number: int, trail: Trail, room: Numbers, spare: Numbers) -> int | None:
        """Breadth first; the node or step (see ``Trail.node``) at which the way out is."""
        used, may = self.used.reshape(len(self._wishes), -1), self._may.reshape(len(self._wishes), -1)
        flows = self.total.ravel() > 0
        queue = [number]
        for event in queue:
            reached = np.flatnonzero((may[event] > used[event]) & (trail.step == _NONE))
            trail.step[reached] = event
            while reached.size:
                free = reached[spare[reached] > 0]
                out = free[free % COLUMNS == 0]
                if out.size:
                    return -int(out[0]) - 2
                held = used[:, reached] > 0
                for other in np.flatnonzero(held.any(axis=1)).tolist():
                    if other != number and other not in trail.event:
                        trail.event[other] = int(reached[int(held[other].argmax())])
                        queue.append(other)
                below: list[Numbers] = []
                for node in self._climbed(trail, free, room):
                    if node == _TOP:
                        return next(reversed(trail.node))
                    below.append(self._below(trail, node, flows))
                reached = np.concatenate([*below, reached[:0]])
        return None

    def _climbed(self, trail: Trail, steps: Numbers, room: Numbers) -> Iterator[int]:
        """The nodes that are reached from steps with spare power: each up to the first full one, or past the top."""
        nodes, first = np.unique(self._lowest[steps // COLUMNS], return_index=True)
        for lowest, index in zip(nodes.tolist(), first.tolist(), strict=True):
            node, came_from = lowest, -int(steps[index]) - 2
            while node not in trail.node:
                trail.node[node] = came_from
                if room[node] > 0 and self._parent[node] == _TOP:
                    yield _TOP
                yield node
                if room[node] <= 0:
                    break
                node, came_from = self._parent[node], node

    def _below(self, trail: Trail, node: int, flows: NDArray[np.bool_]) -> Numbers:
        """The steps under a node that may make room for another, once each."""
        numbers = np.arange(self._tree.nodes[node].start * COLUMNS, self._tree.nodes[node].stop * COLUMNS)
        new: Numbers = numbers[flows[numbers] & (numbers % COLUMNS > 0) & (trail.step[numbers] == _NONE)]
        trail.step[new] = len(self._wishes) + node
        return new

    def _back(self, number: int, trail: Trail, end: int, room: Numbers, spare: Numbers) -> tuple[list[Hop], list[int]]:
        """What changes along the way, and what bounds it, from the end to the event."""
        used, may = self.used.reshape(len(self._wishes), -1), self._may.reshape(len(self._wishes), -1)
        hops: list[Hop] = []
        bounds: list[int] = []
        at, goes_up = end, True
        while True:
            while at >= 0:
                bounds += [int(room[at])] if goes_up else []
                at, goes_up = trail.node[at], True
            step = -at - 2
            bounds.append(int(spare[step]))
            while (source := int(trail.step[step])) < len(self._wishes):
                hops.append((source, step, 1))
                bounds.append(int(may[source, step] - used[source, step]))
                if source == number:
                    return hops, bounds
                step = trail.event[source]
                hops.append((source, step, -1))
                bounds.append(int(used[source, step]))
            at, goes_up = source - len(self._wishes), False


def _parents(tree: SiteTree) -> list[int]:
    """The index of each node's parent; the top has none."""
    parents = [_TOP] * len(tree.nodes)
    for above in set(tree.ancestors):
        for node, parent in pairwise(above):
            parents[node] = parent
    return parents
