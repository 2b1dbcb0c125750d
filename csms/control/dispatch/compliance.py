"""Does the meter show what the station accepted? V2G-9, V2G-10, V2G-12; requirement G11."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive
from csms.domain.commands import ReadSchedule
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ports import Stations
from csms.settings import Dispatch as DispatchSettings
from policies.compliance import Act, follows, is_evidence, observe, takes_all
from policies.meter import power_since

log = structlog.get_logger()

READ_BACK_S = 300
_TOLD = frozenset({SetpointState.ACKNOWLEDGED, SetpointState.OBSERVED, SetpointState.NOT_FOLLOWED})


class ComplianceCheck:
    """Holds each meter sample against the EVSE's setpoint."""

    def __init__(self, ground: Ground, queue: SetpointQueue, stations: Stations, settings: DispatchSettings) -> None:
        self._ground = ground
        self._clock = ground.clock
        self._queue = queue
        self._stations = stations
        self._settings = settings

    def sampled(self, change: changes.Sampled) -> None:
        """The meter was read."""
        evse, at = change.evse, change.reading.at
        record = evse.told.setpoint
        if record is None or not self._counts(evse, record, at):
            return
        since = (evse.told.same_since or record.acknowledged_at or at) + timedelta(seconds=self._settings.settle_s)
        power = power_since(evse.metered, since, at)
        if power is None:
            return
        power_w = round(power)
        self._note(evse, record, power_w)
        if evse.told.probe is not None:
            return
        if record.event is None and record.desired_w > 0:
            evse.told.drawn_w = drawn_w(record.desired_w, power_w)
        evse.told.compliance, act = observe(
            evse.told.compliance, record.desired_w, power_w, self._settings.observe_samples
        )
        self._react(evse, record, act)

    def _counts(self, evse: EvseLive, record: SetpointRecord, at: datetime) -> bool:
        """Whether a sample says something about a setpoint: taken while it held, after the vehicle had its time, at
        a station that has not been away since (F8, F12)."""
        station, settle = self._ground.live.stations[evse.ref.station], timedelta(seconds=self._settings.settle_s)
        if not station.is_reachable or evse.told.is_doubtful or record.transaction != evse.run.transaction:
            return False
        return record.state in _TOLD and is_evidence(at, record.acknowledged_at, record.expires_at, settle)

    def _note(self, evse: EvseLive, record: SetpointRecord, power_w: int) -> None:
        state = SetpointState.OBSERVED if follows(record.desired_w, power_w) else SetpointState.NOT_FOLLOWED
        noted = replace(record, state=state, observed_w=power_w, observed_at=self._clock.now())
        evse.told.setpoint = noted
        if state is not record.state:
            self._queue.save(noted)

    def _react(self, evse: EvseLive, record: SetpointRecord, act: Act) -> None:
        if act is Act.RESEND:
            log.info("setpoint.resent", evse=str(evse.ref), setpoint_w=record.desired_w)
            self._queue.put(evse, _again(record))
        elif act is Act.READ_BACK:
            self._ground.spawn(self._read_back(evse, record))
        elif act is Act.DEGRADE:
            log.warning("setpoint.degraded", evse=str(evse.ref), level=evse.told.compliance.level)
            self._ground.emit(changes.PowerLost(evse))

    async def _read_back(self, evse: EvseLive, record: SetpointRecord) -> None:
        command = ReadSchedule(evse=evse.ref, duration_s=READ_BACK_S, ratings=evse.evse.ratings)
        outcome = await self._stations.send(command)
        log.info("setpoint.read_back", evse=str(evse.ref), setpoint_w=record.desired_w, outcome=repr(outcome))


def _again(record: SetpointRecord) -> SetpointRecord:
    """The same setpoint as one of its own: what the first one commanded since its acknowledgement stays."""
    return replace(record, id=f"{record.id}-again", state=SetpointState.DESIRED, acknowledged_at=None)


def drawn_w(limit_w: int, power_w: int) -> int | None:
    """What a vehicle took of a limit that left it more; None = all of it: how much it would take is not known."""
    return None if takes_all(limit_w, power_w) else max(power_w, 0)
