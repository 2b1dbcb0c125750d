"""The world without the events that run: frozen when the first of them starts, and rolled forward by its own plan.

A state that the event has changed says nothing about what would have happened: a vehicle that was discharged would
seem to have been stopped from charging. So each vehicle has a virtual twin (V2G, ADR 7).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, EvseRef, PlugInId
from csms.domain.snapshot import EvseState, Snapshot, Use, Virtual
from policies.limits import battery_of, charge_power_w
from policies.response import Party
from policies.tree import Watts

SEEN_H = 0.25
"""So long a vehicle that tells no state of charge must have charged at its power to be believed: one that is almost
full stops within that time."""


def frozen(snapshot: Snapshot, areas: frozenset[AreaId]) -> Mapping[EvseRef, Virtual]:
    """Every permitted plug-in in these areas as it would be now: rolled on from where the last decision left it, or
    begun as it really is. It ends with the plug-in and with the last event of its area."""
    area_of = {site.id: site.area for site in snapshot.sites}
    return {
        evse.ref: _now(snapshot, evse, evse.plug_in)
        for evse in snapshot.evses
        if evse.plug_in is not None and evse.use is Use.RESOURCE and area_of[evse.site] in areas
    }


def goes_on(virtual: Virtual, area: AreaId, events: Iterable[DrEvent], now: datetime) -> bool:
    """Whether events of its area have run all the time from the last decision until now. Where none did for a while,
    as while the server was away, a new event finds the vehicle as it really is."""
    until = virtual.at
    for event in sorted(events, key=lambda event: event.starts_at):
        if event.covers(area) and event.starts_at <= until:
            until = max(until, event.stops_at)
    return until >= now


def _now(snapshot: Snapshot, evse: EvseState, plug_in: PlugInId) -> Virtual:
    last = snapshot.virtual.get(evse.ref)
    if last is None or last.plug_in != plug_in or is_unseen(evse):
        return _begun(snapshot, evse, plug_in)
    battery = battery_of(evse)
    flowed_wh = last.power_w * max(0.0, (snapshot.now - last.at).total_seconds()) / 3600
    content_wh = last.energy_wh + flowed_wh * battery.charge_efficiency
    return Virtual(
        evse=last.evse,
        plug_in=plug_in,
        frozen_at=last.frozen_at,
        at=max(snapshot.now, last.at),
        energy_wh=min(content_wh, max(last.energy_wh, battery.capacity_wh)),
        added_wh=last.added_wh + flowed_wh,
        power_w=last.power_w,
    )


def _begun(snapshot: Snapshot, evse: EvseState, plug_in: PlugInId) -> Virtual:
    return Virtual(
        evse=evse.ref,
        plug_in=plug_in,
        frozen_at=snapshot.now,
        at=snapshot.now,
        energy_wh=battery_of(evse).energy_wh,
        added_wh=evse.added_wh,
        power_w=0,
    )


def virtual_state(evse: EvseState, virtual: Virtual | None) -> EvseState:
    """The EVSE as it would be without the events: the same user, place and limits, another energy. What it can still
    take ends with its battery, told or not."""
    battery = battery_of(evse)
    if virtual is None or (virtual.energy_wh == battery.energy_wh and virtual.added_wh == evse.added_wh):
        return evse
    battery = replace(battery, energy_wh=virtual.energy_wh, is_told=True)
    return replace(evse, battery=battery, added_wh=virtual.added_wh)


def is_unseen(evse: EvseState) -> bool:
    """It told no state of charge and has not charged long enough to show that it is not full."""
    return not battery_of(evse).is_told and evse.added_wh < SEEN_H * charge_power_w(evse)


def would_take(parties: Sequence[Party], given: Watts, doubted: frozenset[AreaId] = frozenset()) -> Watts:
    """What vehicles take of what they are given: no more than they were seen to take outside any event.

    ``doubted``: areas in which power is asked for. There a vehicle that told no state of charge has nothing to stop
    before it was seen to charge: it may be full.
    """
    pairs = zip(parties, given.tolist(), strict=True)
    return np.array([min(power, _most_taken_w(party, power, doubted)) for party, power in pairs], dtype=np.int64)


def _most_taken_w(party: Party, given_w: int, doubted: frozenset[AreaId]) -> int:
    evse = party.evse
    if evse.use is not Use.RESOURCE:
        return given_w
    if party.area in doubted and is_unseen(evse):
        return 0
    return given_w if evse.drawn_w is None else evse.drawn_w
