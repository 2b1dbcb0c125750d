"""What every EVSE would take without any DR event, under the caps of the tree."""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np

from csms.domain.snapshot import Snapshot, Use
from policies.corridor import corridor
from policies.filling import fill
from policies.pricing import markets
from policies.response import Party
from policies.tree import SiteTree, Watts

TURN_S = 900
"""Where not all can charge at once, the order changes every quarter of an hour."""


def parties(snapshot: Snapshot, tree: SiteTree) -> tuple[Party, ...]:
    """Every EVSE with its market and corridor, in the tree's order."""
    areas = {site.id: site.area for site in snapshot.sites}
    by_area = markets(snapshot)
    return tuple(
        Party(evse, areas[evse.site], market, corridor(evse, market))
        for evse in (snapshot.evses[index] for index in tree.order)
        for market in (by_area[areas[evse.site]],)
    )


def baseline(tree: SiteTree, members: Sequence[Party], snapshot: Snapshot) -> Watts:
    """W per place: first what cannot be avoided, then required charges, then wanted charging, then plain charging.

    Stations that do not follow are counted with what they take and get 0 here.
    """
    taken = _watts(members, lambda party: max(0, party.corridor.uncontrolled_w or 0))
    is_free = _watts(members, lambda party: party.corridor.uncontrolled_w is None).astype(bool)
    step = _watts(members, lambda party: party.corridor.minimum_w)
    turn = _turn(members, snapshot)
    power = np.where(is_free, _watts(members, lambda party: party.corridor.least_w), taken)
    for tier in (_required_w, _wanted_by_resources_w, _wanted_w):
        target = np.where(is_free, np.maximum(power, _watts(members, tier)), power)
        power = fill(tree, power, target, step, turn)
    return np.where(is_free, power, 0)


def _required_w(party: Party) -> int:
    return party.corridor.required_w


def _wanted_by_resources_w(party: Party) -> int:
    return party.corridor.wanted_w if party.evse.use is Use.RESOURCE else 0


def _wanted_w(party: Party) -> int:
    return party.corridor.wanted_w


def _watts(members: Sequence[Party], of: Callable[[Party], int]) -> Watts:
    return np.array([of(party) for party in members], dtype=np.int64)


def _turn(members: Sequence[Party], snapshot: Snapshot) -> list[int]:
    quarter = int(snapshot.now.timestamp()) // TURN_S
    return sorted(range(len(members)), key=lambda place: crc32(f"{quarter}|{members[place].evse.ref}".encode()))
