"""Brings back what happens at the EVSEs from the store. Stations must be in already."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import EvseLive, Live
from csms.control.state.records import Answer, Queued
from csms.domain.dispatch import TransactionRecord
from csms.domain.facts import IdToken, Reading
from csms.domain.ids import TransactionId, VehicleId
from csms.domain.live import LiveState, StoredEnd, StoredWord
from csms.domain.people import Vehicle
from csms.domain.permission import Evidence, Permission, PlugIn
from csms.domain.station import ConnectorStatus, ProbeState, Version

CLOCKS_DIFFER = timedelta(minutes=5)
"""A transaction that says it began this little before its plug-in was seen may still be of that plug-in."""

STAMPS_DIFFER = timedelta(seconds=3)
"""Values may be stamped this little before the status that tells of their cable: many stamp in whole seconds."""


def restore(
    live: Live,
    state: LiveState,
    vehicles: Mapping[VehicleId, Vehicle],
    tokens: IdTokens,
    now: datetime,
) -> None:
    """``vehicles``: those of the plug-ins. Probes of another firmware do not count."""
    for status in state.statuses:
        if evse := live.discover(status.evse):
            evse.cable.statuses[status.connector] = status
    for ref, readings in state.readings.items():
        if evse := live.find(ref):
            evse.meter.reading = merged(_powerless(readings, state.ended.get(ref)))
    _plug_ins(live, state, vehicles)
    for ref, free in state.freed.items():  # reported free, and not believed yet when the server went down
        if free.said is not None and (evse := live.find(ref)):
            evse.cable.available_since, evse.cable.free_at = free.said.received_at or now, free.said.at
    _transactions(live, state, tokens, now)
    _setpoints(live, state)
    _probes(live, state)


def _plug_ins(live: Live, state: LiveState, vehicles: Mapping[VehicleId, Vehicle]) -> None:
    for plug_in in state.plug_ins:
        if evse := live.discover(plug_in.evse):
            evse.cable.plugged = _bare(plug_in)
            live.seat(evse)
            evse.answer = Answer(
                plug_in=plug_in.id,
                vehicle=vehicles.get(plug_in.vehicle) if plug_in.vehicle else None,
                permission=plug_in.permission,
                stated_soc_percent=plug_in.stated_soc_percent,
                participating_since=plug_in.participating_since,
                evidence=plug_in.evidence,
            )
            live.give(evse, plug_in.user)
            evse.meter.needs = state.needs.get(plug_in.evse)


def _bare(plug_in: PlugIn) -> PlugIn:
    """The part that the station tells."""
    return replace(
        plug_in,
        user=None,
        vehicle=None,
        permission=Permission(),
        stated_soc_percent=None,
        participating_since=None,
        evidence=Evidence(),
    )


def _powerless(readings: Iterable[Reading], end: StoredEnd | None) -> Iterator[Reading]:
    """Power until the end of a transaction is nothing after it, whatever was sampled last (field lesson 19)."""
    for reading in readings:
        is_over = end is not None and reading.at <= end.at
        yield replace(reading, power_import_w=0.0, power_export_w=0.0) if is_over else reading


def merged(readings: Iterable[Reading]) -> Reading | None:
    """The newest of readings in order, with what it left out."""
    newest: Reading | None = None
    for reading in readings:
        newest = reading if newest is None else with_registers(reading, newest)
    return newest


def with_registers(new: Reading, old: Reading) -> Reading:
    """Registers and power that this sample left out are still those of the last one; mostly it left out nothing."""
    silent = new.power_import_w is None and new.power_export_w is None
    if not silent and new.import_wh is not None and (new.export_wh is not None or old.export_wh is None):
        return new
    return replace(
        new,
        import_wh=old.import_wh if new.import_wh is None else new.import_wh,
        export_wh=old.export_wh if new.export_wh is None else new.export_wh,
        power_import_w=old.power_import_w if silent else new.power_import_w,
        power_export_w=old.power_export_w if silent else new.power_export_w,
    )


def know_soc(evse: EvseLive) -> None:
    """The newest state of charge among the readings that were counted is the plug-in's, which is not stored with every
    one of them."""
    plugged, counts = evse.cable.plugged, evse.counted
    told = counts.meter.told if counts is not None and plugged is not None and counts.plug_in == plugged.id else None
    if plugged is None or told is None or (plugged.soc_at is not None and told.at <= plugged.soc_at):
        return
    start = told.percent if plugged.soc_at_start_percent is None else plugged.soc_at_start_percent
    evse.cable.plugged = replace(plugged, soc_percent=told.percent, soc_at=told.at, soc_at_start_percent=start)


def _transactions(live: Live, state: LiveState, tokens: IdTokens, now: datetime) -> None:
    for ref, end in state.ended.items():
        if evse := live.find(ref):
            evse.run.ended, evse.run.ended_at = end.transaction, end.at
    for record in state.transactions:
        evse = live.find(record.evse) if record.evse else None
        if evse is None:
            continue
        word = state.words.get((evse.ref.station, record.id), StoredWord())
        if _runs(record, evse.cable.plugged):
            _run(live, evse, record, word, tokens)
            evse.meter.heard_at = now
        elif evse.cable.plugged is None and not _is_history(evse, record):
            evse.run.queued = queued(live, evse, record, word, tokens) or evse.run.queued
    for _, evse in live.evses():
        plugged = evse.cable.plugged
        if evse.run.transaction is None and plugged is not None and plugged.transaction is not None:
            _over(live, evse, plugged.transaction, state, tokens, now)


def _run(live: Live, evse: EvseLive, record: TransactionRecord, word: StoredWord, tokens: IdTokens) -> None:
    """What runs. It was authorized by any token that was shown in it, or by none where none was asked for."""
    told = word.tokens | ({record.token} if record.token is not None else set())
    version = live.stations[evse.ref.station].station.version
    is_open = any(_is_open(version, token) for token in told)
    is_free = is_open or word.charges_unasked or (not told and _is_adopted(version, record))
    evse.run.transaction, evse.run.started_at = record.id, record.started_at
    began_at = record.started_at
    evse.run.tokens = frozenset(key for token in told for key in tokens.accepted(token, evse.ref, live, began_at))
    evse.run.authorized = bool(evse.run.tokens) or is_free
    evse.run.refused = bool(told) and not evse.run.authorized


def queued(live: Live, evse: EvseLive, record: TransactionRecord, word: StoredWord, tokens: IdTokens) -> Queued | None:
    """A start that came late and is not believed yet: only something newer than it shows that it still runs."""
    if record.started_at is None:
        return None
    key = record.token or min(word.tokens, default=None)
    token = None if key is None else IdToken(key)
    known = tokens.find(token) if token else None
    holder, group = (known.user, known.group) if known else (None, None)
    return Queued(
        transaction=record.id,
        at=record.started_at,
        token=token,
        accepted=bool(tokens.accepted(key, evse.ref, live, record.started_at)),
        holder=holder,
        group=group,
    )


def _is_history(evse: EvseLive, record: TransactionRecord) -> bool:
    """The connector has become free since it began."""
    newest = max(evse.cable.statuses.values(), key=lambda one: one.at, default=None)
    if newest is None or newest.status is not ConnectorStatus.AVAILABLE:
        return False
    return record.started_at is None or newest.at > record.started_at


def _over(
    live: Live, evse: EvseLive, transaction: TransactionId, state: LiveState, tokens: IdTokens, now: datetime
) -> None:
    """Its transaction is over; one that was never authorized, or whose end nobody told, may be started again."""
    end, free, may_again = state.ended.get(evse.ref), state.freed.get(evse.ref), False
    if end is not None and end.transaction == transaction:
        version = live.stations[evse.ref.station].station.version
        word = state.words.get((evse.ref.station, transaction), StoredWord())
        told = word.tokens if end.token is None else word.tokens | {end.token}
        began_at = end.started_at
        evse.run.tokens = frozenset(key for token in told for key in tokens.accepted(token, evse.ref, live, began_at))
        is_adopted = end.token is None and version is Version.V16
        is_free = is_adopted or word.charges_unasked or any(_is_open(version, token) for token in told)
        may_again = end.presumed or not (is_free or evse.run.tokens)
    evse.run.ended, evse.run.over_at = transaction, None if may_again else now
    statuses, ended_at = evse.cable.statuses.values(), evse.run.ended_at or now
    is_free = bool(statuses) and all(status.status is ConnectorStatus.AVAILABLE for status in statuses)
    has_flowed = free is not None and free.flowed_at is not None and free.flowed_at > ended_at
    if is_free and not has_flowed and evse.cable.available_since is None:
        evse.cable.available_since, evse.cable.free_at = now, ended_at


def _runs(record: TransactionRecord, plug_in: PlugIn | None) -> bool:
    """Whether an open transaction is that of the vehicle that is there; those without an end stay open for ever."""
    if plug_in is None or plug_in.transaction == record.id:
        return plug_in is not None
    is_new = record.started_at is None or record.started_at >= plug_in.plugged_at - CLOCKS_DIFFER
    return plug_in.transaction is None and is_new


def _is_open(version: Version | None, token: str | None) -> bool:
    """2.x: its station lets everybody charge, and named no token (NoAuthorization)."""
    return token == "" and version is not Version.V16


def _is_adopted(version: Version | None, record: TransactionRecord) -> bool:
    """It ran before we knew of it, and nothing is known of its start; 2.x says itself whether energy flows."""
    is_unknown = record.started_at is None and record.token is None
    return is_unknown and version is Version.V16


def _setpoints(live: Live, state: LiveState) -> None:
    for setpoint in state.setpoints:
        found = live.find(setpoint.evse)
        if found and found.cable.plugged and found.cable.plugged.id == setpoint.plug_in:
            found.told.setpoint = setpoint


def _probes(live: Live, state: LiveState) -> None:
    for probe in state.probes:
        station = live.station(probe.evse.station)
        evse = live.find(probe.evse)
        if station is None or evse is None or probe.state is ProbeState.RUNNING:
            continue
        if station.station.firmware == probe.firmware or probe.state is ProbeState.UNSAFE:
            evse.told.probe_state, evse.told.probed_at = probe.state, probe.at
