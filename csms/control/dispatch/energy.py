"""What went through the plug since the plug-in: every reading is counted, after a restart the stored ones. A6, F9."""

from functools import partial

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import Counted, EvseLive
from csms.domain.permission import PlugIn
from csms.domain.station import Ratings
from csms.store import reads
from policies.meter import Meter, count_all, counted


class Energy:
    """Keeps the meter of each plug-in: registers, power, the state of charge told."""

    def __init__(self, ground: Ground) -> None:
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock

    async def load(self) -> None:
        """Count the stored readings of every open plug-in."""
        for _, evse in tuple(self._live.evses()):
            if evse.cable.plugged is not None:
                await self._count_stored(evse, evse.cable.plugged)

    async def _count_stored(self, evse: EvseLive, plugged: PlugIn) -> None:
        since = partial(reads.readings, evse=evse.ref, start=plugged.plugged_at, end=self._clock.now())
        inside = [one.reading for one in await self._store.read(since) if one.reading.at >= plugged.plugged_at]
        evse.counted = Counted(plugged.id, count_all(inside, most_w(evse.evse.ratings)))

    def sampled(self, change: changes.Sampled) -> None:
        """The meter was read."""
        evse, plugged = change.evse, change.evse.cable.plugged
        if plugged is None:
            return
        if evse.counted is None or evse.counted.plug_in != plugged.id:
            evse.counted = Counted(plugged.id, Meter(max_w=most_w(evse.evse.ratings)))
        evse.counted.meter = counted(evse.counted.meter, change.reading)


def most_w(ratings: Ratings) -> int:
    """The most an EVSE can pass, in either direction."""
    return max(ratings.max_charge_w, ratings.max_discharge_w)
