"""The state of one station, and how its energy flows in time. It says nothing: see station_v16 and station_v2."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from simulators.behaviours import Behaviour, Negative, distorted
from simulators.clock import Clock
from simulators.configuration import Configuration
from simulators.ev import Ev, corridor_w
from simulators.evse import EvseSpec, Meter, reachable_w, step
from simulators.message_queue import MessageQueue, Outgoing
from simulators.models import V16, StationSpec
from simulators.profile_rules import Abilities
from simulators.profiles import Demand, Profile, Situation, demand, survivors, without_transaction

Payload = dict[str, Any]
CHARGING, SUSPENDED_EV, SUSPENDED_EVSE = "Charging", "SuspendedEV", "SuspendedEVSE"
SUBSTEP_S = 1.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
METER_AT_ZERO = Meter()
NO_PROFILE = Demand()


@dataclass(slots=True)
class Grant:
    """Somebody may start: a card was accepted, or the CSMS asked. ``until``: the cable must be in by then."""

    token: str
    token_type: str = "ISO14443"  # noqa: S105 — a kind of token, no secret
    remote_start_id: int | None = None
    profile: Payload | None = None
    until: datetime | None = None


@dataclass(slots=True)
class Session:
    """One transaction. ``transaction`` is None while 1.6 waits for its number."""

    started_at: datetime
    grant: Grant | None = None
    transaction: str | None = None
    authorized: bool = False
    seq: int = 0
    state: str = ""
    mode: str = "ChargingOnly"


@dataclass(slots=True)
class Evse:
    """One EVSE with whatever stands at it."""

    number: int
    spec: EvseSpec
    meter: Meter = METER_AT_ZERO
    ev: Ev | None = None
    session: Session | None = None
    grant: Grant | None = None
    status: str = "Available"
    plugged_at: datetime | None = None
    next_sample_at: datetime | None = None
    wanted: Demand = NO_PROFILE
    heard_w: float = 0.0
    heard_at: datetime | None = None
    obeyed_w: float = 0.0
    meter_zero: Meter = METER_AT_ZERO
    frozen: Meter | None = None

    @property
    def may_flow(self) -> bool:
        """Energy flows in an authorized transaction with a vehicle, and only then."""
        return self.ev is not None and self.session is not None and self.session.authorized


@dataclass(slots=True)
class Hardware:
    """Everything inside the box."""

    spec: StationSpec
    clock: Clock
    behaviour: Behaviour
    random: random.Random
    configuration: Configuration
    evses: dict[int, Evse]
    began_at: datetime
    updated_at: datetime
    profiles: tuple[Profile, ...] = ()
    queue: MessageQueue = field(default_factory=MessageQueue)
    offline_since: datetime | None = None
    transactions: int = 0
    online: bool = False
    boot_asked: bool = False
    """The CSMS asked for a BootNotification while it had not accepted the station yet."""
    changed: Callable[[], None] = lambda: None

    @property
    def abilities(self) -> Abilities:
        model = self.spec.model
        return Abilities(
            evses=len(self.evses),
            setpoints=model.setpoints,
            dynamic=model.dynamic,
            refuse_duplicates=model.version != V16,
        )

    @property
    def negative(self) -> Negative:
        """What a negative limit becomes here."""
        by_model = Negative.OBEY if self.spec.model.negative_limits else Negative.REFUSE
        return self.behaviour.negative or by_model

    def stamp(self, at: datetime | None = None) -> str:
        """A time as this station writes it, its wrong clock included."""
        shown = (at or self.clock.now()) + timedelta(seconds=self.behaviour.clock_off_s)
        if self.behaviour.clock_from_1970:
            shown = EPOCH + (shown - self.began_at)
        return shown.strftime("%Y-%m-%dT%H:%M:%S.") + f"{shown.microsecond // 1000:03d}Z"

    def tell(
        self,
        action: str,
        payload: Payload | Callable[[], Payload],
        *,
        kept: bool = False,
        done: Callable[[Payload | None], None] | None = None,
    ) -> None:
        """Queue a message; while the CSMS is away only ``kept`` ones stay."""
        if not self.online and not kept:
            self.boot_asked |= action == "BootNotification"
            self.changed()
            if done:
                done(None)
            return
        fixed = payload if callable(payload) else lambda: payload
        copies = self.behaviour.resends if kept else 0
        self.queue.put(Outgoing(action=action, payload=fixed, kept=kept, done=done, copies=copies))
        self.changed()

    def situation(self, evse: Evse, at: datetime) -> Situation:
        """How the profile stack sees an EVSE."""
        offline_s = (at - self.offline_since).total_seconds() if self.offline_since else 0.0
        return Situation(
            evse=evse.number,
            at=at,
            started_at=evse.session.started_at if evse.session else None,
            offline_s=offline_s,
            phases=evse.spec.phases,
        )

    @property
    def sharing(self) -> int:
        """How many EVSEs share the station's maximum now."""
        return max(1, sum(evse.may_flow for evse in self.evses.values()))

    def begin(self, evse: Evse, session: Session) -> None:
        """A transaction begins at an EVSE."""
        evse.session, evse.next_sample_at = session, None
        self.transactions += 1

    def end_profiles(self, evse: Evse) -> None:
        self.profiles = without_transaction(self.profiles, evse.number)


def new_hardware(spec: StationSpec, clock: Clock, behaviour: Behaviour, seed: int) -> Hardware:
    """A new station; its meters have already run for a while."""
    dice = random.Random(f"{seed}:{spec.id}")  # noqa: S311 — repeatable on purpose
    evses = {number: Evse(number, rated, _old_meter(dice, rated)) for number, rated in enumerate(spec.evses, 1)}
    now = clock.now()
    return Hardware(spec, clock, behaviour, dice, Configuration(spec), evses, now, now)


def _old_meter(dice: random.Random, spec: EvseSpec) -> Meter:
    exported = dice.randrange(500_000) if spec.max_discharge_w else 0
    return Meter(0.0, float(dice.randrange(3_000_000)), float(exported))


def advance(hardware: Hardware, until: datetime) -> None:
    """Let energy flow up to an instant, in steps of at most a second."""
    while (left := (until - hardware.updated_at).total_seconds()) > 1e-6:
        seconds = min(left, SUBSTEP_S)
        hardware.updated_at += timedelta(seconds=seconds)
        for evse in hardware.evses.values():
            _flow(hardware, evse, seconds)
    if hardware.offline_since:
        hardware.profiles = survivors(hardware.profiles, (until - hardware.offline_since).total_seconds())
    _wear_meters(hardware, until)


def _flow(hardware: Hardware, evse: Evse, seconds: float) -> None:
    power = wanted_w(hardware, evse, hardware.updated_at)
    if evse.may_flow:
        evse.meter, evse.ev = step(evse.spec, evse.meter, evse.ev, power, seconds)
    else:  # the contactor is open
        evse.meter = replace(evse.meter, power_w=0.0)


def wanted_w(hardware: Hardware, evse: Evse, at: datetime) -> float:
    """The power the EVSE goes for, its misbehaviour included."""
    if not evse.may_flow:
        evse.obeyed_w = evse.heard_w = 0.0
        return 0.0
    evse.wanted = demand(hardware.profiles, hardware.situation(evse, at), sharing=hardware.sharing)
    wanted = reachable_w(evse.spec, distorted(hardware.behaviour, _asked_w(hardware, evse)))
    return _late(hardware, evse, wanted, at)


def _asked_w(hardware: Hardware, evse: Evse) -> float:
    wanted = evse.wanted
    power = wanted.setpoint_w if wanted.setpoint_w is not None else wanted.limit_w
    if power is None or (power < 0 and hardware.behaviour.negative is Negative.UNLIMITED):
        return evse.spec.max_charge_w
    return max(power, 0.0) if hardware.behaviour.negative is Negative.CLAMP else power


def _late(hardware: Hardware, evse: Evse, wanted: float, at: datetime) -> float:
    if wanted != evse.heard_w or evse.heard_at is None:
        evse.heard_w, evse.heard_at = wanted, at
    if (at - evse.heard_at).total_seconds() >= hardware.behaviour.obey_delay_s:
        evse.obeyed_w = wanted
    return evse.obeyed_w


def charging_state(evse: Evse) -> str:
    """Charging (in either direction), or who holds it back."""
    if evse.obeyed_w == 0:
        return SUSPENDED_EVSE
    low, high = corridor_w(evse.ev) if evse.ev else (0.0, 0.0)
    return CHARGING if abs(min(max(evse.obeyed_w, low), high)) > 0 else SUSPENDED_EV


def _wear_meters(hardware: Hardware, at: datetime) -> None:
    age_s = (at - hardware.began_at).total_seconds()
    behaviour = hardware.behaviour
    for evse in hardware.evses.values():
        if behaviour.freeze_meter_at_s and age_s >= behaviour.freeze_meter_at_s and evse.frozen is None:
            evse.frozen = evse.meter
        if behaviour.reset_meter_at_s and age_s >= behaviour.reset_meter_at_s and evse.meter_zero is METER_AT_ZERO:
            evse.meter_zero = evse.meter
