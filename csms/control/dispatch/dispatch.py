"""The tick: snapshot → decision → checks → diff → setpoints on their way. Design §4; mission, must hold 1 and 4."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from csms.control.dispatch.compliance import drawn_w
from csms.control.dispatch.due import Moment, is_due, is_new, may_grow
from csms.control.dispatch.in_force import bring_back, span_of
from csms.control.dispatch.order import Place, Room, Span
from csms.control.dispatch.probing import Probing, broken_by, is_candidate
from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.dispatch.snapshots import Snapshots
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.domain.decision import Decision, Setpoint
from csms.domain.dispatch import SetpointRecord
from csms.domain.ids import DrEventId, EvseRef
from csms.domain.snapshot import EvseState, Snapshot, Use
from csms.domain.station import ProbeState, SetpointDriver
from csms.settings import Dispatch as DispatchSettings
from csms.store import reads, writes
from policies import decide
from policies.compliance import Compliance, Level
from policies.constraints import safe_decision
from policies.plugs import Policies
from policies.probe import is_permitted

log = structlog.get_logger()

SHORTEST_PAUSE_S = 0.25
"""Between two ticks, however often something changes."""

_NO_POWER = frozenset({Use.HELD, Use.NOTHING})


class Dispatch:
    """Decides every ``tick_s`` and soon after ``wake``."""

    def __init__(
        self,
        ground: Ground,
        snapshots: Snapshots,
        queue: SetpointQueue,
        probing: Probing,
        settings: DispatchSettings,
        policies: Policies,
    ) -> None:
        self._policies = policies
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self.snapshots = snapshots
        self.queue = queue
        self._probing = probing
        self._settings = settings
        self._due = asyncio.Event()
        self._saved: Decision | None = None
        self._used: dict[DrEventId, dict[EvseRef, datetime]] = {}
        self.decision: Decision | None = None

    async def load(self) -> None:
        """Go on where the last decision was: the counterfactual of running events, what was learnt of vehicles, and
        what they may still obey."""
        self.snapshots.virtual = await self._store.read(reads.counterfactual)
        drawn = await self._store.read(reads.last_drawn)
        for _, evse in self._live.evses():
            if evse.cable.plugged is not None and (record := drawn.get(evse.cable.plugged.id)) is not None:
                evse.told.drawn_w = drawn_w(record.desired_w, record.observed_w or 0)

        for record in await self._store.read(partial(reads.setpoints, start=self._clock.now())):
            found = self._live.find(record.evse)
            if found is not None and found.run.transaction == record.transaction is not None:
                bring_back(found.told, record)

    def wake(self, _change: changes.Change) -> None:
        """Something changed: decide soon."""
        self._due.set()

    def left(self, change: changes.Unplugged) -> None:
        """Nothing that was learnt of this vehicle holds for the next; what the station proved does."""
        told = change.evse.told
        told.compliance, told.drawn_w = Compliance(), None
        told.forget_setpoint()

    def stopped(self, change: changes.TransactionOver) -> None:
        """What the station was told was for the transaction that is over."""
        change.evse.told.forget_setpoint()

    def renew(self, change: changes.StationBooted | changes.StationConnected) -> None:
        """V2G-62: the station may have missed or forgotten anything; what it is told is told again (V2G-12)."""
        for evse in change.station.evses.values():
            evse.told.doubt_setpoint()

    def disprove(self, change: changes.ModelChanged | changes.DriverChanged) -> None:
        """A proof holds for the firmware and the driver it was made with (V2G-8). What was unsafe once is never tried
        again."""
        for evse in change.station.evses.values():
            evse.told.forget_probe()
            if evse.told.probe_state is not ProbeState.UNSAFE:
                evse.told.probe_state = ProbeState.UNTRIED

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.tick_s):
                    await self._due.wait()
            self._due.clear()
            try:
                await self.tick()
            except Exception:  # one bad tick must not be the last: setpoints expire into the failsafe limit meanwhile
                log.exception("dispatch.failed")
            await asyncio.sleep(SHORTEST_PAUSE_S)

    async def tick(self) -> Decision:
        """Decide once. The decision is committed before anything of it is sent."""
        self._end_forbidden_probes()
        begun = self._begin_probe()
        snapshot = self.snapshots.snapshot()
        decision, broken = safe_decision(snapshot, decide(snapshot, self._policies))
        if broken or _differs(decision, self._saved):
            await self._store.writer.run(partial(writes.save_decision, decision=decision, violations=broken))
            self._saved = decision
        self.decision = decision
        self.snapshots.virtual = {virtual.evse: virtual for virtual in decision.virtual}
        self._close_uses(snapshot)
        for violation in broken:
            log.error("decision.violation", rule=violation.rule, text=violation.text)
        self._send(snapshot, decision)
        if begun is not None:
            self._probing.send(*begun)
        return decision

    def _end_forbidden_probes(self) -> None:
        """The user has said no meanwhile, or is paid too little: the setpoint that follows is sent at once (P4, P5)."""
        if not any(evse.told.probe for _, evse in self._live.evses()):
            return
        snapshot = self.snapshots.snapshot()
        for state in snapshot.evses:
            evse = self._live.find(state.ref)
            if evse and evse.told.probe and not is_permitted(state, snapshot):
                evse.told.forget_setpoint()

    def _begin_probe(self) -> tuple[EvseLive, SetpointRecord] | None:
        """One at a time: the next is judged by a snapshot that counts this one in."""
        now = self._clock.now()
        if not self._settings.probe or not any(is_candidate(*place, now) for place in self._live.evses()):
            return None
        snapshot = self.snapshots.snapshot()
        for state in snapshot.evses:
            station, evse = self._live.station(state.ref.station), self._live.find(state.ref)
            record = self._probing.begin(station, evse, state, snapshot) if station and evse else None
            if evse is None or record is None:
                continue
            if not (broken := broken_by(record, self.snapshots.snapshot())):
                self._due.set()
                return evse, record
            evse.told.forget_probe()
            log.warning("probe.forbidden", evse=str(evse.ref), rules=[one.rule for one in broken])
        return None

    def _send(self, snapshot: Snapshot, decision: Decision) -> None:
        """What makes room leaves at once; what takes it only as far as there is room by now, else it waits (A10)."""
        pairs = list(zip(snapshot.evses, decision.setpoints, strict=True))
        places = [self._place(state, setpoint, snapshot.now) for state, setpoint in pairs]
        room = Room(snapshot.sites, places)
        growing = [place.span.takes_more(place.wanted_w) for place in places]
        for wave in (False, True):
            for (state, setpoint), place, grows in zip(pairs, places, growing, strict=True):
                if grows is wave:
                    self._tell(snapshot, state, setpoint, place, room)

    def _place(self, state: EvseState, setpoint: Setpoint, now: datetime) -> Place:
        station, evse = self._live.station(state.ref.station), self._live.find(state.ref)
        metered_w = state.observed_w or 0
        if state.reserved_w > 0 or state.uncontrolled_w is not None:
            fixed_w = state.uncontrolled_w or 0
            span = Span(min(fixed_w, 0), max(fixed_w, state.reserved_w, 0))
            return Place(state.site, span, span.most_w, metered_w)
        span = span_of(station, evse, now) if station and evse else Span()
        return Place(state.site, span, setpoint.setpoint_w, metered_w)

    def _tell(self, snapshot: Snapshot, state: EvseState, setpoint: Setpoint, place: Place, room: Room) -> None:
        station, evse = self._live.station(state.ref.station), self._live.find(state.ref)
        if station is None or evse is None or not is_reachable(station, evse):
            return
        if not self.snapshots.still_holds(state, snapshot.now):
            return
        moment = Moment(snapshot.now, driver_for(station, evse), room.is_tight(state.site), self._settings)
        now_w = self._power_now(evse, setpoint, place, room, moment)
        leaving = replace(setpoint, setpoint_w=now_w)
        if is_forbidden_now(evse, leaving, state.use) or is_due(evse.told, leaving, evse.run.transaction, moment):
            self.queue.put(evse, record_of(evse, leaving, moment.driver, snapshot.now))
            self._note_use(state, leaving, snapshot.now)

    def _power_now(self, evse: EvseLive, setpoint: Setpoint, place: Place, room: Room, moment: Moment) -> int:
        """The power decided, or the nearest that takes no more than what is in force, while more has to wait."""
        wanted_w = setpoint.setpoint_w
        if not place.span.takes_more(wanted_w) or not is_due(evse.told, setpoint, evse.run.transaction, moment):
            return wanted_w
        if not may_grow(evse.told, moment) or not room.take(place, wanted_w):
            return place.span.nearest(wanted_w)
        return wanted_w

    def _note_use(self, state: EvseState, setpoint: Setpoint, now: datetime) -> None:
        """Whoever serves an event counts as used once it is over: within it the work must not go round (design §4)."""
        if setpoint.event is not None and state.use is Use.RESOURCE:
            self._used.setdefault(setpoint.event, {})[state.ref] = now

    def _close_uses(self, snapshot: Snapshot) -> None:
        for event in self._used.keys() - {event.id for event in snapshot.events}:
            for ref, used_at in self._used.pop(event).items():
                if evse := self._live.find(ref):
                    evse.told.last_used_at = used_at


def _differs(decision: Decision, saved: Decision | None) -> bool:
    """Whether a decision says something that the last stored one did not."""
    if saved is None or decision.events or saved.events:
        return True
    return _essence(decision.setpoints) != _essence(saved.setpoints)


def _essence(setpoints: Sequence[Setpoint]) -> list[tuple[object, ...]]:
    return [(setpoint.evse, setpoint.setpoint_w, setpoint.reasons) for setpoint in setpoints]


def is_reachable(station: StationLive, evse: EvseLive) -> bool:
    """A setpoint would reach a running transaction, and no probe is under way there."""
    told = evse.cable.plugged is not None and evse.run.transaction is not None and evse.told.probe is None
    return told and station.is_reachable


def driver_for(station: StationLive, evse: EvseLive) -> SetpointDriver:
    """The rung of the degrade ladder that this EVSE stands on (V2G-10)."""
    return station.driver_of(evse) if evse.told.compliance.level is Level.FULL else SetpointDriver.CHARGE_ONLY


def is_forbidden_now(evse: EvseLive, setpoint: Setpoint, use: Use) -> bool:
    """What was last sent is more than the user's answer allows by now: replaced at once, however new it is (P4)."""
    last = evse.told.setpoint
    if last is None or not is_new(last, setpoint):
        return False
    return (last.desired_w < 0 and use is not Use.RESOURCE) or (last.desired_w > 0 and use in _NO_POWER)


def record_of(evse: EvseLive, setpoint: Setpoint, driver: SetpointDriver, now: datetime) -> SetpointRecord:
    """The setpoint as it will be stored and sent. One that is only renewed keeps what the meter showed of it so far:
    else its event would seem to miss nothing for a while, and the vehicles that stepped in would be sent away."""
    last = evse.told.setpoint
    is_renewed = last is not None and last.transaction == evse.run.transaction and not is_new(last, setpoint)
    return SetpointRecord(
        id=f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
        evse=evse.ref,
        plug_in=evse.cable.plugged.id if evse.cable.plugged else None,
        transaction=evse.run.transaction,
        event=setpoint.event,
        decided_at=now,
        desired_w=setpoint.setpoint_w,
        counterfactual_w=setpoint.counterfactual_w,
        price_per_kwh=setpoint.price_per_kwh,
        expires_at=setpoint.expires_at,
        driver=driver,
        reasons=setpoint.reasons,
        observed_w=last.observed_w if last and is_renewed else None,
        observed_at=last.observed_at if last and is_renewed else None,
    )
