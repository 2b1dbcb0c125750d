"""The supervised discharge probe: proof before use, only with the user's permission and at their price. V2G-8."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.domain.commands import Accepted, Outcome, ReadSchedule
from csms.domain.decision import Reason, Setpoint, Violation
from csms.domain.dispatch import SetpointRecord
from csms.domain.facts import Reading
from csms.domain.ports import Stations
from csms.domain.snapshot import EvseState, Snapshot
from csms.domain.station import ProbeState
from csms.settings import Dispatch as DispatchSettings
from csms.store import writes
from policies import decide, probe

log = structlog.get_logger()

READ_BACK_S = 60

TRIED_AGAIN_AFTER = timedelta(days=1)
"""A probe that failed is tried again in a later plug-in: it may have been that vehicle. UNSAFE never is."""


class Probing:
    """Runs one probe per EVSE until it has an outcome; at most one at a time per station."""

    def __init__(self, ground: Ground, queue: SetpointQueue, stations: Stations, settings: DispatchSettings) -> None:
        self._ground = ground
        self._clock = ground.clock
        self._queue = queue
        self._stations = stations
        self._settle = timedelta(seconds=settings.settle_s)

    def begin(
        self, station: StationLive, evse: EvseLive, state: EvseState, snapshot: Snapshot
    ) -> SetpointRecord | None:
        """Begin a probe where it is due and nobody's conditions forbid it; its setpoint, which is yet to be sent."""
        busy = any(other.told.probe is not None for other in station.evses.values())
        if busy or not is_candidate(station, evse, snapshot.now) or not probe.may_probe(state, snapshot):
            return None
        now = self._clock.now()
        evse.told.probe = probe.begin(now, max(state.observed_w or 0, 0), state.ratings.max_discharge_w)
        evse.told.is_read_back = False
        evse.told.probe_state = ProbeState.RUNNING
        return self._record(station, evse, now, probe.probe_setpoint(state, snapshot, evse.told.probe))

    def _record(self, station: StationLive, evse: EvseLive, now: datetime, told: Setpoint) -> SetpointRecord:
        return SetpointRecord(
            id=f"probe-{evse.ref}-{now:%Y%m%dT%H%M%S%f}",
            evse=evse.ref,
            plug_in=evse.cable.plugged.id if evse.cable.plugged else None,
            transaction=evse.run.transaction,
            event=None,
            decided_at=now,
            desired_w=told.setpoint_w,
            counterfactual_w=told.counterfactual_w,
            expires_at=told.expires_at,
            driver=station.quirks.driver,
            reasons=told.reasons,
            price_per_kwh=told.price_per_kwh,
        )

    def send(self, evse: EvseLive, record: SetpointRecord) -> None:
        """The probe's setpoint is stored, then sent, if the probe is not over by then. 0 W comes first unless nothing
        flows: from rest any rise shows (F10)."""
        if evse.told.probe is not None and not probe.is_resting(self._sight(evse, None), self._settle):
            evse.told.probe = replace(evse.told.probe, setpoint_w=0)
            record = replace(record, id=f"{record.id}-rest", desired_w=0)
        self._queue.put(evse, record)
        log.info("probe.begun", evse=str(evse.ref), setpoint_w=record.desired_w)

    def sampled(self, change: changes.Sampled) -> None:
        """The meter was read."""
        if change.evse.told.probe is not None:
            self.judge(self._ground.live.stations[change.evse.ref.station], change.evse, change.reading)

    def sweep(self, station: StationLive, evse: EvseLive) -> None:
        """A probe whose time is over ends without a reading."""
        if evse.told.probe is not None:
            self.judge(station, evse, None)

    def judge(self, station: StationLive, evse: EvseLive, reading: Reading | None) -> bool:
        """Look at a running probe; True when it has just ended. What was sampled before it says nothing about it."""
        if evse.told.probe is None:
            return False
        if not station.is_reachable:
            self._ground.emit(changes.PowerLost(evse))
            evse.told.forget_setpoint()  # nothing more will be heard of it: it has proven nothing, and is begun anew
            return True
        self._read_back_once(station, evse, evse.told.probe)
        state = probe.judge(evse.told.probe, self._sight(evse, reading), self._settle)
        if state is ProbeState.RUNNING:
            return False
        if state is ProbeState.UNTRIED:
            evse.told.forget_probe()  # it rests: the next tick asks it to discharge
            self._ground.emit(changes.PowerLost(evse))
            return True
        self._end(station, evse, state)
        return True

    def _sight(self, evse: EvseLive, reading: Reading | None) -> probe.Sight:
        told, now = evse.told, self._clock.now()
        return probe.Sight(
            now=now,
            told=_own(evse, told.probe) if told.probe is not None else None,
            last=None if told.is_doubtful else told.setpoint,
            reading=_with_power(evse, reading) if reading is not None else None,
            power_w=evse.power_at(now),
            metered_at=evse.metered.metered_at,
        )

    def _read_back_once(self, station: StationLive, evse: EvseLive, begun: probe.Probe) -> None:
        if not evse.told.is_read_back and probe.is_to_be_read_back(begun, _own(evse, begun)):
            evse.told.is_read_back = True
            self._ground.spawn(self._read_back(station, evse, begun))

    async def _read_back(self, station: StationLive, evse: EvseLive, begun: probe.Probe) -> None:
        """A station that takes a negative value for "unlimited" says so before its meter does (F10)."""
        command = ReadSchedule(evse=evse.ref, duration_s=READ_BACK_S, ratings=evse.evse.ratings)
        outcome = await self._stations.send(command)
        if not probe.is_schedule_safe(composite_w(outcome)) and evse.told.probe is begun:
            self._end(station, evse, ProbeState.UNSAFE)

    def _end(self, station: StationLive, evse: EvseLive, state: ProbeState) -> None:
        told = evse.told
        told.probe, told.probe_state, told.probed_at = None, state, self._clock.now()
        self._ground.put(
            writes.save_probe, evse=evse.ref, firmware=station.station.firmware, state=state, at=self._clock.now()
        )
        log.info("probe.ended", evse=str(evse.ref), state=state)
        self._ground.emit(changes.PowerLost(evse))


def is_candidate(station: StationLive, evse: EvseLive, now: datetime) -> bool:
    """A vehicle that may flow, at a station that is there, could discharge and has not shown it."""
    could = station.quirks.driver.can_discharge and station.is_reachable
    return could and evse.run.authorized and is_due(evse, now)


def is_due(evse: EvseLive, now: datetime) -> bool:
    """Not tried yet, or failed at least a day ago in an earlier plug-in."""
    told, plugged = evse.told, evse.cable.plugged
    if told.probe_state is not ProbeState.FAILED or told.probed_at is None or plugged is None:
        return told.probe_state is ProbeState.UNTRIED
    return plugged.plugged_at > told.probed_at and now - told.probed_at >= TRIED_AGAIN_AFTER


def broken_by(record: SetpointRecord, snapshot: Snapshot) -> tuple[Violation, ...]:
    """The hard rules that a probe would break; ``snapshot``: with the probe running in it."""
    told = Setpoint(
        evse=record.evse,
        setpoint_w=record.desired_w,
        counterfactual_w=record.counterfactual_w,
        expires_at=record.expires_at,
        reasons=record.reasons,
        price_per_kwh=record.price_per_kwh,
    )
    return probe.broken_by(told, snapshot, decide(snapshot))


def composite_w(outcome: Outcome) -> float | None:
    """What a station says it lets flow now, W; None = it does not say. What follows is after the probe's own end."""
    periods = outcome.details.get("periods") if isinstance(outcome, Accepted) else None
    return float(min(periods)[1]) if periods else None


def _with_power(evse: EvseLive, reading: Reading) -> Reading:
    """The reading with the power that the meter shows by whatever it tells (F9)."""
    power = evse.power_at(reading.at)
    if power is None or reading.power_w is not None:
        return reading
    return replace(reading, power_import_w=max(power, 0), power_export_w=max(-power, 0))


def _own(evse: EvseLive, begun: probe.Probe) -> SetpointRecord | None:
    """The probe's own setpoint, once it is the one in force: between the probe's beginning and its sending, the charge
    from before still holds, and what flows under it is no verdict."""
    record = evse.told.setpoint
    is_own = record is not None and record.reasons == (Reason.PROBE,) and record.desired_w == begun.setpoint_w
    return record if is_own else None
