"""Setpoints on their way to stations: the newest per EVSE wins, a stale one is dropped, never sent late (V2G-52)."""

from dataclasses import replace
from datetime import timedelta

import structlog

from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.profiles import BACKDATED, profile_of
from csms.domain.commands import (
    Accepted,
    ApplySetpoint,
    CallFailed,
    Command,
    Offline,
    Outcome,
    Rejected,
    TimedOut,
    UpdateSetpoint,
)
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import EvseRef, StationId
from csms.domain.ports import Stations
from csms.domain.station import SetpointDriver
from csms.store import writes
from policies.compliance import refused

log = structlog.get_logger()

STALE_BEFORE_END = timedelta(seconds=2)


class SetpointQueue:
    """One queue per station, one setpoint per EVSE in it."""

    def __init__(self, ground: Ground, stations: Stations) -> None:
        self._ground = ground
        self._live = ground.live
        self._clock = ground.clock
        self._stations = stations
        self._waiting: dict[StationId, dict[EvseRef, SetpointRecord]] = {}
        self._busy: set[StationId] = set()

    def put(self, evse: EvseLive, record: SetpointRecord) -> None:
        """Take a desired setpoint: it becomes the EVSE's, is stored, and is sent when the station is free."""
        evse.told.setpoint = record
        evse.told.sent_at = self._clock.now()
        self.save(record)
        station = evse.ref.station
        self._waiting.setdefault(station, {})[evse.ref] = record
        if station not in self._busy:
            self._busy.add(station)
            self._ground.spawn(self._drain(station))

    def save(self, record: SetpointRecord) -> None:
        self._ground.put(writes.save_setpoint, record=record)

    async def _drain(self, station: StationId) -> None:
        waiting = self._waiting[station]
        try:
            while waiting:
                _, record = waiting.popitem()
                await self._send(station, record)
        finally:
            self._busy.discard(station)

    async def _send(self, station_id: StationId, record: SetpointRecord) -> None:
        station, evse = self._live.station(station_id), self._live.find(record.evse)
        now = self._clock.now()
        if station is None or evse is None or record.expires_at - now < STALE_BEFORE_END:
            return
        if record.transaction != evse.run.transaction:
            return
        command = command_of(record, station, evse)
        outcome = await self._stations.send(command)
        if isinstance(command, UpdateSetpoint) and not isinstance(outcome, Accepted | Offline):
            outcome = await self._stations.send(_apply(record, station, evse))
        self._note(evse, record, outcome)

    def _note(self, evse: EvseLive, record: SetpointRecord, outcome: Outcome) -> None:
        told = after(record, outcome)
        if told.state is SetpointState.ACKNOWLEDGED:
            told = replace(told, acknowledged_at=self._clock.now())
        self.save(told)
        if evse.told.setpoint is None or evse.told.setpoint.id != record.id:
            return
        evse.told.setpoint = told
        if told.state is SetpointState.REJECTED:
            evse.told.compliance = refused(evse.told.compliance)
            log.warning("setpoint.refused", evse=str(record.evse), setpoint_w=record.desired_w, reason=told.refusal)


def after(record: SetpointRecord, outcome: Outcome) -> SetpointRecord:
    """The record once the station has answered, or has not. Accepted is not evidence that it follows (V2G-12)."""
    match outcome:
        case Accepted():
            return replace(record, state=SetpointState.ACKNOWLEDGED)
        case Rejected(reason=reason):
            return replace(record, state=SetpointState.REJECTED, refusal=reason)
        case CallFailed(code=code, description=description):
            return replace(record, state=SetpointState.REJECTED, refusal=f"{code}: {description}".rstrip(": "))
        case TimedOut():
            return replace(record, state=SetpointState.UNANSWERED, refusal="no answer in time")
        case Offline():
            return replace(record, state=SetpointState.UNANSWERED, refusal="offline")


def command_of(record: SetpointRecord, station: StationLive, evse: EvseLive) -> Command:
    """An installed Dynamic profile is updated, everything else is a profile of its own."""
    dynamic = record.driver is SetpointDriver.OCPP21_DYNAMIC
    if dynamic and evse.told.dynamic_transaction == record.transaction and record.transaction is not None:
        return UpdateSetpoint(evse=record.evse, profile=profile_of(record.evse), setpoint_w=record.desired_w)
    evse.told.dynamic_transaction = record.transaction if dynamic else None
    return _apply(record, station, evse)


def _apply(record: SetpointRecord, station: StationLive, evse: EvseLive) -> ApplySetpoint:
    return ApplySetpoint(
        evse=record.evse,
        transaction=record.transaction,
        setpoint_w=record.desired_w,
        starts_at=record.decided_at - BACKDATED,
        expires_at=record.expires_at,
        driver=record.driver,
        rate_unit=station.quirks.rate_unit,
        ratings=evse.evse.ratings,
        profile=profile_of(record.evse),
        stack_level=station.quirks.stack_level,
    )
