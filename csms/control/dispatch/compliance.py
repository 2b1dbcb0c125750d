"""Does the meter show what the station accepted? V2G-9, V2G-10, V2G-12; requirement G11."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.state.live import EvseLive
from csms.control.state.tasks import Spawn
from csms.domain.commands import ReadSchedule
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.facts import Reading
from csms.domain.ports import Clock, Stations
from csms.settings import Dispatch as DispatchSettings
from policies.compliance import Act, follows, is_evidence, observe, takes_all

log = structlog.get_logger()

READ_BACK_S = 300
_TOLD = frozenset({SetpointState.ACKNOWLEDGED, SetpointState.OBSERVED, SetpointState.NOT_FOLLOWED})


class Compliance:
    """Holds each meter sample against the EVSE's setpoint. ``on_lost``: planned power does not come, plan again."""

    def __init__(
        self,
        outbox: SetpointQueue,
        stations: Stations,
        clock: Clock,
        settings: DispatchSettings,
        on_lost: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._stations = stations
        self._clock = clock
        self._settings = settings
        self._on_lost = on_lost
        self.spawn: Spawn = lambda coroutine: coroutine.close()

    def sampled(self, evse: EvseLive, reading: Reading) -> None:
        record, power_w = evse.setpoint, reading.power_w
        if record is None or power_w is None or not self._settled(record, reading.at):
            return
        if record.transaction != evse.transaction:
            return
        self._note(evse, record, round(power_w))
        if evse.probe is not None:
            return
        if record.event is None and record.desired_w > 0:
            evse.drawn_w = None if takes_all(record.desired_w, power_w) else round(max(power_w, 0))
        evse.compliance, act = observe(evse.compliance, record.desired_w, power_w, self._settings.observe_samples)
        self._react(evse, record, act)

    def _settled(self, record: SetpointRecord, at: datetime) -> bool:
        settle = timedelta(seconds=self._settings.settle_s)
        return record.state in _TOLD and is_evidence(at, record.acknowledged_at, record.expires_at, settle)

    def _note(self, evse: EvseLive, record: SetpointRecord, power_w: int) -> None:
        state = SetpointState.OBSERVED if follows(record.desired_w, power_w) else SetpointState.NOT_FOLLOWED
        noted = replace(record, state=state, observed_w=power_w, observed_at=self._clock.now())
        evse.setpoint = noted
        if state is not record.state:
            self._outbox.save(noted)

    def _react(self, evse: EvseLive, record: SetpointRecord, act: Act) -> None:
        if act is Act.RESEND:
            log.info("setpoint.resent", evse=str(evse.ref), setpoint_w=record.desired_w)
            self._outbox.put(evse, replace(record, state=SetpointState.DESIRED))
        elif act is Act.READ_BACK:
            self.spawn(self._read_back(evse, record))
        elif act is Act.DEGRADE:
            log.warning("setpoint.degraded", evse=str(evse.ref), level=evse.compliance.level)
            self._on_lost()

    async def _read_back(self, evse: EvseLive, record: SetpointRecord) -> None:
        command = ReadSchedule(evse=evse.ref, duration_s=READ_BACK_S, ratings=evse.evse.ratings)
        outcome = await self._stations.send(command)
        log.info("setpoint.read_back", evse=str(evse.ref), setpoint_w=record.desired_w, outcome=repr(outcome))
