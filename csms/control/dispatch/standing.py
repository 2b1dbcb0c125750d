"""What each EVSE was when it was last looked at, made anew only where something that it is made from is another. C9."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from csms.control.dispatch.parts import PartId
from csms.control.dispatch.snapshots import HARD, Snapshots, inputs_of
from csms.control.state.live import EvseLive, Live, StationLive
from csms.control.state.pace import Pace
from csms.domain.ids import EvseRef, SiteId
from csms.domain.snapshot import EvseState


@dataclass(slots=True)
class Kept:
    """One EVSE's state, with what it was made from and when."""

    inputs: tuple[object, ...]
    made_at: datetime
    state: EvseState | None


@dataclass(slots=True)
class Seen:
    """The EVSEs that take part, by part, in the order of the live state."""

    now: datetime
    states: dict[PartId, list[EvseState]] = field(default_factory=dict)


class Standing:
    """Looks at every EVSE in slices. A state is as old as ``holds`` at most: so much may follow from time alone."""

    def __init__(self, snapshots: Snapshots, live: Live, holds: timedelta) -> None:
        self._snapshots = snapshots
        self._live = live
        self._holds = holds
        self._kept: dict[EvseRef, Kept] = {}

    async def look(self, now: datetime, part_of: Mapping[SiteId, PartId]) -> Seen:
        """Everybody as they are now. ``part_of``: see ``Parts.by_site``; an EVSE at no such site takes no part."""
        seen, pace = Seen(now), Pace()
        for station in list(self._live.stations.values()):
            for evse in list(station.evses.values()):
                part = part_of.get(evse.evse.site)
                if part is not None and (state := self._state(station, evse, now)) is not None:
                    seen.states.setdefault(part, []).append(state)
            if pace.is_over:
                await pace.breathe()
        return seen

    def _state(self, station: StationLive, evse: EvseLive, now: datetime) -> EvseState | None:
        if not evse.is_in_use and station.is_reachable:
            self._kept.pop(evse.evse.ref, None)
            return None
        inputs, kept = inputs_of(station, evse), self._kept.get(evse.evse.ref)
        is_same = kept is not None and kept.inputs == inputs
        if kept is not None and is_same and now - kept.made_at < self._holds:
            return kept.state
        state = self._snapshots.state(station, evse, now, kept.state if kept is not None and is_same else None)
        self._kept[evse.evse.ref] = Kept(inputs, now, state)
        return state

    def is_as_seen(self, evse: EvseLive) -> bool:
        """Whether what a state was made from is still the same: the vehicle, the answer, the station's reach."""
        kept = self._kept.get(evse.ref)
        station = self._live.stations.get(evse.ref.station)
        return kept is not None and station is not None and kept.inputs[:HARD] == inputs_of(station, evse)[:HARD]
