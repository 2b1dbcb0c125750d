"""Live state: a cache of committed facts, rebuilt from the store at the start (design §3).

An EVSE's state is in sub-records; each says which room writes it, everybody reads all of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from csms.control.state.records import Answer, Cable, Counted, Meter, Run, Told
from csms.domain.ids import EvseRef, PlugInId, StationId, TransactionId, UserId
from csms.domain.people import Vehicle
from csms.domain.permission import PermissionState, PlugIn
from csms.domain.station import Evse, HoldMethod, ProbeState, Quirks, Ratings, SetpointDriver, Station, Version
from policies.meter import Meter as CountedMeter
from policies.meter import Shown, counted, shown_power

MAX_EVSES = 64
"""EVSE numbers above this are garbage (field lesson 21)."""


_CLOSED = frozenset({PermissionState.REFUSED, PermissionState.EXPIRED})


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
            evidence=answer.evidence,
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
        is_doubtful = self.cable.available_since is not None or self.cable.other_since is not None
        return self.is_in_use or is_doubtful or self.told.probe is not None

    def rests(self, heard_after: datetime) -> bool:
        """Nothing follows here from time alone: what runs was allowed by an answer that holds at any time, which its
        user knows of, and the meter was heard. Most of a fleet is like this, and costs nothing until it changes."""
        answer, run, heard_at = self.answered, self.run, self.meter.heard_at
        if answer is None or run.transaction is None or not run.authorized or self.told.probe is not None:
            return False
        if (
            self.cable.available_since is not None
            or self.cable.other_since is not None
            or (heard_at is not None and heard_at <= heard_after)
        ):
            return False
        permission = answer.permission
        if permission.conditions is not None and permission.conditions.slots:
            return False
        if permission.state is PermissionState.GRANTED:
            return permission.conditions is not None and answer.participating_since is not None
        return permission.state in _CLOSED and answer.participating_since is None

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
        if plugged is not None:
            return counts.meter if counts is not None and counts.plug_in == plugged.id else CountedMeter()
        return CountedMeter() if self.meter.reading is None else counted(CountedMeter(), self.meter.reading)

    def power_at(self, now: datetime) -> int | None:
        """Net power now, W, + into the vehicle, from whatever the meter tells; None = not known, or too old (F9). After
        the end of a transaction it is nothing, whatever was sampled last (field lesson 19)."""
        shown = self._shown
        if self._is_ended:
            return 0
        if shown.power_w is None or shown.until is None or now > shown.until:
            return None
        return round(shown.power_w)

    @property
    def _is_ended(self) -> bool:
        """The newest sample was taken before the transaction ended, and no other runs."""
        if self.run.transaction is not None or self.run.ended_at is None:
            return False
        metered_at = self.metered.metered_at
        return metered_at is not None and metered_at <= self.run.ended_at

    @property
    def _shown(self) -> Shown:
        plugged, counts = self.cable.plugged, self.counted
        if plugged is not None and counts is not None and counts.plug_in == plugged.id:
            return counts.shown()
        return shown_power(self.metered)

    @property
    def last_power_w(self) -> int | None:
        """The newest known power, however old."""
        power = 0.0 if self._is_ended else self._shown.power_w
        return None if power is None else round(power)

    @property
    def soc_percent(self) -> float | None:
        return self.cable.plugged.soc_percent if self.cable.plugged else None


@dataclass(slots=True)
class StationLive:
    """One station now. Written by intake, except ``quirks``, ``failsafe_limit_w``, ``set_up_as`` and ``is_settled``
    (stations).
    ``version`` None = offline. ``failsafe_limit_w``: what each of its EVSEs falls to when nobody speaks to it; None =
    not known. ``set_up_as``: which set-up it took, as which station; None = none that is known to hold.

    ``card_accepted_at``: when it last asked about a card that may charge. ``card_shown_at``: the same, where no vehicle
    waited for it. ``connected_at``: when its socket came; ``booted_at``: its last boot in this run of the server.
    ``is_settled``: it has booted, or gone on, since it came back; no setpoint or probe goes to it before, and nothing
    is held against it. ``replayed_at``: when it last sent something that it had kept."""

    station: Station
    quirks: Quirks
    version: Version | None = None
    last_heard_at: datetime | None = None
    evses: dict[int, EvseLive] = field(default_factory=dict)
    card_shown_at: datetime | None = None
    card_accepted_at: datetime | None = None
    connected_at: datetime | None = None
    failsafe_limit_w: int | None = None
    set_up_as: str | None = None
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
    station that turns out to have an EVSE more than it was provisioned with; ``approves``: nobody need be asked."""

    def __init__(self, on_discovered: Callable[[StationLive], None], *, approves: bool = False) -> None:
        self.stations: dict[StationId, StationLive] = {}
        self._approves = approves
        self._on_discovered = on_discovered
        self._seen_at: dict[PlugInId, EvseRef] = {}
        self._last_at: dict[EvseRef, PlugInId] = {}
        self._of_user: dict[UserId, set[EvseRef]] = {}

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
        found = Evse(ref=ref, site=live.station.site, ratings=Ratings(), approved=self._approves)
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

    def seat(self, evse: EvseLive) -> None:
        """Note which plug-in is there; the only place that does, so that ``of_plug_in`` looks at one EVSE only, also
        for an id that is long over (A14). One id per EVSE is kept."""
        plugged, before = evse.cable.plugged, self._last_at.get(evse.ref)
        if before is not None and self._seen_at.get(before) == evse.ref:
            del self._seen_at[before]
        if plugged is not None:
            self._seen_at[plugged.id] = evse.ref
            self._last_at[evse.ref] = plugged.id

    def of_plug_in(self, id_: PlugInId) -> EvseLive | None:
        """Where it was seen last, if it is there now: only the EVSE itself says so, never the memory of it."""
        ref = self._seen_at.get(id_)
        known = self.find(ref) if ref is not None else None
        is_there = known is not None and known.cable.plugged is not None and known.cable.plugged.id == id_
        return known if is_there else None

    def give(self, evse: EvseLive, user: UserId | None) -> None:
        """Write whose vehicle the answer there is about; the only place that does, so that ``of_user`` need not look at
        every EVSE (A14). Nothing where there is no answer."""
        if evse.answer is not None:
            evse.answer.user = user
            if user is not None:
                self._of_user.setdefault(user, set()).add(evse.ref)

    def all_of_user(self, user: UserId) -> list[EvseLive]:
        """Where the user's vehicles are plugged in now, in order; what has ended since is forgotten."""
        known = [evse for ref in sorted(self._of_user.get(user, ())) if (evse := self.find(ref)) is not None]
        named = {evse.ref for evse in known if evse.answer is not None and evse.answer.user == user}
        if named:
            self._of_user[user] = named
        else:
            self._of_user.pop(user, None)
        return [evse for evse in known if evse.user == user]

    def of_user(self, user: UserId) -> EvseLive | None:
        """Where the user's vehicle is plugged in; the newest plug-in when there are several."""
        found = [(plugged.plugged_at, evse) for evse in self.all_of_user(user) if (plugged := evse.cable.plugged)]
        return max(found, key=lambda pair: pair[0])[1] if found else None
