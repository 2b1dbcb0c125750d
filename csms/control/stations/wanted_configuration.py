"""What a station is configured to: read first, written only where it must be, never twice in vain. F5, lesson 22."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from csms.control.state.ground import Ground
from csms.control.state.live import StationLive
from csms.domain.commands import Accepted, Configure, ReadConfiguration
from csms.domain.ids import StationId
from csms.domain.ports import Stations
from csms.domain.station import HoldMethod

log = structlog.get_logger()

REBOOTS_WITHIN = timedelta(minutes=3)
"""A station that boots again so soon after it was written to may do so because of that."""


@dataclass(frozen=True, slots=True)
class Written:
    """Keys that a station took, or left at without an answer, and when."""

    keys: frozenset[str]
    at: datetime


class WantedConfiguration:
    """Brings stations to what settlement needs. What a station refuses, or boots anew after, is not written again."""

    def __init__(self, ground: Ground, stations: Stations, sample_interval_s: int) -> None:
        self._clock = ground.clock
        self._stations = stations
        self._sample_interval_s = sample_interval_s
        self._avoided: dict[tuple[StationId, str], frozenset[str]] = {}
        self._written: dict[StationId, Written] = {}

    async def bring(self, station: StationLive) -> bool:
        """Whether the station is configured as it is wanted, as far as it lets itself be."""
        id_ = station.station.id
        firmware = (id_, station.station.firmware)
        self._avoid(firmware, self._suspects(id_))
        read = await self._stations.send(ReadConfiguration(station=id_))
        told = read.details if isinstance(read, Accepted) else {}
        command = Configure(
            station=id_,
            sample_interval_s=self._sample_interval_s,
            known=told.get("values", {}),
            avoid=self._avoided[firmware] | frozenset(told.get("fixed", ())),
            starts_at_cable=station.quirks.hold is HoldMethod.UNAUTHORIZED,
        )
        outcome = await self._stations.send(command)
        if not isinstance(outcome, Accepted):
            return False
        self._avoid(firmware, frozenset(outcome.details.get("refused", ())))
        unanswered = frozenset(outcome.details.get("unanswered", ()))
        self._written[id_] = Written(unanswered.union(outcome.details.get("taken", ())), self._clock.now())
        return not unanswered

    def may_have_caused_boot(self, id_: StationId) -> bool:
        """It was written to right before."""
        written = self._written.get(id_)
        return written is not None and bool(written.keys) and self._clock.now() - written.at <= REBOOTS_WITHIN

    def _suspects(self, id_: StationId) -> frozenset[str]:
        """What it was told right before it booted."""
        written = self._written.pop(id_, None)
        if written is None or not written.keys or self._clock.now() - written.at > REBOOTS_WITHIN:
            return frozenset()
        log.warning("station.boots_when_configured", station=id_, keys=sorted(written.keys))
        return written.keys

    def _avoid(self, firmware: tuple[StationId, str], keys: frozenset[str]) -> None:
        self._avoided[firmware] = self._avoided.get(firmware, frozenset()) | keys
