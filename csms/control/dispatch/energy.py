"""What went through the plug since the plug-in: every reading is counted, after a restart the stored ones. A6, F9."""

from collections.abc import Sequence
from functools import partial

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive
from csms.control.state.records import Counted
from csms.control.state.restore import STAMPS_DIFFER, know_soc
from csms.domain.permission import PlugIn
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
        self._spawn = ground.spawn

    async def load(self) -> None:
        """Count the stored readings of every open plug-in, many EVSEs at a time."""
        used = [(evse, plugged) for _, evse in self._live.evses() if (plugged := evse.cable.plugged) is not None]
        for first in range(0, len(used), AT_ONCE):
            some = used[first : first + AT_ONCE]
            await self._count(some)

    async def _count(self, some: Sequence[tuple[EvseLive, PlugIn]]) -> None:
        since = {evse.ref: plugged.plugged_at - STAMPS_DIFFER for evse, plugged in some}
        stored = await self._store.read(partial(reads.readings_since, since=since))
        for evse, plugged in some:
            if evse.cable.plugged is not None and evse.cable.plugged.id == plugged.id:
                evse.counted = Counted(plugged.id, count_all(stored[evse.ref], most_w(evse.evse.ratings)))
                know_soc(evse)

    def late(self, change: changes.PluggedIn | changes.ReadLate) -> None:
        """Readings that came before this was known may be of this plug-in: they are counted as after a restart."""
        evse, plugged = change.evse, change.evse.cable.plugged
        newest = evse.meter.reading
        if plugged is not None and newest is not None and newest.at >= plugged.plugged_at - STAMPS_DIFFER:
            self._spawn(self._count_again(evse, plugged))

    async def _count_again(self, evse: EvseLive, plugged: PlugIn) -> None:
        newest = None
        while newest is not evse.meter.reading:  # what came meanwhile may not have been read
            newest = evse.meter.reading
            await self._count([(evse, plugged)])

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
