"""One run: the world moves, stations tell of it, the server decides by the product's own policies, stations obey."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from csms.domain.decision import Decision, EventShare, Setpoint
from csms.domain.ids import EvseRef
from csms.domain.metering import StoredReading
from csms.domain.snapshot import Battery, Snapshot, Use, Virtual
from policies import decide
from policies.constraints import safe_decision
from simulators.twin.cases import Answer, Case, Visit
from simulators.twin.meters import read
from simulators.twin.plugs import closed_plugs, failsafe_limits
from simulators.twin.sight import ASKED_FOR_S, Sight, first_sight
from simulators.twin.world import Overload, Trail, World

RAISES_WAIT_S = 10
"""Decreases leave at once, increases so much later: the fuses have the room by then (A10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """What a decision took a battery to be, beside what was in it, Wh."""

    place: int
    at_s: int
    battery: Battery
    true_wh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of a case: the truth (``trail``, ``overload``) and all that the server knew and did."""

    case: Case
    trail: Trail
    overload: Overload
    sights: tuple[Sight, ...]
    shares: tuple[tuple[datetime, EventShare], ...]
    believed: tuple[Believed, ...]
    violations: Counter[str]


@dataclass(slots=True, kw_only=True)
class _Server:
    """What the server keeps between two decisions."""

    virtual: dict[EvseRef, Virtual] = field(default_factory=dict)
    shares: list[tuple[datetime, EventShare]] = field(default_factory=list)
    believed: list[Believed] = field(default_factory=list)
    violations: Counter[str] = field(default_factory=Counter)
    used: dict[str, dict[int, datetime]] = field(default_factory=dict)


def run(case: Case) -> Run:
    """Play a case from its start to its end. Same case, same run."""
    return _Loop(case).run()


class _Loop:
    """One run in the making; ``_agenda``: (second, order, what happens)."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._world = World(case.visits, case.sites)
        falls_to_w = failsafe_limits(case)
        sights = enumerate(zip(case.visits, falls_to_w, strict=True))
        self._sights = tuple(first_sight(visit, number, case.start, limit_w) for number, (visit, limit_w) in sights)
        self._plugs = closed_plugs(falls_to_w)
        self._server = _Server()
        self._held: dict[int, list[StoredReading]] = {}
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._said = 0
        for place, visit in enumerate(case.visits):
            self._plan(place, visit)

    def run(self) -> Run:
        self._at(0, self._tick)
        while self._world.at_s < self._case.seconds:
            while self._agenda and self._agenda[0][0] <= self._world.at_s:
                heapq.heappop(self._agenda)[2]()
            self._world.step(self._plugs.wanted_w(self._world.at_s), self._plugs.flows)
        for place, sight in enumerate(self._sights):
            if sight.is_there:
                self._sample(place, "Sample.Clock")
        return Run(
            case=self._case,
            trail=self._world.trail,
            overload=self._world.overload,
            sights=self._sights,
            shares=tuple(self._server.shares),
            believed=tuple(self._server.believed),
            violations=self._server.violations,
        )

    @property
    def _now(self) -> datetime:
        return self._case.start + timedelta(seconds=self._world.at_s)

    def _at(self, second: int, happens: Callable[[], None]) -> None:
        self._said += 1
        heapq.heappush(self._agenda, (second, self._said, happens))

    def _plan(self, place: int, visit: Visit) -> None:
        waits_s = ASKED_FOR_S if visit.answer is Answer.NOTHING else visit.answers_after_s
        self._at(visit.arrives_s, partial(self._arrive, place))
        self._at(visit.arrives_s + int(waits_s), partial(self._answer, place))
        self._at(visit.leaves_s, partial(self._leave, place))
        for gone_s, back_s in visit.offline:
            self._at(gone_s, partial(self._lose, place))
            self._at(back_s, partial(self._return, place))

    def _arrive(self, place: int) -> None:
        self._sights[place].plugged(self._now)
        self._sample(place, "Transaction.Begin")
        self._at(self._world.at_s + self._case.visits[place].meter.interval_s, partial(self._sample_on, place))

    def _answer(self, place: int) -> None:
        """A transaction may begin: at 0 W until the first setpoint (P4), as RequestStartTransaction's profile says."""
        self._sights[place].told(self._now)
        self._plugs.setpoint_w[place], self._plugs.until_s[place] = 0, self._world.at_s + self._case.horizon_s
        self._plugs.flows[place] = self._sights[place].use(self._now) not in {Use.HELD, Use.NOTHING}

    def _leave(self, place: int) -> None:
        self._plugs.flows[place] = False
        self._plugs.until_s[place] = 0
        self._sample(place, "Transaction.End")
        self._sights[place].unplugged(self._now)

    def _lose(self, place: int) -> None:
        self._sights[place].online = False

    def _return(self, place: int) -> None:
        """What was kept comes first, in its order (C: the station replays before it lives)."""
        self._sights[place].online = True
        for stored in self._held.pop(place, []):
            self._sights[place].took(stored, self._now)

    def _sample_on(self, place: int) -> None:
        if not self._sights[place].is_there:
            return
        self._sample(place, "Sample.Periodic")
        self._at(self._world.at_s + self._case.visits[place].meter.interval_s, partial(self._sample_on, place))

    def _sample(self, place: int, context: str) -> None:
        visit, sight = self._case.visits[place], self._sights[place]
        self._said += 1
        reading = read(visit, self._world, place, self._now, context)
        stored = StoredReading(id=self._said, reading=reading, received_at=self._now, message_id=f"m-{self._said}")
        if sight.online:
            sight.took(stored, self._now)
        elif visit.meter.keeps or context != "Sample.Periodic":
            self._held.setdefault(place, []).append(stored)

    def _tick(self) -> None:
        """Snapshot, decision, checks, setpoints: as the server's dispatch room does it."""
        self._at(self._world.at_s + self._case.tick_s, self._tick)
        there = [place for place, sight in enumerate(self._sights) if sight.is_there]
        if not there:
            return
        snapshot = self._snapshot(there)
        decision = self._checked(snapshot)
        self._server.virtual = {virtual.evse: virtual for virtual in decision.virtual}
        self._server.shares += [(self._now, share) for share in decision.events]
        self._note_uses(there, decision)
        for place, setpoint in zip(there, decision.setpoints, strict=True):
            self._send(place, setpoint)

    def _snapshot(self, there: list[int]) -> Snapshot:
        now, case = self._now, self._case
        states = tuple(self._sights[place].state(now) for place in there)
        self._server.believed += [
            Believed(
                place=place,
                at_s=self._world.at_s,
                battery=state.battery,
                true_wh=float(self._world.energy_wh[place]),
            )
            for place, state in zip(there, states, strict=True)
            if state.battery is not None
        ]
        return Snapshot(
            now=now,
            horizon_s=case.horizon_s,
            sites=case.sites,
            evses=states,
            events=tuple(event for event in case.events if event.created_at <= now and event.is_active(now)),
            prices=case.prices,
            virtual=self._server.virtual,
        )

    def _checked(self, snapshot: Snapshot) -> Decision:
        decision, broken = safe_decision(snapshot, decide(snapshot))
        self._server.violations.update(one.rule for one in broken)
        return decision

    def _note_uses(self, there: list[int], decision: Decision) -> None:
        """Whoever served an event counts as used once it is over."""
        active = {share.event for share in decision.events}
        for event in self._server.used.keys() - active:
            for place, used_at in self._server.used.pop(event).items():
                self._sights[place].last_used_at = used_at
        for place, setpoint in zip(there, decision.setpoints, strict=True):
            for event in setpoint.events:
                self._server.used.setdefault(event, {})[place] = self._now

    def _send(self, place: int, setpoint: Setpoint) -> None:
        sight, visit = self._sights[place], self._case.visits[place]
        if not sight.online or not sight.has_answer() or not sight.is_due(setpoint, self._now, self._case.horizon_s):
            return
        last = sight.setpoint
        is_raise = setpoint.setpoint_w > (last.desired_w if last else 0)
        obeyed_s = self._world.at_s + visit.latency_s + (RAISES_WAIT_S if is_raise else 0)
        sight.sent(setpoint, self._now, self._case.start + timedelta(seconds=obeyed_s))
        until_s = (setpoint.expires_at - self._case.start).total_seconds()
        self._at(obeyed_s, partial(self._obey, place, len(sight.records), setpoint.setpoint_w, until_s))

    def _obey(self, place: int, number: int, setpoint_w: int, until_s: float) -> None:
        """The newest wins: one that was overtaken on its way changes nothing."""
        if len(self._sights[place].records) == number and self._sights[place].is_there:
            self._plugs.setpoint_w[place], self._plugs.until_s[place] = setpoint_w, until_s
