"""Setpoints on their way to stations: the newest per EVSE wins, a stale one is dropped, never sent late (V2G-52)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from csms.control.dispatch.in_force import span_of
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
    station_of,
)
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import EvseRef, StationId
from csms.domain.ports import Stations
from csms.domain.station import SetpointDriver
from csms.store import Write, writes
from policies.compliance import accepted, cannot, refused

log = structlog.get_logger()

STARTED_AT_ONCE = 20
"""Stations whose next setpoint is encoded and written in one turn of the loop."""

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
        self._ready: deque[StationId] = deque()
        self._is_starting = False
        self._noted: dict[str, SetpointRecord] = {}
        self._is_noting = False

    def put(self, evse: EvseLive, record: SetpointRecord) -> None:
        """Take a desired setpoint: it becomes the EVSE's, is stored, and then sent when the station is free."""
        self.put_all([(evse, record)])

    def put_all(self, desired: Sequence[tuple[EvseLive, SetpointRecord]]) -> None:
        """Take several: they are stored in one write."""
        if not desired:
            return
        for evse, record in desired:
            self._want(evse, record)
        work = partial(writes.save_setpoints, records=[record for _, record in desired])
        stored, lost = partial(self._stored, desired), partial(self._lost, desired)
        self._ground.store.writer.put(Write((), work, stored, lost))

    def _want(self, evse: EvseLive, record: SetpointRecord) -> None:
        told, now = evse.told, self._clock.now()
        span = span_of(self._live.stations[evse.ref.station], evse, now).with_power(record.desired_w)
        if told.setpoint is None or told.setpoint.desired_w != record.desired_w:
            told.same_since = None
        told.setpoint, told.sent_at, told.is_doubtful = record, now, False
        told.in_force = span.least_w, span.most_w
        told.in_force_until = max(told.in_force_until or now, record.expires_at)

    def _lost(self, desired: Sequence[tuple[EvseLive, SetpointRecord]], error: Exception) -> None:
        """What could not be stored is not sent; it is tried again like one without an answer."""
        for evse, record in desired:
            log.error("setpoint.not_stored", evse=str(record.evse), error=str(error))
            if _is_newest(evse, record):
                evse.told.setpoint = replace(record, state=SetpointState.UNANSWERED, refusal="not stored")

    def _stored(self, desired: Sequence[tuple[EvseLive, SetpointRecord]], _result: None) -> None:
        """What nobody wants any more by now is not sent."""
        for evse, record in desired:
            if not _is_newest(evse, record):
                continue
            station = evse.ref.station
            self._waiting.setdefault(station, {})[evse.ref] = record
            if station not in self._busy:
                self._busy.add(station)
                self._ready.append(station)
        if self._ready and not self._is_starting:
            self._is_starting = True
            self._ground.spawn(self._start())

    async def _start(self) -> None:
        """A whole fleet is told little by little: whatever else the loop has to do goes in between (C9)."""
        try:
            while self._ready:
                for _ in range(min(len(self._ready), STARTED_AT_ONCE)):
                    self._ground.spawn(self._drain(self._ready.popleft()))
                await asyncio.sleep(0)
        finally:
            self._is_starting = False

    def save(self, record: SetpointRecord) -> None:
        """Note how far a setpoint got. What comes while one write is under way is stored together by the next."""
        self._noted[record.id] = record
        if not self._is_noting:
            self._note_all()

    def _note_all(self) -> None:
        noted, self._noted = self._noted, {}
        self._is_noting = bool(noted)
        if noted:
            work = partial(writes.save_setpoints, records=list(noted.values()))
            self._ground.store.writer.put(Write((), work, self._kept, self._kept))

    def _kept(self, _outcome: object) -> None:
        self._note_all()

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
        if record.transaction != evse.run.transaction or not _is_newest(evse, record) or not station.is_settled:
            return
        command = command_of(record, station, evse)
        outcome = await self._answer(command)
        if isinstance(command, UpdateSetpoint) and not isinstance(outcome, Accepted | Offline):
            outcome = await self._answer(_apply(record, station, evse))
        self._note(evse, record, outcome)

    async def _answer(self, command: Command) -> Outcome:
        try:
            return await self._stations.send(command)
        except Exception:  # an answer that cannot be read is none (C11); the others in the queue go on
            log.exception("setpoint.answer_unreadable", station=station_of(command))
            return TimedOut()

    def _note(self, evse: EvseLive, record: SetpointRecord, outcome: Outcome) -> None:
        told = after(record, outcome)
        station = self._live.stations[record.evse.station]
        if told.state is SetpointState.ACKNOWLEDGED:
            told = replace(told, acknowledged_at=self._clock.now())
            evse.told.compliance = accepted(evse.told.compliance)
        self.save(told)
        newest = evse.told.setpoint
        if newest is None or newest.transaction != record.transaction:
            return
        is_done = told.state is SetpointState.ACKNOWLEDGED
        if is_done and not evse.told.is_doubtful:
            in_force = (newest.desired_w, record.desired_w)
            evse.told.in_force = min(in_force), max(in_force)
            evse.told.in_force_until = max(newest.expires_at, record.expires_at)
        if newest.id != record.id or evse.told.is_doubtful:
            return
        evse.told.setpoint, evse.told.undone = told, 0 if is_done else evse.told.undone + 1
        if is_done:
            evse.told.same_since = evse.told.same_since or told.acknowledged_at
        if told.state is SetpointState.REJECTED and station.is_reachable:
            is_final = isinstance(outcome, CallFailed) and cannot(outcome.code, record.desired_w)
            power_w = evse.power_at(self._clock.now())
            evse.told.compliance = refused(evse.told.compliance, power_w, record.desired_w, is_final=is_final)
            log.warning("setpoint.refused", evse=str(record.evse), setpoint_w=record.desired_w, reason=told.refusal)


def _is_newest(evse: EvseLive, record: SetpointRecord) -> bool:
    """No other has taken its place, or is on its way to the store."""
    return evse.told.setpoint is not None and evse.told.setpoint.id == record.id


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
        return UpdateSetpoint(
            evse=record.evse, profile=profile_of(record.evse), setpoint_w=record.desired_w, of=record.id
        )
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
        of=record.id,
    )
