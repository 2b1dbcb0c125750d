"""The tree of sites as spans over the EVSEs, so that one subtree is one slice of an array. Reference §6.3."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csms.domain.ids import SiteId
from csms.domain.snapshot import EvseState, Site

Watts = NDArray[np.int64]
"""One power per EVSE, in the order of the tree."""
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Node:
    """One site: the EVSEs below it are ``start:stop`` of the tree's order."""

    id: SiteId
    start: int
    stop: int
    import_limit_w: int
    export_limit_w: int

    def sum_of(self, powers: Watts) -> int:
        return int(powers[self.start : self.stop].sum())


@dataclass(frozen=True, slots=True)
class SiteTree:
    """``order``: for each place in the tree, the EVSE's index in the snapshot. ``nodes``: children before parents,
    only those with an EVSE below; ``starts`` and ``stops``: theirs. ``ancestors[place]``: indices of its nodes."""

    order: tuple[int, ...]
    nodes: tuple[Node, ...]
    ancestors: tuple[tuple[int, ...], ...]
    starts: Places
    stops: Places

    def indices_below(self, root: Node) -> range:
        """The nodes of the tree with this top, children before parents: they follow each other."""
        top = first = self.ancestors[root.start][-1]
        while first > 0 and self.nodes[first - 1].start >= root.start:
            first -= 1
        return range(first, top + 1)

    def below(self, root: Node) -> tuple[Node, ...]:
        """A top node with all below it, children before parents."""
        indices = self.indices_below(root)
        return self.nodes[indices.start : indices.stop]

    def root_of(self, node: Node) -> Node:
        """The node at the top of its tree."""
        return self.nodes[self.ancestors[node.start][-1]]

    def sums(self, powers: Watts) -> list[int]:
        """Power of each node with all below it."""
        until = np.concatenate([[0], np.cumsum(powers)])
        sums: list[int] = (until[self.stops] - until[self.starts]).tolist()
        return sums


def reserved_w(evse: EvseState) -> int:
    """What the fuses are kept free for: drawn or possible whatever it is told (it does not follow, or is out of reach,
    plugged in or not)."""
    return max(0, evse.reserved_w, evse.uncontrolled_w or 0)


def follows_setpoints(evse: EvseState) -> bool:
    """What it is told reaches it and is kept."""
    return evse.uncontrolled_w is None and evse.reserved_w <= 0


def site_tree(sites: Sequence[Site], evses: Sequence[EvseState]) -> SiteTree:
    """The tree over these EVSEs. Raises KeyError for an EVSE at a site that is not given."""
    by_id = {site.id: site for site in sites}
    children: dict[SiteId | None, list[SiteId]] = {}
    for site in sites:
        children.setdefault(site.parent, []).append(site.id)
    members: dict[SiteId, list[int]] = {site.id: [] for site in sites}
    for index, evse in enumerate(evses):
        members[evse.site].append(index)
    order: list[int] = []
    nodes: list[Node] = []
    for root in children.get(None, []):
        _visit(root, by_id, children, members, (order, nodes))
    return SiteTree(
        order=tuple(order),
        nodes=tuple(nodes),
        ancestors=_ancestors(nodes, len(order)),
        starts=np.array([node.start for node in nodes], dtype=np.int64),
        stops=np.array([node.stop for node in nodes], dtype=np.int64),
    )


def _visit(
    site: SiteId,
    by_id: Mapping[SiteId, Site],
    children: Mapping[SiteId | None, list[SiteId]],
    members: Mapping[SiteId, list[int]],
    found: tuple[list[int], list[Node]],
) -> None:
    order, nodes = found
    start = len(order)
    order.extend(members[site])
    for child in children.get(site, []):
        _visit(child, by_id, children, members, found)
    if len(order) > start:
        limits = by_id[site]
        nodes.append(Node(site, start, len(order), limits.import_limit_w, limits.export_limit_w))


def _ancestors(nodes: Sequence[Node], count: int) -> tuple[tuple[int, ...], ...]:
    above: list[list[int]] = [[] for _ in range(count)]
    for index, node in enumerate(nodes):
        for place in range(node.start, node.stop):
            above[place].append(index)
    return tuple(map(tuple, above))
