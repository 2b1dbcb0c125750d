"""Worlds that run by their own physics: what a vehicle holds and what flows, second by second, whatever anybody says.

Nothing of the policies is used here but the decision that is tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from csms.domain.decision import Decision
from csms.domain.ids import EvseRef
from csms.domain.snapshot import EvseState, Snapshot, Use
from policies import decide

STEP = timedelta(minutes=1)


@dataclass
class World:
    """EVSEs with their true batteries. ``told``: whether a station reports the state of charge."""

    start: Snapshot
    step: timedelta = STEP
    energy_wh: dict[EvseRef, float] = field(default_factory=dict)
    added_wh: dict[EvseRef, float] = field(default_factory=dict)
    net_wh: float = 0.0
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        for evse in self.start.evses:
            self.energy_wh[evse.ref] = evse.battery.energy_wh if evse.battery else 0.0
            self.added_wh[evse.ref] = 0.0

    def run(self, hours: float) -> "World":
        """Decide and let it flow, step by step."""
        virtual = self.start.virtual
        for number in range(round(timedelta(hours=hours) / self.step)):
            now = self.start.now + number * self.step
            evses = tuple(self._seen(evse, now) for evse in self.start.evses)
            state = replace(self.start, now=now, virtual=virtual, evses=evses)
            decision = decide(state)
            virtual = {each.evse: each for each in decision.virtual}
            self.decisions.append(decision)
            for evse, setpoint in zip(evses, decision.setpoints, strict=True):
                if evse.use is not Use.IDLE:
                    self._flow(evse, setpoint.setpoint_w)
        return self

    def _seen(self, evse: EvseState, now: datetime) -> EvseState:
        if evse.terms.departure_at is not None and now >= evse.terms.departure_at:
            return replace(evse, use=Use.IDLE)
        battery, energy_wh = evse.battery, self.energy_wh[evse.ref]
        if battery is not None and battery.is_told:
            battery = replace(battery, energy_wh=energy_wh)
        elif battery is not None:
            least = max(0.0, self.added_wh[evse.ref]) * battery.charge_efficiency
            battery = replace(battery, energy_wh=min(least, battery.capacity_wh))
        return replace(evse, battery=battery, added_wh=self.added_wh[evse.ref])

    def _flow(self, evse: EvseState, power_w: int) -> None:
        battery = evse.battery
        assert battery is not None
        wh, held = power_w * self.step.total_seconds() / 3600, self.energy_wh[evse.ref]
        if wh >= 0:
            wh = min(wh, (battery.capacity_wh - held) / battery.charge_efficiency)
            self.energy_wh[evse.ref] = held + wh * battery.charge_efficiency
        else:
            wh = -min(-wh, held * battery.discharge_efficiency)
            self.energy_wh[evse.ref] = held + wh / battery.discharge_efficiency
        self.added_wh[evse.ref] += wh
        self.net_wh += wh

    def stated_wh(self) -> float:
        """What the decisions say was moved, downwards: counterfactual less setpoint, of all their setpoints."""
        hours = self.step.total_seconds() / 3600
        return sum(s.counterfactual_w - s.setpoint_w for d in self.decisions for s in d.setpoints) * hours

    def allotted_wh(self) -> float:
        return sum(share.allotted_w for d in self.decisions for share in d.events) * self.step.total_seconds() / 3600


def pair(state: Snapshot, hours: float) -> tuple[World, World]:
    """The same world with its events and without them."""
    return World(state).run(hours), World(replace(state, events=())).run(hours)


def reversals(powers: Sequence[int]) -> int:
    """How often the direction changes."""
    signs = [power > 0 for power in powers if power]
    return sum(a != b for a, b in pairwise(signs))
