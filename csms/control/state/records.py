"""The sub-records of an EVSE's live state: each says which room writes it, everybody reads all of them."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from csms.domain.commands import StartTransaction
from csms.domain.dispatch import SetpointRecord
from csms.domain.facts import IdToken, NeedsReported, Reading
from csms.domain.frequent import frequent
from csms.domain.ids import PlugInId, TransactionId, UserId
from csms.domain.live import StoredStatus
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Evidence, KnownBy, Permission, PlugIn, StartFailure
from csms.domain.station import ProbeState
from policies.compliance import Compliance
from policies.meter import Meter as CountedMeter
from policies.meter import Shown, shown_power
from policies.probe import Probe


@dataclass(slots=True)
class Cable:
    """Written by intake. ``plugged``: the plug-in as the station tells it, without its user and their answer.
    ``available_since``: its connector has been reported free since then, which is not believed at once; ``free_at``:
    since when by the station's time. ``other_since``: a vehicle left then, and a cable is in another connector."""

    statuses: dict[int, StoredStatus] = field(default_factory=dict)
    plugged: PlugIn | None = None
    available_since: datetime | None = None
    free_at: datetime | None = None
    other_since: datetime | None = None


@frequent
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


CUT_OFF_WITHIN = timedelta(minutes=5)
"""A transaction that ran when its station booted and is over this soon was cut off by that."""


@dataclass(slots=True)
class Answer:
    """Written by permission: whose vehicle it is and what its user said, for one plug-in; no other plug-in ever has it
    (P4).

    ``user``: written by ``Live.give``. ``matching``: the user is being looked up. ``evidence``: how it is known whose
    it is.
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
    evidence: Evidence = Evidence()
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    start: StartAttempt | None = None
    start_failed: StartFailure | None = None
    cycled_at: datetime | None = None

    def was_cut_off(self, at: datetime | None) -> bool:
        """Whether what ended ``at``, or was lost by then, ended as the station lost its power in the middle of it: the
        same vehicle is still there. Long after it a transaction ends for other reasons (B1)."""
        since = self.cycled_at
        return since is not None and at is not None and since <= at <= since + CUT_OFF_WITHIN

    @property
    def is_assumed(self) -> bool:
        """Nothing but a link, or the place, says whose vehicle it is, and its user has said neither yes nor no of it. A
        slot of the owner's is an answer at their own EVSE; elsewhere it says nothing of who is there (S2)."""
        by, permission = self.evidence.known_by, self.permission
        if by in {None, KnownBy.CARD}:
            return False
        is_by_slot = permission.channel is Channel.SLOT and by is not KnownBy.OWNER
        return permission.answered_at is None or is_by_slot


@dataclass(slots=True)
class Counted:
    """Written by dispatch: what the meter has said since one plug-in; no other plug-in ever has it. ``shows``: worked
    out once per reading, as it is asked for far more often."""

    plug_in: PlugInId
    meter: CountedMeter
    shows: tuple[CountedMeter, Shown] | None = None

    def shown(self) -> Shown:
        """The power that the newest reading shows."""
        if self.shows is None or self.shows[0] is not self.meter:
            self.shows = self.meter, shown_power(self.meter)
        return self.shows[1]


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
