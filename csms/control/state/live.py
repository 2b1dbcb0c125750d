"""Live state: a cache of committed facts, rebuilt from the store at the start (design §3)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from csms.domain.commands import StartTransaction
from csms.domain.dispatch import SetpointRecord, TransactionRecord
from csms.domain.facts import NeedsReported, Reading
from csms.domain.ids import EvseRef, PlugInId, StationId, TransactionId, UserId
from csms.domain.live import LiveState, StoredStatus
from csms.domain.people import Vehicle
from csms.domain.permission import PlugIn
from csms.domain.station import Evse, HoldMethod, ProbeState, Quirks, Ratings, SetpointDriver, Station, Version
from policies.compliance import Compliance
from policies.probe import Probe

MAX_EVSES = 64
"""EVSE numbers above this are garbage (field lesson 21)."""

CLOCKS_DIFFER = timedelta(minutes=5)
"""A transaction that says it began this little before its plug-in was seen may still be of that plug-in."""


@dataclass(slots=True)
class StartAttempt:
    """A remote start under way: success is a transaction with our token, not the station's Accepted (V2G-32)."""

    command: StartTransaction
    sent_at: datetime
    tries: int = 1


@dataclass(slots=True)
class EvseLive:
    """One EVSE now. ``authorized``: energy may flow in the running transaction. ``is_over``: it ran and has ended, so
    that only a new answer of the user starts another in the same plug-in. ``refused``: a token was turned down in the
    running transaction. ``ended``: the newest transaction that has ended here; nothing that is said of it later counts.
    ``probed_at``: when the last probe had an outcome. ``matching``: the plug-in whose user is being looked up.
    ``dynamic_transaction``: the one whose Dynamic profile is installed. ``drawn_w``: see domain.snapshot.EvseState."""

    evse: Evse
    statuses: dict[int, StoredStatus] = field(default_factory=dict)
    plug_in: PlugIn | None = None
    vehicle: Vehicle | None = None
    transaction: TransactionId | None = None
    authorized: bool = False
    refused: bool = False
    is_over: bool = False
    ended: TransactionId | None = None
    available_since: datetime | None = None
    reading: Reading | None = None
    needs: NeedsReported | None = None
    start: StartAttempt | None = None
    setpoint: SetpointRecord | None = None
    sent_at: datetime | None = None
    compliance: Compliance = Compliance()
    probe_state: ProbeState = ProbeState.UNTRIED
    probe: Probe | None = None
    probed_at: datetime | None = None
    last_used_at: datetime | None = None
    dynamic_transaction: TransactionId | None = None
    drawn_w: int | None = None
    matching: PlugInId | None = None

    @property
    def ref(self) -> EvseRef:
        return self.evse.ref

    @property
    def is_in_use(self) -> bool:
        """A vehicle is there, or something runs."""
        return self.plug_in is not None or self.transaction is not None

    @property
    def power_w(self) -> int | None:
        power = self.reading.power_w if self.reading else None
        return None if power is None else round(power)

    @property
    def soc_percent(self) -> float | None:
        if self.plug_in is None:
            return None
        return self.plug_in.soc_percent

    def want_start(self) -> None:
        """The user said yes (again): a transaction is wanted, and worth new tries."""
        self.is_over = False
        if self.start is not None:
            self.start.tries = 0

    def forget_vehicle(self) -> None:
        """The cable is out: nothing that was learnt of this vehicle holds for the next."""
        self.plug_in = self.vehicle = self.needs = self.start = self.available_since = self.transaction = None
        self.authorized = self.refused = self.is_over = False
        self.compliance = Compliance()
        self.forget_setpoint()

    def forget_setpoint(self) -> None:
        """Whatever the station was told holds no more."""
        self.setpoint = self.sent_at = self.dynamic_transaction = self.drawn_w = None
        self.forget_probe()

    def forget_probe(self) -> None:
        """It has proven nothing."""
        self.probe = None
        if self.probe_state is ProbeState.RUNNING:
            self.probe_state = ProbeState.UNTRIED


@dataclass(slots=True)
class StationLive:
    """One station now. ``version`` None = offline."""

    station: Station
    quirks: Quirks
    version: Version | None = None
    last_heard_at: datetime | None = None
    evses: dict[int, EvseLive] = field(default_factory=dict)
    card_shown_at: datetime | None = None

    @property
    def hold(self) -> HoldMethod:
        return self.quirks.hold

    def driver_of(self, evse: EvseLive) -> SetpointDriver:
        """The best driver proven for this EVSE (V2G-2, V2G-8)."""
        proven = evse.probe_state is ProbeState.PASSED
        return self.quirks.driver if proven else SetpointDriver.CHARGE_ONLY


class Live:
    """All stations and EVSEs, by id. Changed on the event loop only, after commits. ``on_discovered`` hears of every
    station that turns out to have an EVSE more than it was provisioned with."""

    def __init__(self) -> None:
        self.stations: dict[StationId, StationLive] = {}
        self.on_discovered: Callable[[StationLive], None] = lambda station: None

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
        self.on_discovered(live)
        return live.evses[ref.evse]

    def evses(self) -> Iterator[tuple[StationLive, EvseLive]]:
        for station in self.stations.values():
            for evse in station.evses.values():
                yield station, evse

    def of_transaction(self, station: StationId, transaction: TransactionId) -> EvseLive | None:
        """The EVSE on which a transaction runs."""
        live = self.stations.get(station)
        found = (evse for evse in live.evses.values() if evse.transaction == transaction) if live else iter(())
        return next(found, None)

    def of_plug_in(self, id_: PlugInId) -> EvseLive | None:
        return next((evse for _, evse in self.evses() if evse.plug_in and evse.plug_in.id == id_), None)

    def of_user(self, user: UserId) -> EvseLive | None:
        """Where the user's vehicle is plugged in; the newest plug-in when there are several."""
        found = [
            (evse.plug_in.plugged_at, evse) for _, evse in self.evses() if evse.plug_in and evse.plug_in.user == user
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None


def restore(live: Live, state: LiveState, is_accepted: Callable[[str | None], bool]) -> None:
    """Bring back what happens at the EVSEs. Stations must be in already; probes of another firmware do not count.

    ``is_accepted``: whether a transaction's id token, if it has one, authorizes it.
    """
    for status in state.statuses:
        if evse := live.discover(status.evse):
            evse.statuses[status.connector] = status
    for ref, reading in state.readings.items():
        if evse := live.find(ref):
            evse.reading = reading
    _restore_plug_ins(live, state, is_accepted)
    _restore_probes(live, state)


def _restore_plug_ins(live: Live, state: LiveState, is_accepted: Callable[[str | None], bool]) -> None:
    for plug_in in state.plug_ins:
        if evse := live.discover(plug_in.evse):
            evse.plug_in = plug_in
    for record in state.transactions:
        if record.evse and (evse := live.find(record.evse)) and _runs(record, evse.plug_in):
            evse.transaction = record.id
            evse.authorized = is_accepted(record.token) or _is_adopted(live.stations[evse.ref.station], record)
    for _, evse in live.evses():
        _restore_soc(evse)
        _restore_end(evse)
    for setpoint in state.setpoints:
        if (found := live.find(setpoint.evse)) and found.plug_in and found.plug_in.id == setpoint.plug_in:
            found.setpoint = setpoint


def _runs(record: TransactionRecord, plug_in: PlugIn | None) -> bool:
    """Whether an open transaction is that of the vehicle that is there; those without an end stay open for ever."""
    if plug_in is None or plug_in.transaction == record.id:
        return plug_in is not None
    is_new = record.started_at is None or record.started_at >= plug_in.plugged_at - CLOCKS_DIFFER
    return plug_in.transaction is None and is_new


def _is_adopted(station: StationLive, record: TransactionRecord) -> bool:
    """It ran before we knew of it, and nothing is known of its start; 2.x says itself whether energy flows."""
    is_unknown = record.started_at is None and record.token is None
    return is_unknown and station.station.version is Version.V16


def _restore_soc(evse: EvseLive) -> None:
    """The newest sample knows the state of charge better than the plug-in, which is not stored with every sample."""
    plug_in, reading = evse.plug_in, evse.reading
    if plug_in is None or reading is None or reading.soc_percent is None or reading.at < plug_in.plugged_at:
        return
    start = reading.soc_percent if plug_in.soc_at_start_percent is None else plug_in.soc_at_start_percent
    evse.plug_in = replace(plug_in, soc_percent=reading.soc_percent, soc_at=reading.at, soc_at_start_percent=start)


def _restore_end(evse: EvseLive) -> None:
    """Where no transaction runs no power flows, whatever was sampled last (field lesson 19)."""
    if evse.transaction is not None:
        return
    if evse.plug_in is not None and evse.plug_in.transaction is not None:
        evse.is_over, evse.ended = True, evse.plug_in.transaction
    if evse.reading is not None:
        evse.reading = replace(evse.reading, power_import_w=0.0, power_export_w=0.0)


def _restore_probes(live: Live, state: LiveState) -> None:
    for probe in state.probes:
        station = live.station(probe.evse.station)
        evse = live.find(probe.evse)
        if station is None or evse is None or probe.state is ProbeState.RUNNING:
            continue
        if station.station.firmware == probe.firmware or probe.state is ProbeState.UNSAFE:
            evse.probe_state, evse.probed_at = probe.state, probe.at
