"""What went through the plug since the plug-in: every reading is counted, after a restart the stored ones. A6, F9."""

from functools import partial

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import Counted
from csms.domain.station import Ratings
from csms.store import reads
from policies.meter import Meter, count_all, counted

AT_ONCE = 100
"""EVSEs per read: a day's readings of so many fit into memory, and one statement names them all."""


class Energy:
    """Keeps the meter of each plug-in: registers, power, the state of charge told."""

    def __init__(self, ground: Ground) -> None:
        self._store = ground.store
        self._live = ground.live

    async def load(self) -> None:
        """Count the stored readings of every open plug-in, many EVSEs at a time."""
        used = [(evse, plugged) for _, evse in self._live.evses() if (plugged := evse.cable.plugged) is not None]
        for first in range(0, len(used), AT_ONCE):
            some = used[first : first + AT_ONCE]
            since = {evse.ref: plugged.plugged_at for evse, plugged in some}
            stored = await self._store.read(partial(reads.readings_since, since=since))
            for evse, plugged in some:
                evse.counted = Counted(plugged.id, count_all(stored[evse.ref], most_w(evse.evse.ratings)))

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
