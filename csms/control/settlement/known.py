"""All that is stored about the plug-ins of a time, as settlement and reports need it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from csms.domain.benefit import BenefitGrant
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, SiteId, StationId
from csms.domain.ledger import LedgerEntry
from csms.domain.metering import StoredReading
from csms.domain.people import Vehicle
from csms.domain.permission import PlugIn
from csms.domain.station import Station
from csms.store import Store, reads
from policies.flows import Flow, Known, Piece, flows_of
from policies.fullness import Meter, limited, room_of
from policies.in_force import InForce, in_force
from policies.meter import UNRATED_W
from policies.unconfirmed import possible_discharges

STILL_POSSIBLE = timedelta(minutes=15)
"""No setpoint is valid for longer, and none is followed for longer than that after its end (``unconfirmed``)."""

Made = TypeVar("Made", LedgerEntry, BenefitGrant)
FOR_EVER = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """``areas``: of each EVSE at a site that the configuration names; its own site goes before its station's, which
    stands for the EVSEs that nobody provisioned too (``stations``). ``rated_w``: the most power that each provisioned
    EVSE can pass: registers that move faster have jumped."""

    areas: Mapping[EvseRef, AreaId]
    stations: Mapping[StationId, AreaId]
    rated_w: Mapping[EvseRef, int]

    @staticmethod
    def of(stations: Iterable[Station], areas: Mapping[SiteId, AreaId]) -> "Places":
        found = list(stations)
        return Places(
            areas={evse.ref: areas[evse.site] for station in found for evse in station.evses if evse.site in areas},
            stations={station.id: areas[station.site] for station in found if station.site in areas},
            rated_w={
                evse.ref: max(evse.ratings.max_charge_w, evse.ratings.max_discharge_w)
                for station in found
                for evse in station.evses
            },
        )

    def area_of(self, evse: EvseRef) -> AreaId | None:
        return self.areas.get(evse, self.stations.get(evse.station))

    def max_w(self, evse: EvseRef) -> int:
        return self.rated_w.get(evse, UNRATED_W)


async def known_of(
    store: Store, places: Places, start: datetime, end: datetime, around: tuple[datetime, datetime]
) -> list[tuple[AreaId, Known]]:
    """Every plug-in with a user, who is not guessed, at a known place in [start, end), with the area whose prices it is
    settled by.
    ``around``: the whole market intervals of it."""
    found = await store.read(partial(reads.plug_ins, since=start, until=end))
    areas = await areas_of(store, places, found)
    plug_ins = [each for each in found if each.user is not None and not each.is_guess and each.id in areas]
    if not plug_ins:
        return []
    histories = await store.read(partial(reads.permission_histories, plug_ins=[each.id for each in plug_ins]))
    sent = await _setpoints(store, start - STILL_POSSIBLE, end)
    lapsed = await _lapsed(store, plug_ins, start, end)
    setpoints = {
        each.id: [*lapsed.get(each.id, ()), *(record for record in sent.get(each.id, ()) if record.expires_at > start)]
        for each in plug_ins
    }
    events = await _events(store, setpoints.values())
    known: list[tuple[AreaId, Known]] = []
    for plug_in in plug_ins:
        spans = in_force(setpoints[plug_in.id], plug_in.id, events)
        max_w = places.max_w(plug_in.evse)
        if plug_in.soc_percent is None and any(span.record.event for span in spans):
            spans = await limited_of(store, plug_in, max_w)
        of_it = Known(
            plug_in=plug_in,
            history=histories[plug_in.id],
            readings=await _readings(store, plug_in, *around),
            max_w=max_w,
            in_force=spans,
            possible=possible_discharges(sent.get(plug_in.id, []), plug_in.id),
            events=events,
        )
        known.append((areas[plug_in.id], of_it))
    return known


async def areas_of(store: Store, places: Places, plug_ins: Sequence[PlugIn]) -> dict[PlugInId, AreaId]:
    """The area of each plug-in at a known place: once something of it is booked, the one it was booked by, wherever its
    EVSE is counted now."""
    frozen = await store.read(partial(reads.settled_areas, plug_ins=[each.id for each in plug_ins]))
    now = {each.id: area for each in plug_ins if (area := places.area_of(each.evse)) is not None}
    return now | frozen


async def at_known_places(
    store: Store, places: Places, made: Mapping[str, Sequence[Made]]
) -> dict[str, Sequence[Made]]:
    """What was booked or granted, by cause, but that of places that have no area any more: that the configuration does
    not know a place now takes nothing back."""
    frozen = await store.read(
        partial(reads.settled_areas, plug_ins=sorted({each[0].plug_in for each in made.values()}))
    )
    return {
        cause: each
        for cause, each in made.items()
        if each[0].plug_in in frozen or places.area_of(each[0].evse) is not None
    }


async def limited_of(store: Store, plug_in: PlugIn, max_w: int) -> tuple[InForce, ...]:
    """All setpoints of a plug-in whose state of charge nobody told, with what it could have taken."""
    end = plug_in.unplugged_at or FOR_EVER
    records = await store.read(partial(reads.setpoints, evse=plug_in.evse, start=plug_in.plugged_at, end=end))
    readings = await store.read(partial(reads.metered, evse=plug_in.evse, start=plug_in.plugged_at, end=end))
    events = await _events(store, [records])
    vehicles = await store.read(partial(reads.vehicles_by_id, ids=[plug_in.vehicle] if plug_in.vehicle else []))
    spans = in_force(records, plug_in.id, events)
    meter = Meter(evse=plug_in.evse, plugged_at=plug_in.plugged_at, readings=readings, max_w=max_w)
    return await asyncio.to_thread(_limited, meter, spans, plug_in, next(iter(vehicles.values()), None))


def _limited(meter: Meter, spans: tuple[InForce, ...], plug_in: PlugIn, vehicle: Vehicle | None) -> tuple[InForce, ...]:
    """Pure, and long over a long stay: runs in a thread, as stations are answered on the loop (C9)."""
    return limited(meter, spans, room_of(meter, spans, plug_in, vehicle))


async def _setpoints(store: Store, start: datetime, end: datetime) -> dict[PlugInId, list[SetpointRecord]]:
    found: dict[PlugInId, list[SetpointRecord]] = {}
    for record in await store.read(partial(reads.setpoints, start=start, end=end)):
        if record.plug_in is not None:
            found.setdefault(record.plug_in, []).append(record)
    return found


async def _lapsed(
    store: Store, plug_ins: Sequence[PlugIn], start: datetime, end: datetime
) -> dict[PlugInId, list[SetpointRecord]]:
    """The newest setpoint of each, where it ran out before ``start`` within an event that still goes on: what flows
    then is held against it (``in_force.InForce``)."""
    running = {event.id for event in await store.read(partial(reads.dr_events, since=start, until=end))}
    if not running:
        return {}
    told = partial(reads.last_acknowledged, plug_ins=[each.id for each in plug_ins], before=start)
    newest = await store.read(told)
    return {id_: [each] for id_, each in newest.items() if each.event in running and each.expires_at <= start}


async def _events(store: Store, setpoints: Iterable[Iterable[SetpointRecord]]) -> dict[DrEventId, DrEvent]:
    """By id, because a setpoint may outlast its event."""
    ids = {event for records in setpoints for record in records for event in record.events}
    found = [await store.read(partial(reads.dr_event, id=id_)) for id_ in sorted(ids)]
    return {event.id: event for event in found if event is not None}


async def _readings(store: Store, plug_in: PlugIn, start: datetime, end: datetime) -> list[StoredReading]:
    first, last = max(start, plug_in.plugged_at), min(plug_in.unplugged_at or end, end)
    return await store.read(partial(reads.metered, evse=plug_in.evse, start=first, end=last))


async def flows_beside(
    known: Sequence[tuple[AreaId, Known]], local: Mapping[AreaId, Sequence[Piece]]
) -> list[tuple[Piece, Flow]]:
    """What flowed at all plug-ins in their areas' pieces. Milliseconds for each: in a thread (C9)."""
    return await asyncio.to_thread(_flows, known, local)


def _flows(known: Sequence[tuple[AreaId, Known]], local: Mapping[AreaId, Sequence[Piece]]) -> list[tuple[Piece, Flow]]:
    return [pair for area, each in known for pair in flows_of(each, local[area])]
