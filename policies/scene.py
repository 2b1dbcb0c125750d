"""What a decision starts from: every EVSE with its corridor, and the world without events beside the real one. A1."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef
from csms.domain.snapshot import Snapshot, Use, Virtual
from policies.baseline import baseline, parties, party_of, shared, turn_of
from policies.counterfactual import virtual_state, would_take
from policies.plugs import Policies
from policies.pricing import markets
from policies.response import Party
from policies.tree import SiteTree, Watts, site_tree

UNBOUND_W = 10**12


@dataclass(frozen=True, slots=True)
class Scene:
    """What a decision starts from, W per place in the tree's order.

    ``given``: what each is told where no event moves it. ``without``: the counterfactual. ``taken``: the part of both
    that events move: what flows now of what would flow without them. ``areas``: all there are.
    """

    snapshot: Snapshot
    policies: Policies
    tree: SiteTree
    areas: frozenset[AreaId]
    members: tuple[Party, ...]
    events: tuple[DrEvent, ...]
    virtual: Mapping[EvseRef, Virtual]
    given: Watts
    without: Watts
    taken: Watts

    def rolled(self) -> tuple[Virtual, ...]:
        """The counterfactual for the next decision, in the snapshot's order."""
        if not self.virtual:
            return ()
        placed = {self.members[place].evse.ref: power for place, power in enumerate(self.without.tolist())}
        states = (self.virtual.get(evse.ref) for evse in self.snapshot.evses)
        return tuple(_with_power(state, placed[state.evse]) for state in states if state is not None)


def _with_power(state: Virtual, power_w: int) -> Virtual:
    """Spelled out: ``replace`` takes three times as long, and this is done for every EVSE of an event's area."""
    return Virtual(
        evse=state.evse,
        plug_in=state.plug_in,
        frozen_at=state.frozen_at,
        at=state.at,
        energy_wh=state.energy_wh,
        added_wh=state.added_wh,
        power_w=power_w,
    )


def active_events(snapshot: Snapshot) -> tuple[DrEvent, ...]:
    """The events in force now, the most important first, then the first created."""
    active = (event for event in snapshot.events if event.is_active(snapshot.now))
    return tuple(sorted(active, key=importance))


def importance(event: DrEvent) -> tuple[int, datetime, DrEventId]:
    """The smaller, the more important: priority, then age (OpenADR 3; ties by id, so that they are the same always)."""
    return event.priority, event.created_at, event.id


def scene_of(snapshot: Snapshot, policies: Policies) -> Scene:
    """Everybody's corridor, and the two plans without events: by what is now, and by what would be."""
    tree = site_tree(snapshot.sites, snapshot.evses)
    turn = turn_of(tree, snapshot)
    by_area = markets(snapshot)
    members = parties(snapshot, tree, by_area, policies)
    events = active_events(snapshot)
    areas = frozenset(area for area in by_area if any(event.covers(area) for event in events))
    virtual = policies.baseline.run(snapshot, areas) if areas else {}
    twins = _twins(tree, members, virtual, policies)
    would_be_given = baseline(tree, twins, turn)
    given, without = would_be_given, would_be_given
    if areas:
        in_event = np.array([party.area in areas for party in members], dtype=bool)
        without = np.where(in_event, would_take(members, would_be_given, _asking(events, areas)), would_be_given)
        if twins is not members:
            given = baseline(tree, members, turn, _ceiling(members, would_be_given, virtual))
            without = np.where(_is_plain(members), given, without)
    taken = np.minimum(given, np.maximum(without, would_take(members, _required(members))))
    return Scene(
        snapshot, policies, tree, frozenset(by_area), members, events, virtual, given, without, np.minimum(taken, given)
    )


def _asking(events: Sequence[DrEvent], areas: Iterable[AreaId]) -> frozenset[AreaId]:
    """Areas in which a DOWN event runs."""
    down = [event for event in events if event.direction is Direction.DOWN]
    return frozenset(area for area in areas if any(event.covers(area) for event in down))


def _twins(
    tree: SiteTree, members: tuple[Party, ...], virtual: Mapping[EvseRef, Virtual], policies: Policies
) -> tuple[Party, ...]:
    """The same EVSEs in the world without events; the very same tuple where no event has changed anything yet."""
    states = [virtual_state(party.evse, virtual.get(party.evse.ref)) for party in members] if virtual else []
    if all(state is party.evse for state, party in zip(states, members, strict=False)):
        return members
    own = [
        party if state is party.evse else party_of(state, party.area, party.market, policies)
        for state, party in zip(states, members, strict=True)
    ]
    return shared(tree, own)


def _ceiling(members: Sequence[Party], without: Watts, virtual: Mapping[EvseRef, Virtual]) -> Watts:
    """What was given up for an event is not taken back while one lasts, but for a required charge."""
    bounds = [
        max(power, party.corridor.required_w) if party.evse.ref in virtual else UNBOUND_W
        for party, power in zip(members, without.tolist(), strict=True)
    ]
    return np.array(bounds, dtype=np.int64)


def _is_plain(members: Sequence[Party]) -> Watts:
    return np.array([party.evse.use is not Use.RESOURCE for party in members], dtype=bool)


def _required(members: Sequence[Party]) -> Watts:
    return np.array([party.corridor.required_w for party in members], dtype=np.int64)
