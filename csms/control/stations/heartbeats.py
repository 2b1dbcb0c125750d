"""When each station was last heard, kept now and then: a row a heartbeat would be the most frequent write of all."""

from datetime import datetime
from functools import partial

from csms.control.state.ground import Ground
from csms.domain.ids import StationId
from csms.store import writes

AT_ONCE = 500
"""Stations per write: what waits behind it is not kept long (C9)."""


class Heartbeats:
    """Writes what has changed since the last time."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._kept: dict[StationId, datetime] = {}

    async def flush(self) -> None:
        heard = {
            id_: live.last_heard_at
            for id_, live in self._ground.live.stations.items()
            if live.last_heard_at and live.last_heard_at != self._kept.get(id_)
        }
        if heard:
            self._kept.update(heard)
        names = list(heard)
        for first in range(0, len(names), AT_ONCE):
            some = {id_: heard[id_] for id_ in names[first : first + AT_ONCE]}
            await self._ground.store.writer.run(partial(writes.touch_stations, heard=some))
