"""Who hears of what changed, and in which order. The whole nervous system is on this page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from csms.control.dispatch.compliance import ComplianceCheck
from csms.control.dispatch.dispatch import Dispatch
from csms.control.dispatch.energy import Energy
from csms.control.dispatch.probing import Probing
from csms.control.intake.intake import Intake
from csms.control.permission.matching import Matching
from csms.control.permission.permissions import Permissions
from csms.control.permission.remote_start import RemoteStarts
from csms.control.settlement.settlement import Settlement
from csms.control.state import changes
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.pace import Pace
from csms.control.stations.setup import MISSED_SAMPLES, StationSetup
from csms.settings import Settings
from csms.store import writes

log = structlog.get_logger()

SUSPECT_GRACE_S = 60.0
SUSPECT_SAMPLES = 2.5
"""Available with a transaction still open is evidence, not proof: it is presumed over after so many sample intervals
without power, and at least a minute (field lesson 14)."""

Hearer = Callable[[Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The rooms that react."""

    intake: Intake
    setup: StationSetup
    matching: Matching
    permissions: Permissions
    remote_starts: RemoteStarts
    dispatch: Dispatch
    energy: Energy
    compliance: ComplianceCheck
    probing: Probing
    settlement: Settlement


class Reactions:
    """Passes each change to those who hear of it, one after another, on the event loop."""

    def __init__(self, ground: Ground, rooms: Rooms, feed: Feed, settings: Settings) -> None:
        self._ground = ground
        self._rooms = rooms
        self._feed = feed
        self._settings = settings
        self._table = self._hearers(rooms)

    def _hearers(self, r: Rooms) -> Mapping[type, tuple[Hearer, ...]]:
        wake = r.dispatch.wake
        return {
            changes.Sampled: (r.energy.sampled, r.probing.sampled, r.compliance.sampled, self._tell),
            changes.ReadLate: (r.energy.late,),
            changes.EnergyKnown: (r.settlement.learn,),
            changes.PastKnown: (r.settlement.looked_back,),
            changes.StationConnected: (
                r.dispatch.renew,
                r.setup.returned,
                r.remote_starts.returned,
                _log_online,
                wake,
            ),
            changes.StationLost: (_log_offline, wake),
            changes.ModelChanged: (r.dispatch.disprove,),
            changes.DriverChanged: (r.dispatch.disprove,),
            changes.StationSettled: (wake,),
            changes.StationBooted: (r.dispatch.renew, r.setup.booted, r.remote_starts.booted),
            changes.EvseDiscovered: (self._keep_station, r.setup.level),
            changes.FleetChanged: (r.setup.level,),
            changes.PluggedIn: (self._seat, r.energy.late, r.matching.plugged_in, self._sweep_soon, wake),
            changes.Unplugged: (
                r.dispatch.left,
                r.remote_starts.left,
                r.matching.gone,
                r.permissions.ended,
                r.intake.endings.left,
                r.settlement.ended,
                wake,
            ),
            changes.TokenShown: (r.matching.token_shown,),
            changes.CardShown: (r.matching.card_shown,),
            changes.ForeignSeen: (r.intake.endings.consider_foreign,),
            changes.Presumed: (r.intake.endings.keep_presumed,),
            changes.Denied: (r.intake.endings.denied,),
            changes.SocKnown: (r.permissions.noted,),
            changes.NeedsKnown: (r.permissions.noted, wake, self._tell),
            changes.TransactionBegan: (r.permissions.began, wake, self._tell),
            changes.TransactionOver: (r.dispatch.stopped, r.permissions.transaction_over, wake, self._tell),
            changes.Matched: (r.settlement.matched,),
            changes.Decided: (self._sweep_soon, wake),
            changes.EventChanged: (r.settlement.event_changed, r.dispatch.reconsider, self._tell_all),
            changes.PricesPublished: (r.settlement.priced, r.dispatch.reconsider),
            changes.PowerLost: (wake,),
        }

    def react(self, change: changes.Change) -> None:
        """Everybody who hears of it, in order."""
        if type(change) is changes.Sampled and change.evse.cable.plugged is None and change.evse.told.probe is None:
            return  # four changes of five are these: nobody to tell, and nothing was asked of the EVSE
        for hear in self._table[type(change)]:
            hear(change)

    def _tell(
        self, change: changes.Sampled | changes.NeedsKnown | changes.TransactionBegan | changes.TransactionOver
    ) -> None:
        self._feed.changed(change.evse.user)

    def _tell_all(self, _change: changes.EventChanged) -> None:
        for _, evse in self._ground.live.evses():
            self._feed.changed(evse.user)

    def _keep_station(self, change: changes.EvseDiscovered) -> None:
        """An EVSE that nobody provisioned is kept."""
        log.info("evse.discovered", station=change.station.station.id, evses=sorted(change.station.evses))
        self._ground.put(writes.add_evses, evses=change.station.station.evses)

    def _seat(self, change: changes.PluggedIn) -> None:
        self._ground.live.seat(change.evse)

    def _sweep_soon(self, change: changes.PluggedIn | changes.Decided) -> None:
        self._ground.spawn(self._sweep_one(change.evse))

    async def _sweep_one(self, evse: EvseLive) -> None:
        """One plug-in costs the same at ten EVSEs and at ten thousand (A14)."""
        self._sweep(self._ground.live.stations[evse.ref.station], evse, self._ground.clock.now())

    async def sweep(self) -> None:
        """What follows from time alone: questions lapse, starts are repeated, probes and presumed ends run out."""
        now, pace = self._ground.clock.now(), Pace()
        heard_after = now - timedelta(seconds=MISSED_SAMPLES * self._settings.metering.sample_interval_s)
        for station in list(self._ground.live.stations.values()):
            for evse in list(station.evses.values()):
                if evse.may_be_due and not evse.rests(heard_after):
                    self._sweep(station, evse, now)
            if pace.is_over:
                await pace.breathe()

    def _sweep(self, station: StationLive, evse: EvseLive, now: datetime) -> None:
        rooms = self._rooms
        rooms.permissions.sweep(evse, now)
        rooms.remote_starts.sweep(station, evse, now)
        rooms.probing.sweep(station, evse)
        rooms.setup.sweep(station, evse, now)
        rooms.intake.endings.sweep(evse, now, self._gone_after(in_transaction=evse.run.transaction is not None))

    def _gone_after(self, *, in_transaction: bool) -> timedelta:
        """How long a connector must be free to be believed."""
        if not in_transaction:
            return timedelta(seconds=self._settings.permission.debounce_s)
        samples_s = SUSPECT_SAMPLES * self._settings.metering.sample_interval_s
        return timedelta(seconds=max(SUSPECT_GRACE_S, samples_s))


def _log_online(change: changes.StationConnected) -> None:
    log.info("station.online", station=change.station.station.id)


def _log_offline(change: changes.StationLost) -> None:
    log.info("station.offline", station=change.station.station.id)
