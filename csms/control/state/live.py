"""Live state: a cache of committed facts, rebuilt from the store at the start (design §3).

An EVSE's state is in sub-records; each says which room writes it, everybody reads all of them.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from csms.domain.commands import StartTransaction
from csms.domain.dispatch import SetpointRecord
from csms.domain.facts import IdToken, NeedsReported, Reading
from csms.domain.ids import EvseRef, PlugInId, StationId, TransactionId, UserId
from csms.domain.live import StoredStatus
from csms.domain.people import Vehicle
from csms.domain.permission import Permission, PermissionState, PlugIn, StartFailure
from csms.domain.station import Evse, HoldMethod, ProbeState, Quirks, Ratings, SetpointDriver, Station, Version
from policies.compliance import Compliance
from policies.meter import Meter as CountedMeter
from policies.meter import counted, power_w
from policies.probe import Probe

MAX_EVSES = 64
"""EVSE numbers above this are garbage (field lesson 21)."""


@dataclass(slots=True)
class Cable:
    """Written by intake. ``plugged``: the plug-in as the station tells it, without its user and their answer.
    ``available_since``: its connector has been reported free since then, which is not believed at once; ``free_at``:
    since when by the station's time."""

    statuses: dict[int, StoredStatus] = field(default_factory=dict)
    plugged: PlugIn | None = None
    available_since: datetime | None = None
    free_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """A start that was sent late: it may be over long since. Only something newer than it shows that it still runs."""

    transaction: TransactionId
    at: datetime
    token: IdToken | None
    accepted: bool
    holder: UserId | None
    group: str | None = None

    @property
    def keys(self) -> frozenset[str]:
        """Its token and the group of it, either of which may end what it began."""
        token = {self.token.key} if self.token else set()
        return frozenset(token | ({self.group.strip().upper()} if self.group else set()))


@dataclass(slots=True)
class Run:
    """Written by intake: the transaction. ``authorized``: energy may flow in it. ``refused``: a token was turned down.
    ``started_at``: by the station's time. ``tokens``: keys of the tokens that were accepted in this plug-in, and their
    groups.

    ``ended``: the newest that has ended here, ``ended_at`` when by the station's time; nothing that is said of it later
    counts. ``over_at``: when one that was authorized ended in this plug-in; only a later answer of the user starts
    another. ``queued``: see there."""

    transaction: TransactionId | None = None
    authorized: bool = False
    refused: bool = False
    started_at: datetime | None = None
    tokens: frozenset[str] = frozenset()
    ended: TransactionId | None = None
    ended_at: datetime | None = None
    over_at: datetime | None = None
    queued: Queued | None = None


@dataclass(slots=True)
class Meter:
    """Written by intake: the newest reading, and what the vehicle said of its needs. ``heard_at``: when a transaction
    last brought values, began, or was asked for them (stations)."""

    reading: Reading | None = None
    heard_at: datetime | None = None
    needs: NeedsReported | None = None


@dataclass(slots=True)
class StartAttempt:
    """A remote start under way: success is a transaction with our token, not the station's Accepted (V2G-32)."""

    command: StartTransaction
    sent_at: datetime
    tries: int = 1
    failure: StartFailure = StartFailure.NOT_STARTED


@dataclass(slots=True)
class Answer:
    """Written by permission: whose vehicle it is and what its user said, for one plug-in; no other plug-in ever has it
    (P4).

    ``matching``: the user is being looked up. ``assumed``: nobody said that they stand here, it is the host's EVSE.
    ``start_tokens``: keys of the tokens made for its starts of which no transaction has come yet.
    ``card``: key of the token by which alone the user was taken to be here; 1.6 does not say where it was shown.
    ``lock``: held while what the user said is being stored; what follows from time alone waits for it.
    ``participating_since``: see PlugIn. ``start_failed``: why no further start is tried. ``cycled_at``: when the
    station lost its power in the middle of a transaction."""

    plug_in: PlugInId
    user: UserId | None = None
    vehicle: Vehicle | None = None
    permission: Permission = Permission()
    stated_soc_percent: float | None = None
    participating_since: datetime | None = None
    matching: bool = False
    assumed: bool = False
    card: str | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    start: StartAttempt | None = None
    start_tokens: set[str] = field(default_factory=set)
    start_failed: StartFailure | None = None
    cycled_at: datetime | None = None


@dataclass(slots=True)
class Counted:
    """Written by dispatch: what the meter has said since one plug-in; no other plug-in ever has it."""

    plug_in: PlugInId
    meter: CountedMeter


@dataclass(slots=True)
class Told:
    """Written by dispatch: what the station was told and how far it follows. ``drawn_w``: see snapshot.EvseState.

    ``is_doubtful``: the station was away since, and may have missed or forgotten it. ``in_force``: the least and the
    most of what may be in force, W: the newest acknowledged setpoint and all that was sent since; None = nothing of
    ours. ``in_force_until``: when the last of that has run out. ``undone``: answers in a row that were none or a no.
    ``dynamic_transaction``: the one whose Dynamic profile is installed. ``probed_at``: when the last probe ended.
    ``is_read_back``: what the station makes of the running probe was asked. ``same_since``: since when the power of
    ``setpoint`` is acknowledged, over its renewals."""

    setpoint: SetpointRecord | None = None
    sent_at: datetime | None = None
    same_since: datetime | None = None
    is_doubtful: bool = False
    in_force: tuple[int, int] | None = None
    in_force_until: datetime | None = None
    undone: int = 0
    compliance: Compliance = Compliance()
    drawn_w: int | None = None
    dynamic_transaction: TransactionId | None = None
    probe_state: ProbeState = ProbeState.UNTRIED
    probe: Probe | None = None
    is_read_back: bool = False
    probed_at: datetime | None = None
    last_used_at: datetime | None = None

    def most_in_force_w(self, now: datetime) -> int:
        """The most that a setpoint which may be in force lets it draw; 0 when all have run out."""
        is_over = self.in_force is None or self.in_force_until is None or self.in_force_until <= now
        return 0 if is_over or self.in_force is None else max(self.in_force[1], 0)

    def forget_setpoint(self) -> None:
        """Whatever the station was told holds no more."""
        self.setpoint = self.sent_at = self.same_since = self.dynamic_transaction = None
        self.in_force = self.in_force_until = None
        self.is_doubtful, self.undone = False, 0
        self.forget_probe()

    def doubt_setpoint(self) -> None:
        """It is told again; until then it may hold, or not. What was learnt of the vehicle holds (A2)."""
        self.sent_at = self.same_since = self.dynamic_transaction = None
        self.is_doubtful, self.undone = True, 0
        self.forget_probe()

    def forget_probe(self) -> None:
        """It has proven nothing."""
        self.probe = None
        if self.probe_state is ProbeState.RUNNING:
            self.probe_state = ProbeState.UNTRIED


@dataclass(slots=True)
class EvseLive:
    """One EVSE now."""

    evse: Evse
    cable: Cable = field(default_factory=Cable)
    run: Run = field(default_factory=Run)
    meter: Meter = field(default_factory=Meter)
    answer: Answer | None = None
    told: Told = field(default_factory=Told)
    counted: Counted | None = None

    @property
    def ref(self) -> EvseRef:
        return self.evse.ref

    @property
    def answered(self) -> Answer | None:
        """The answer that is this plug-in's."""
        plugged, answer = self.cable.plugged, self.answer
        return answer if plugged is not None and answer is not None and answer.plug_in == plugged.id else None

    @property
    def plug_in(self) -> PlugIn | None:
        """The plug-in with its user and their answer."""
        plugged, answer = self.cable.plugged, self.answered
        if plugged is None or answer is None:
            return plugged
        return replace(
            plugged,
            user=answer.user,
            vehicle=answer.vehicle.id if answer.vehicle else None,
            permission=answer.permission,
            stated_soc_percent=answer.stated_soc_percent,
            participating_since=answer.participating_since,
        )

    @property
    def vehicle(self) -> Vehicle | None:
        return self.answered.vehicle if self.answered else None

    @property
    def user(self) -> UserId | None:
        return self.answered.user if self.answered else None

    @property
    def is_in_use(self) -> bool:
        """A vehicle is there, or something runs."""
        return self.cable.plugged is not None or self.run.transaction is not None

    @property
    def may_be_due(self) -> bool:
        """Something may follow here from time alone: a question, a start, a probe, the end of a plug-in."""
        return self.is_in_use or self.cable.available_since is not None or self.told.probe is not None

    @property
    def is_over(self) -> bool:
        """A transaction ran in this plug-in and has ended, and its user has not said yes anew since."""
        over_at, answer = self.run.over_at, self.answered
        is_yes = answer is not None and answer.permission.state is PermissionState.GRANTED
        answered_at = answer.permission.answered_at if answer and is_yes else None
        return over_at is not None and (answered_at is None or answered_at <= over_at)

    @property
    def power_w(self) -> int | None:
        power = self.meter.reading.power_w if self.meter.reading else None
        return None if power is None else round(power)

    @property
    def metered(self) -> CountedMeter:
        """What the meter has said since this plug-in; without one, its newest reading."""
        plugged, counts = self.cable.plugged, self.counted
        if plugged is not None and counts is not None and counts.plug_in == plugged.id:
            return counts.meter
        return CountedMeter() if self.meter.reading is None else counted(CountedMeter(), self.meter.reading)

    def power_at(self, now: datetime) -> int | None:
        """Net power now, W, + into the vehicle, from whatever the meter tells; None = not known, or too old (F9)."""
        power = power_w(self.metered, now)
        return None if power is None else round(power)

    @property
    def last_power_w(self) -> int | None:
        """The newest known power, however old."""
        return None if self.metered.metered_at is None else self.power_at(self.metered.metered_at)

    @property
    def soc_percent(self) -> float | None:
        return self.cable.plugged.soc_percent if self.cable.plugged else None


@dataclass(slots=True)
class StationLive:
    """One station now. Written by intake, except ``quirks``, ``failsafe_limit_w`` and ``is_settled`` (stations).
    ``version`` None = offline. ``failsafe_limit_w``: what each of its EVSEs falls to when nobody speaks to it; None =
    not known.

    ``booted_at``: its last boot in this run of the server. ``is_settled``: it has booted, or gone on, since it came
    back; no setpoint or probe goes to it before, and nothing is held against it. ``replayed_at``: when it last sent
    something that it had kept."""

    station: Station
    quirks: Quirks
    version: Version | None = None
    last_heard_at: datetime | None = None
    evses: dict[int, EvseLive] = field(default_factory=dict)
    card_shown_at: datetime | None = None
    failsafe_limit_w: int | None = None
    booted_at: datetime | None = None
    is_settled: bool = False
    replayed_at: datetime | None = None

    @property
    def is_reachable(self) -> bool:
        """What it is told reaches it, and its answers mean what they say (F8)."""
        return self.version is not None and self.is_settled

    @property
    def hold(self) -> HoldMethod:
        return self.quirks.hold

    def driver_of(self, evse: EvseLive) -> SetpointDriver:
        """The best driver proven for this EVSE (V2G-2, V2G-8)."""
        proven = evse.told.probe_state is ProbeState.PASSED
        return self.quirks.driver if proven else SetpointDriver.CHARGE_ONLY


class Live:
    """All stations and EVSEs, by id. Changed on the event loop only, after commits. ``on_discovered`` hears of every
    station that turns out to have an EVSE more than it was provisioned with."""

    def __init__(self, on_discovered: Callable[[StationLive], None]) -> None:
        self.stations: dict[StationId, StationLive] = {}
        self._on_discovered = on_discovered
        self._seen_at: dict[PlugInId, EvseRef] = {}

    def add(self, station: Station, quirks: Quirks) -> StationLive:
        """Put a station in, or renew what is known of it without touching what happens at its EVSEs."""
        live = self.stations.get(station.id)
        if live is None:
            live = self.stations[station.id] = StationLive(station, quirks, last_heard_at=station.last_heard_at)
        live.station, live.quirks = station, quirks
        for evse in station.evses:
            known = live.evses.setdefault(evse.ref.evse, EvseLive(evse))
            known.evse = evse
        return live

    def station(self, id_: StationId) -> StationLive | None:
        return self.stations.get(id_)

    def find(self, ref: EvseRef) -> EvseLive | None:
        """The EVSE; None when there is none."""
        live = self.stations.get(ref.station)
        return live.evses.get(ref.evse) if live else None

    def discover(self, ref: EvseRef) -> EvseLive | None:
        """The EVSE that its own station speaks of; one it never spoke of before comes into being with safe ratings."""
        live = self.stations.get(ref.station)
        known = live.evses.get(ref.evse) if live else None
        if known is not None or live is None or not 1 <= ref.evse <= MAX_EVSES:
            return known
        found = Evse(ref=ref, site=live.station.site, ratings=Ratings())
        live.station = replace(live.station, evses=(*live.station.evses, found))
        live.evses[ref.evse] = EvseLive(found)
        self._on_discovered(live)
        return live.evses[ref.evse]

    def evses(self) -> Iterator[tuple[StationLive, EvseLive]]:
        for station in self.stations.values():
            for evse in station.evses.values():
                yield station, evse

    def of_transaction(self, station: StationId, transaction: TransactionId) -> EvseLive | None:
        """The EVSE on which a transaction runs."""
        live = self.stations.get(station)
        found = (evse for evse in live.evses.values() if evse.run.transaction == transaction) if live else iter(())
        return next(found, None)

    def of_plug_in(self, id_: PlugInId) -> EvseLive | None:
        """Where it was seen last, if it is there now: only the EVSE itself says so, never the memory of it."""
        ref = self._seen_at.get(id_)
        known = self.find(ref) if ref is not None else None
        if known is not None and known.cable.plugged is not None and known.cable.plugged.id == id_:
            return known
        self._seen_at = {plugged.id: evse.ref for _, evse in self.evses() if (plugged := evse.cable.plugged)}
        ref = self._seen_at.get(id_)
        return self.find(ref) if ref is not None else None

    def of_user(self, user: UserId) -> EvseLive | None:
        """Where the user's vehicle is plugged in; the newest plug-in when there are several."""
        found = [
            (evse.cable.plugged.plugged_at, evse)
            for station in self.stations.values()
            for evse in station.evses.values()
            if (answer := evse.answer) is not None  # first what few have: every phone's page asks this of all EVSEs
            and answer.user == user
            and evse.cable.plugged is not None
            and answer.plug_in == evse.cable.plugged.id
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None
