"""All that is stored about the plug-ins of a time, as settlement and reports need it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, SiteId, StationId
from csms.domain.metering import StoredReading
from csms.domain.permission import PlugIn
from csms.domain.station import Station
from csms.store import Store, reads
from policies.flows import Known
from policies.fullness import Meter, full_at, limited
from policies.meter import UNRATED_W
from policies.payment import InForce, in_force

FOR_EVER = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """``areas``: of each station at a site that the configuration names. ``rated_w``: the most power that each
    provisioned EVSE can pass: registers that move faster have jumped."""

    areas: Mapping[StationId, AreaId]
    rated_w: Mapping[EvseRef, int]

    @staticmethod
    def of(stations: Iterable[Station], areas: Mapping[SiteId, AreaId]) -> "Places":
        found = list(stations)
        return Places(
            areas={station.id: areas[station.site] for station in found if station.site in areas},
            rated_w={
                evse.ref: max(evse.ratings.max_charge_w, evse.ratings.max_discharge_w)
                for station in found
                for evse in station.evses
            },
        )

    def max_w(self, evse: EvseRef) -> int:
        return self.rated_w.get(evse, UNRATED_W)


async def known_of(
    store: Store, places: Places, start: datetime, end: datetime, around: tuple[datetime, datetime]
) -> list[Known]:
    """Every plug-in with a user at a known place in [start, end). ``around``: the whole market intervals of it."""
    found = await store.read(partial(reads.plug_ins, since=start, until=end))
    plug_ins = [each for each in found if each.user is not None and each.evse.station in places.areas]
    if not plug_ins:
        return []
    histories = await store.read(partial(reads.permission_histories, plug_ins=[each.id for each in plug_ins]))
    setpoints = await _setpoints(store, start, end)
    events = await _events(store, setpoints.values())
    known: list[Known] = []
    for plug_in in plug_ins:
        spans = in_force(setpoints.get(plug_in.id, []), plug_in.id, events)
        max_w = places.max_w(plug_in.evse)
        if plug_in.soc_percent is None and any(span.record.event for span in spans):
            spans = await limited_of(store, plug_in, max_w)
        known.append(
            Known(
                plug_in=plug_in,
                history=histories[plug_in.id],
                readings=await _readings(store, plug_in, *around),
                max_w=max_w,
                in_force=spans,
                events=events,
            )
        )
    return known


async def is_untold_resource(store: Store, plug_in: PlugIn) -> bool:
    """Whether an event used a vehicle whose state of charge nobody told."""
    if plug_in.soc_percent is not None:
        return False
    of_it = partial(reads.setpoints, evse=plug_in.evse, start=plug_in.plugged_at, end=plug_in.unplugged_at)
    return any(record.event for record in await store.read(of_it) if record.plug_in == plug_in.id)


async def limited_of(store: Store, plug_in: PlugIn, max_w: int) -> tuple[InForce, ...]:
    """All setpoints of a plug-in whose state of charge nobody told, with what its filling up has shown since."""
    end = plug_in.unplugged_at or FOR_EVER
    records = await store.read(partial(reads.setpoints, evse=plug_in.evse, start=plug_in.plugged_at))
    readings = await store.read(partial(reads.metered, evse=plug_in.evse, start=plug_in.plugged_at, end=end))
    spans = in_force(records, plug_in.id)
    meter = Meter(evse=plug_in.evse, plugged_at=plug_in.plugged_at, readings=readings, max_w=max_w)
    return limited(meter, spans, full_at(meter, spans))


async def _setpoints(store: Store, start: datetime, end: datetime) -> dict[PlugInId, list[SetpointRecord]]:
    found: dict[PlugInId, list[SetpointRecord]] = {}
    for record in await store.read(partial(reads.setpoints, start=start, end=end)):
        if record.plug_in is not None:
            found.setdefault(record.plug_in, []).append(record)
    return found


async def _events(store: Store, setpoints: Iterable[Iterable[SetpointRecord]]) -> dict[DrEventId, DrEvent]:
    """By id, because a setpoint may outlast its event."""
    ids = {record.event for records in setpoints for record in records if record.event}
    found = [await store.read(partial(reads.dr_event, id=id_)) for id_ in sorted(ids)]
    return {event.id: event for event in found if event is not None}


async def _readings(store: Store, plug_in: PlugIn, start: datetime, end: datetime) -> list[StoredReading]:
    first, last = max(start, plug_in.plugged_at), min(plug_in.unplugged_at or end, end)
    return await store.read(partial(reads.metered, evse=plug_in.evse, start=first, end=last))
