"""The tick: snapshot → decision → checks → diff → setpoints on their way. Design §4; mission, must hold 1 and 4."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from csms.control.dispatch.compliance import drawn_w
from csms.control.dispatch.deciding import Decided, Deciding
from csms.control.dispatch.due import Moment, is_due, is_new, may_grow
from csms.control.dispatch.in_force import bring_back, span_of
from csms.control.dispatch.order import Place, Room, Span
from csms.control.dispatch.parts import PartId
from csms.control.dispatch.probing import Probing, broken_by, is_candidate
from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.dispatch.snapshots import Snapshots
from csms.control.dispatch.standing import Standing
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.pace import Pace
from csms.domain.decision import Decision, Setpoint
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.errors import Unavailable
from csms.domain.ids import DrEventId, EvseRef
from csms.domain.snapshot import EvseState, Snapshot, Use
from csms.domain.station import ProbeState, SetpointDriver
from csms.settings import Dispatch as DispatchSettings
from csms.store import reads, writes
from policies.compliance import Compliance, Level
from policies.plugs import Policies
from policies.probe import is_permitted, may_probe

log = structlog.get_logger()

SHORTEST_PAUSE_S = 0.25
"""Between two ticks, however often something changes."""

AT_ONCE = 200
"""So many setpoints are stored in one write; sums over more EVSEs are made in a thread."""

_OPEN = frozenset({SetpointState.DESIRED, SetpointState.REJECTED, SetpointState.UNANSWERED})


@dataclass(frozen=True, slots=True)
class Leaving:
    """One part on its way out."""

    decided: Decided
    places: Sequence[tuple[EvseState, Setpoint, Place]]
    room: Room


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
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self.snapshots = snapshots
        self.queue = queue
        self._probing = probing
        self._settings = settings
        self._due = asyncio.Event()
        holds = timedelta(seconds=settings.tick_s)
        self._standing = Standing(snapshots, ground.live, holds)
        self._deciding = Deciding(snapshots, self._standing, policies, holds)
        self._used: dict[DrEventId, dict[EvseRef, datetime]] = {}
        self.decision: Decision | None = None

    async def load(self) -> None:
        """Go on where the last decision was: the counterfactual of running events, what was learnt of vehicles, and
        what they may still obey."""
        virtual = await self._store.read(reads.counterfactual)
        since = min((each.at for each in virtual.values()), default=self._clock.now())
        self.snapshots.go_on(virtual, await self._store.read(partial(reads.dr_events, since=since)))
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

    def reconsider(self, _change: changes.EventChanged | changes.PricesPublished | None) -> None:
        """What all decisions are made from is another."""
        self._deciding.forget()
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
            begun_s = time.perf_counter()
            try:
                await self.tick()
            except Unavailable as error:
                log.warning("dispatch.failed", error=str(error))
            except Exception:  # one bad tick must not be the last: setpoints expire into the failsafe limit meanwhile
                log.exception("dispatch.failed")
            await asyncio.sleep(max(SHORTEST_PAUSE_S, time.perf_counter() - begun_s))

    async def tick(self) -> Decision:
        """Decide once. The decision is committed before anything of it is sent."""
        begun = await self._probe_first()
        found = await self._deciding.round(self._clock.now())
        decision, broken = found.decision, found.broken
        if found.is_new:
            await self._store.writer.run(partial(writes.save_decision, decision=decision, violations=broken))
        self.decision = decision
        self.snapshots.virtual = {virtual.evse: virtual for virtual in decision.virtual}
        self._close_uses(decision)
        for violation in broken:
            log.error("decision.violation", rule=violation.rule, text=violation.text)
        await self._send(found.parts, decision.at)
        if begun is not None:
            self._probing.send(*begun)
        return decision

    async def _probe_first(self) -> tuple[EvseLive, SetpointRecord] | None:
        """End the probes that are forbidden by now, and begin one. One at a time: the next is judged by a snapshot that
        counts this one in."""
        now, pace = self._clock.now(), Pace()
        world = self.snapshots.around((), now)
        begun = None
        for station in list(self._live.stations.values()):
            if not station.quirks.driver.can_discharge:
                continue
            for evse in list(station.evses.values()):
                if evse.told.probe:
                    self._end_if_forbidden(station, evse, world)
                elif begun is None and self._settings.probe and is_candidate(station, evse, now):
                    begun = self._begin_probe(station, evse, world)
            if pace.is_over:
                await pace.breathe()
        return begun

    def _end_if_forbidden(self, station: StationLive, evse: EvseLive, world: Snapshot) -> None:
        """The user has said no meanwhile, or is paid too little: the setpoint that follows is sent at once (P4, P5)."""
        state = self.snapshots.state(station, evse, world.now)
        if state is not None and not is_permitted(state, world):
            evse.told.forget_setpoint()

    def _begin_probe(
        self, station: StationLive, evse: EvseLive, world: Snapshot
    ) -> tuple[EvseLive, SetpointRecord] | None:
        state = self.snapshots.state(station, evse, world.now)
        if state is None or not may_probe(state, world):
            return None  # most are not asked further: what else stands behind their fuses need not be looked at
        record = self._probing.begin(station, evse, state, self.snapshots.below_one_root(state.site))
        if record is None:
            return None
        if not (broken := broken_by(record, self.snapshots.below_one_root(state.site))):
            self._due.set()
            return evse, record
        evse.told.forget_probe()
        log.warning("probe.forbidden", evse=str(evse.ref), rules=[one.rule for one in broken])
        return None

    async def _send(self, parts: Iterable[PartId], now: datetime) -> None:
        """What makes room leaves at once; what takes it only as far as there is room by now, else it waits (A10)."""
        pace = Pace()
        going = [leaving for part in parts if (leaving := await self._leaving(part, now, pace)) is not None]
        for wave in (False, True):
            records: list[tuple[EvseLive, SetpointRecord]] = []
            for leaving in going:
                for state, setpoint, place in leaving.places:
                    if place.span.takes_more(place.wanted_w) is wave:
                        leaving.decided.waits |= self._tell(state, setpoint, place, leaving.room, records)
                    if pace.is_over or len(records) >= AT_ONCE:
                        self.queue.put_all(records)
                        records = []
                        await pace.breathe()
            self.queue.put_all(records)

    async def _leaving(self, part: PartId, now: datetime, pace: Pace) -> Leaving | None:
        """What a part has to tell; None = everybody has been told, and has answered."""
        decided = self._deciding.kept[part]
        decided.waits = False
        for state, setpoint in zip(decided.states, decided.setpoints, strict=True):
            decided.waits = decided.waits or self._is_open(state, setpoint, now)
            if pace.is_over:
                await pace.breathe()
        if not decided.waits:
            return None
        places = []
        for state, setpoint in zip(decided.states, decided.setpoints, strict=True):
            places.append((state, setpoint, self._place(state, setpoint, now)))
            if pace.is_over:
                await pace.breathe()
        decided.waits = False
        make = partial(Room, self._deciding.sites_of(part), [place for _, _, place in places])
        room = make() if len(places) <= AT_ONCE else await asyncio.to_thread(make)
        return Leaving(decided, places, room)

    def _is_open(self, state: EvseState, setpoint: Setpoint, now: datetime) -> bool:
        """Something is to be told, or its answer is awaited: seen as where every watt counts."""
        station, evse = self._live.station(state.ref.station), self._live.find(state.ref)
        if station is None or evse is None or not is_reachable(station, evse):
            return False
        last = evse.told.setpoint
        if last is None or last.state in _OPEN or last.desired_w != setpoint.setpoint_w:
            return True
        moment = Moment(now, driver_for(station, evse), is_tight=True, settings=self._settings)
        return is_due(evse.told, setpoint, evse.run.transaction, moment)

    def _place(self, state: EvseState, setpoint: Setpoint, now: datetime) -> Place:
        station, evse = self._live.station(state.ref.station), self._live.find(state.ref)
        metered_w = state.observed_w or 0
        if state.reserved_w > 0 or state.uncontrolled_w is not None:
            fixed_w = state.uncontrolled_w or 0
            span = Span(min(fixed_w, 0), max(fixed_w, state.reserved_w, 0))
            return Place(state.site, span, span.most_w, metered_w)
        span = span_of(station, evse, now) if station and evse else Span()
        return Place(state.site, span, setpoint.setpoint_w, metered_w)

    def _tell(
        self,
        state: EvseState,
        setpoint: Setpoint,
        place: Place,
        room: Room,
        leaving: list[tuple[EvseLive, SetpointRecord]],
    ) -> bool:
        """Take what is due into ``leaving``. True = it must be looked at again: something is on its way, or waits."""
        station, evse = self._live.station(state.ref.station), self._live.find(state.ref)
        if station is None or evse is None or not is_reachable(station, evse):
            return False
        now = self._clock.now()
        if not self._standing.is_as_seen(evse) or not self.snapshots.still_holds(state, now):
            self._due.set()  # it changed while it was decided on: the next tick is at once
            return True
        moment = Moment(now, driver_for(station, evse), room.is_tight(state.site), self._settings)
        now_w = self._power_now(evse, setpoint, place, room, moment)
        going = setpoint.with_power(now_w)
        if is_due(evse.told, going, evse.run.transaction, moment):
            leaving.append((evse, record_of(evse, going, moment.driver, now)))
            self._note_use(state, going, now)
            return True
        last = evse.told.setpoint
        return now_w != setpoint.setpoint_w or last is None or last.state in _OPEN

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
        if state.use is Use.RESOURCE:
            for event in setpoint.events:
                self._used.setdefault(event, {})[state.ref] = now

    def _close_uses(self, decision: Decision) -> None:
        for event in self._used.keys() - {share.event for share in decision.events}:
            for ref, used_at in self._used.pop(event).items():
                if evse := self._live.find(ref):
                    evse.told.last_used_at = used_at


def is_reachable(station: StationLive, evse: EvseLive) -> bool:
    """A setpoint would reach a running transaction, and no probe is under way there."""
    told = evse.cable.plugged is not None and evse.run.transaction is not None and evse.told.probe is None
    return told and station.is_reachable


def driver_for(station: StationLive, evse: EvseLive) -> SetpointDriver:
    """The rung of the degrade ladder that this EVSE stands on (V2G-10)."""
    return station.driver_of(evse) if evse.told.compliance.level is Level.FULL else SetpointDriver.CHARGE_ONLY


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
        parts=setpoint.parts,
        expires_at=setpoint.expires_at,
        driver=driver,
        reasons=setpoint.reasons,
        observed_w=last.observed_w if last and is_renewed else None,
        observed_at=last.observed_at if last and is_renewed else None,
    )
