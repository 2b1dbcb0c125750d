"""All that is stored about the plug-ins of a time, as settlement and reports need it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, SiteId, StationId
from csms.domain.metering import StoredReading
from csms.domain.permission import PlugIn
from csms.domain.station import Station
from csms.store import Store, reads
from policies.flows import Known
from policies.meter import UNRATED_W


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
    return [
        Known(
            plug_in=plug_in,
            history=histories[plug_in.id],
            readings=await _readings(store, plug_in, *around),
            max_w=places.max_w(plug_in.evse),
            setpoints=setpoints.get(plug_in.id, []),
            events=events,
        )
        for plug_in in plug_ins
    ]


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
    return await store.read(partial(reads.readings, evse=plug_in.evse, start=first, end=last))
