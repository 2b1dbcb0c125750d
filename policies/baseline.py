"""What every EVSE would take without any DR event, under the caps of the tree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from csms.domain.decision import Reason
from csms.domain.ids import AreaId, EvseRef
from csms.domain.snapshot import EvseState, Snapshot, Use
from policies.booking import booked_now
from policies.compliance import tolerance_w
from policies.corridor import Corridor, corridor
from policies.feasibility import required_under_caps, unavoidable_w
from policies.filling import fill
from policies.plugs import Available, Policies
from policies.pricing import Market
from policies.response import Party
from policies.tree import SiteTree, Watts, follows_setpoints, reserved_w

TURN_S = 900
"""Where not all can charge at once, the order changes every quarter of an hour."""


def parties(
    snapshot: Snapshot, tree: SiteTree, markets: Mapping[AreaId, Market], policies: Policies
) -> tuple[Party, ...]:
    """Every EVSE with its market, its bounds and its corridor, in the tree's order."""
    areas = {site.id: site.area for site in snapshot.sites}
    members = [
        party_of(evse, areas[evse.site], markets[areas[evse.site]], policies)
        for evse in (snapshot.evses[index] for index in tree.order)
    ]
    return shared(tree, members)


def party_of(evse: EvseState, area: AreaId, market: Market, policies: Policies) -> Party:
    """One EVSE as if it had its fuses for itself."""
    available = policies.available(evse, market.now) if policies.availability else Available()
    return Party(evse, area, market, _bounded(corridor(evse, market), available), available)


def _bounded(own: Corridor, available: Available) -> Corridor:
    """Less wanted where the EVSE is not available; what is required stays (P7)."""
    if available.charge_w is None or own.wanted_w <= available.charge_w:
        return own
    wanted_w = available.charge_w if available.charge_w >= own.minimum_w else 0
    return replace(own, wanted_w=max(wanted_w, own.required_w), reasons=(*own.reasons, Reason.NOT_PERMITTED))


def shared(tree: SiteTree, members: Sequence[Party]) -> tuple[Party, ...]:
    """With what shared fuses demand: required charges in time for all, booked hours for those who entrust theirs."""
    unavoidable = unavoidable_w(members)
    required, booked = required_under_caps(tree, members, unavoidable), booked_now(tree, members, unavoidable)
    if not required and not booked:
        return tuple(members)
    return tuple(_under_caps(party, required.get(place), booked.get(place)) for place, party in enumerate(members))


def _under_caps(party: Party, required_w: int | None, booked_w: int | None) -> Party:
    own = party.corridor
    must = max(own.required_w, required_w or 0)
    wanted, reasons = own.wanted_w, own.reasons
    if booked_w is not None:
        is_waiting = booked_w == 0
        bound_w = booked_w if party.available.charge_w is None else min(booked_w, party.available.charge_w)
        wanted = 0 if bound_w < own.minimum_w else bound_w
        reasons = (Reason.CHEAPER_LATER,) if is_waiting else (Reason.CHARGING_WITHIN_PRICE,)
    if must > own.least_w and Reason.REQUIRED_CHARGE not in reasons:
        reasons = (Reason.REQUIRED_CHARGE, *reasons)
    if must == own.required_w and wanted == own.wanted_w:
        return party
    return replace(party, corridor=replace(own, required_w=must, wanted_w=max(wanted, must), reasons=reasons))


def baseline(tree: SiteTree, members: Sequence[Party], turn: Sequence[int], ceiling: Watts | None = None) -> Watts:
    """W per place: first what cannot be avoided, then required charges, then wanted charging, then plain charging.

    Where a fuse is short, a vehicle that was seen to take less than its limit gets little more than it takes, until
    all others have theirs. Stations that do not follow, or are out of reach, are counted with what they may take and
    get 0 here. ``ceiling``: nobody wants more than this, but what is required. ``turn``: see ``turn_of``.
    """
    is_free = np.array([follows_setpoints(party.evse) for party in members], dtype=bool)
    step = _watts(party.corridor.minimum_w for party in members)
    power = _watts(
        party.corridor.least_w if free else reserved_w(party.evse)
        for party, free in zip(members, is_free.tolist(), strict=True)
    )
    for target in _tiers(members, ceiling):
        power = fill(tree, power, np.where(is_free, np.maximum(power, target), power), step, turn)
    return np.where(is_free, power, 0)


def _tiers(members: Sequence[Party], ceiling: Watts | None) -> tuple[Watts, ...]:
    """W per place that are wanted, the most important first: the required charges (before all those that can wait no
    longer: what a fuse makes urgent for one is not taken from another's last chance), those of resources, all that were
    seen to be taken, all."""
    seen, required = _watts(map(_seen_w, members)), _watts(party.corridor.required_w for party in members)
    wanted, due = _watts(party.corridor.wanted_w for party in members), _watts(p.corridor.due_w for p in members)
    is_resource = np.array([party.evse.use is Use.RESOURCE for party in members], dtype=bool)
    seen_wanted = np.minimum(wanted, seen)
    tiers = (np.where(is_resource, seen_wanted, 0), seen_wanted, wanted)
    bounded = tiers if ceiling is None else tuple(np.minimum(tier, ceiling) for tier in tiers)
    return (np.minimum(due, seen), np.minimum(required, seen), *bounded)


def _seen_w(party: Party) -> int:
    """What a vehicle may want by what it was seen to take: enough above it to show that it takes more again."""
    drawn = party.evse.drawn_w
    if drawn is None:
        return party.corridor.wanted_w
    return max(party.corridor.minimum_w, party.corridor.least_w, round(drawn + 2 * tolerance_w(drawn)))


def _watts(powers: Iterable[int]) -> Watts:
    return np.array(list(powers), dtype=np.int64)


def turn_of(tree: SiteTree, snapshot: Snapshot) -> list[int]:
    """The places in the order in which they are served where not all can charge at once."""
    quarter = int(snapshot.now.timestamp()) // TURN_S
    lots = [_lot(quarter, snapshot.evses[index].ref) for index in tree.order]
    return sorted(range(len(lots)), key=lots.__getitem__)


def _lot(quarter: int, ref: EvseRef) -> int:
    return crc32(f"{quarter}|{ref.station}/{ref.evse}".encode())
