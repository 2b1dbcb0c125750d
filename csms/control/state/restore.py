"""Brings back what happens at the EVSEs from the store. Stations must be in already."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from csms.control.state.live import Answer, Live, StationLive
from csms.domain.dispatch import TransactionRecord
from csms.domain.ids import VehicleId
from csms.domain.live import LiveState
from csms.domain.people import Vehicle
from csms.domain.permission import Permission, PlugIn
from csms.domain.station import ConnectorStatus, ProbeState, Version

CLOCKS_DIFFER = timedelta(minutes=5)
"""A transaction that says it began this little before its plug-in was seen may still be of that plug-in."""

FLOWING_W = 100.0
"""Metered power above this is proof of a cable, whatever the status says (field lesson 14)."""


def restore(
    live: Live,
    state: LiveState,
    vehicles: Mapping[VehicleId, Vehicle],
    is_accepted: Callable[[str | None], bool],
    now: datetime,
) -> None:
    """``vehicles``: those of the plug-ins. ``is_accepted``: whether a transaction's id token, if it has one, authorizes
    it. Probes of another firmware do not count."""
    for status in state.statuses:
        if evse := live.discover(status.evse):
            evse.cable.statuses[status.connector] = status
    for ref, reading in state.readings.items():
        if evse := live.find(ref):
            evse.meter.reading = reading
    _plug_ins(live, state, vehicles)
    _free(live, now)
    _transactions(live, state, is_accepted, now)
    _setpoints(live, state)
    _probes(live, state)


def _plug_ins(live: Live, state: LiveState, vehicles: Mapping[VehicleId, Vehicle]) -> None:
    for plug_in in state.plug_ins:
        if evse := live.discover(plug_in.evse):
            evse.cable.plugged = _with_soc(_bare(plug_in), evse.meter.reading)
            evse.answer = Answer(
                plug_in=plug_in.id,
                user=plug_in.user,
                vehicle=vehicles.get(plug_in.vehicle) if plug_in.vehicle else None,
                permission=plug_in.permission,
                stated_soc_percent=plug_in.stated_soc_percent,
                participating_since=plug_in.participating_since,
            )


def _free(live: Live, now: datetime) -> None:
    """Connectors that were reported free, and not believed yet when the server went down."""
    for _, evse in live.evses():
        plugged = evse.cable.plugged
        status = evse.cable.statuses.get(plugged.connector) if plugged else None
        if plugged is None or status is None or status.status is not ConnectorStatus.AVAILABLE:
            continue
        reading = evse.meter.reading
        flows = reading is not None and reading.at > status.at and abs(reading.power_w or 0.0) > FLOWING_W
        if status.at >= plugged.plugged_at and not flows:
            evse.cable.available_since, evse.cable.free_at = status.received_at or now, status.at


def _bare(plug_in: PlugIn) -> PlugIn:
    """The part that the station tells."""
    return replace(
        plug_in,
        user=None,
        vehicle=None,
        permission=Permission(),
        stated_soc_percent=None,
        participating_since=None,
    )


def _with_soc(plug_in: PlugIn, reading: object) -> PlugIn:
    """The newest sample knows the state of charge better than the plug-in, which is not stored with every sample."""
    soc, at = getattr(reading, "soc_percent", None), getattr(reading, "at", None)
    if soc is None or at is None or at < plug_in.plugged_at:
        return plug_in
    start = soc if plug_in.soc_at_start_percent is None else plug_in.soc_at_start_percent
    return replace(plug_in, soc_percent=soc, soc_at=at, soc_at_start_percent=start)


def _transactions(live: Live, state: LiveState, is_accepted: Callable[[str | None], bool], now: datetime) -> None:
    for record in state.transactions:
        evse = live.find(record.evse) if record.evse else None
        if evse is not None and _runs(record, evse.cable.plugged):
            evse.run.transaction, evse.run.started_at = record.id, record.started_at
            evse.meter.heard_at = now
            evse.run.tokens = frozenset({record.token} if record.token and is_accepted(record.token) else ())
            evse.run.authorized = is_accepted(record.token) or _is_adopted(live.stations[evse.ref.station], record)
    for _, evse in live.evses():
        if evse.run.transaction is None:
            if evse.cable.plugged is not None and evse.cable.plugged.transaction is not None:
                evse.run.over_at, evse.run.ended = now, evse.cable.plugged.transaction
            if evse.meter.reading is not None:  # where none runs no power flows (field lesson 19)
                evse.meter.reading = replace(evse.meter.reading, power_import_w=0.0, power_export_w=0.0)


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
