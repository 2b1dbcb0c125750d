"""From committed facts to live state: plug-ins, transactions and meters. Requirement P2, reference v2g-over-ocpp §2.1.

A fact that is history (sent from a queue after the fact) closes what it closes, but opens nothing and starts nothing.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from csms.control import changes
from csms.control.live import CLOCKS_DIFFER, EvseLive, Live, StationLive
from csms.domain.facts import (
    AuthorizeAsked,
    Booted,
    Metered,
    NeedsReported,
    Reading,
    StatusesReported,
    StatusReported,
    TransactionPhase,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.ids import PlugInId, TransactionId
from csms.domain.live import StoredStatus
from csms.domain.permission import PlugIn
from csms.domain.station import BootState, ConnectorStatus, ProbeState

CARD_BEFORE_CABLE = timedelta(seconds=30)
"""Preparing this soon after a card may mean the card, not a cable (1.6 §7.7)."""

SOC_JUMP_PERCENT = 10.0
"""A state of charge that moves further than this between two samples a minute apart or less is wrong (V2G-33)."""

_CABLE_IN = frozenset({"CablePluggedIn", "EVDetected"})
_CABLE_OUT = frozenset({"EVDeparted", "EVDisconnected"})
_CONNECTED_STATES = frozenset({"EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE"})
_IN_TRANSACTION = frozenset({ConnectorStatus.CHARGING, ConnectorStatus.SUSPENDED_EV, ConnectorStatus.SUSPENDED_EVSE})
FLOWING_W = 100.0
"""Metered power above this is proof of a cable, whatever the status says (field lesson 14)."""

_PLUG_HINTS = ("plugingun", "evconnected")


class Committed(NamedTuple):
    """What the store made of a fact (see store.facts.write_of), and whether the token in it, if any, was accepted."""

    result: Any = None
    token_accepted: bool = True


def apply(live: Live, fact: Any, committed: Committed) -> Iterator[changes.Change]:
    """Change the live state by one committed fact, as far as the result is read. Yields what changed."""
    tracker = TRACKERS.get(type(fact))
    return iter(()) if tracker is None else tracker(live, fact, committed)


def _booted(live: Live, fact: Booted, committed: Committed) -> Iterator[changes.Change]:
    station = live.station(fact.origin.station)
    if station is None:
        return
    if (fact.model, fact.firmware) != (station.station.model, station.station.firmware):
        _forget_probes(station)
    station.station = replace(
        station.station,
        vendor=fact.vendor,
        model=fact.model,
        serial=fact.serial,
        firmware=fact.firmware,
        boot_state=committed.result,
    )
    if station.station.boot_state is BootState.ACCEPTED:
        yield changes.StationBooted(station)


def _forget_probes(station: StationLive) -> None:
    """A proof holds for the firmware it was made with (V2G-8). What was unsafe once is never tried again."""
    for evse in station.evses.values():
        evse.probe = None
        if evse.probe_state is not ProbeState.UNSAFE:
            evse.probe_state = ProbeState.UNTRIED


def _status(live: Live, fact: StatusReported, _committed: Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None:
        return
    evse.statuses[fact.connector] = StoredStatus(
        evse=fact.evse, connector=fact.connector, status=fact.status, at=fact.at
    )
    if fact.status is ConnectorStatus.AVAILABLE:
        if evse.plug_in and evse.plug_in.connector == fact.connector:
            evse.available_since = fact.origin.received_at
        return
    if not fact.status.is_plugged:
        return
    evse.available_since = None
    if evse.plug_in is None and _means_cable(live, fact):
        yield from _plug_in(evse, fact.connector, fact.origin.received_at)
    _correct_connector(evse, fact.connector)


def _correct_connector(evse: EvseLive, connector: int) -> None:
    """A plug-in seen in a transaction that named no connector is at the one that says so itself."""
    if evse.plug_in is None:
        return
    known = evse.statuses.get(evse.plug_in.connector)
    if known is None or not known.status.is_plugged:
        evse.plug_in = replace(evse.plug_in, connector=connector)


def _means_cable(live: Live, fact: StatusReported) -> bool:
    station = live.station(fact.evse.station)
    if fact.status is not ConnectorStatus.PREPARING or station is None or station.card_shown_at is None:
        return fact.status is not ConnectorStatus.FINISHING
    if any(hint in fact.info.lower() for hint in _PLUG_HINTS):
        return True
    return fact.origin.received_at - station.card_shown_at > CARD_BEFORE_CABLE


def _statuses(live: Live, fact: StatusesReported, _committed: Committed) -> Iterator[changes.Change]:
    for status in fact.statuses:
        yield from _status(live, status, Committed())


def _plug_in(evse: EvseLive, connector: int, at: datetime) -> Iterator[changes.Change]:
    id_ = PlugInId(f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(6)}")
    evse.plug_in = PlugIn(id=id_, evse=evse.ref, connector=connector, plugged_at=at)
    evse.available_since = None
    yield changes.PluggedIn(evse)


def unplug(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """End the plug-in of an EVSE, where there is one."""
    if evse.plug_in is None:
        return
    ended = replace(evse.plug_in, unplugged_at=at)
    evse.forget_vehicle()
    yield changes.Unplugged(evse, ended)


def _card(live: Live, fact: AuthorizeAsked, committed: Committed) -> Iterator[changes.Change]:
    station = live.station(fact.origin.station)
    if station is None or not committed.token_accepted:
        return
    waiting = [evse for evse in station.evses.values() if evse.plug_in and not evse.authorized]
    if not waiting:  # else the card is for the vehicle that waits, and explains no other connector's Preparing
        station.card_shown_at = fact.origin.received_at
    if len(waiting) == 1:  # 1.6 does not say at which EVSE: only an unambiguous one is taken
        yield changes.TokenShown(waiting[0], fact.token)


def _started(live: Live, fact: TransactionStarted, committed: Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    transaction = TransactionId(str(committed.result))
    if evse is None or transaction == evse.ended or _is_history(evse, fact.at):
        return
    if evse.plug_in is None:
        yield from _plug_in(evse, 1, fact.origin.received_at)
    yield from _begin(evse, transaction, authorized=committed.token_accepted)
    if committed.token_accepted:
        yield changes.TokenShown(evse, fact.token)


def _is_history(evse: EvseLive, at: datetime) -> bool:
    """The connector has become free since, by the station's own clock."""
    newest = max(evse.statuses.values(), key=lambda status: status.at, default=None)
    return newest is not None and newest.status is ConnectorStatus.AVAILABLE and newest.at > at


def _begin(evse: EvseLive, transaction: TransactionId, *, authorized: bool) -> Iterator[changes.Change]:
    if transaction != evse.transaction:  # what was allowed in another transaction is not allowed in this one
        evse.authorized = evse.refused = False
    begins = (authorized and not evse.authorized) or transaction != evse.transaction
    evse.transaction = transaction
    evse.authorized = evse.authorized or authorized
    if evse.plug_in:
        evse.plug_in = replace(evse.plug_in, transaction=transaction)
    if begins:
        yield changes.TransactionBegan(evse)


def _stopped(live: Live, fact: TransactionStopped, committed: Committed) -> Iterator[changes.Change]:
    evse = live.of_transaction(fact.origin.station, committed.result) if committed.result else None
    if evse is None:
        return
    yield from _sampled(evse, fact.readings)
    yield from end(evse, fact.origin.received_at)


def end(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """The transaction at an EVSE is over; the cable may still be in."""
    evse.is_over = evse.is_over or evse.authorized
    evse.ended, evse.transaction, evse.start = evse.transaction, None, None
    evse.authorized = evse.refused = False
    evse.forget_setpoint()
    if evse.reading:
        # Power after the end is nothing, whatever was sampled last (field lesson 19).
        evse.reading = replace(evse.reading, power_import_w=0.0, power_export_w=0.0)
    statuses = evse.statuses.values()
    if evse.plug_in and statuses and all(status.status is ConnectorStatus.AVAILABLE for status in statuses):
        evse.available_since = at
    yield changes.TransactionOver(evse)


def _reported(live: Live, fact: TransactionReported, committed: Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse) if fact.evse else live.of_transaction(fact.origin.station, fact.transaction)
    if evse is None or not committed.result or fact.transaction == evse.ended:
        return
    if not fact.offline and fact.phase is not TransactionPhase.ENDED:
        yield from _running(evse, fact, committed)
    yield from _sampled(evse, fact.readings)
    if fact.phase is TransactionPhase.ENDED and evse.transaction == fact.transaction:
        yield from end(evse, fact.origin.received_at)
        if fact.stopped_reason in _CABLE_OUT or fact.trigger in _CABLE_OUT:
            yield from unplug(evse, fact.origin.received_at)


def _running(evse: EvseLive, fact: TransactionReported, committed: Committed) -> Iterator[changes.Change]:
    cable = fact.trigger in _CABLE_IN or fact.charging_state in _CONNECTED_STATES
    if evse.plug_in is None and cable:
        yield from _plug_in(evse, fact.connector or 1, fact.origin.received_at)
    if cable:
        evse.available_since = None
    started_by_us = evse.start is not None and fact.remote_start_id == evse.start.command.remote_start_id
    shown = fact.token is not None and committed.token_accepted
    refused = fact.token is not None and not shown
    was_refused = evse.refused and evse.transaction == fact.transaction
    # A host may let everybody charge: then no token is asked for, and energy flows all the same.
    is_free = fact.charging_state == "Charging" and not (refused or was_refused)
    yield from _begin(evse, fact.transaction, authorized=shown or started_by_us or is_free)
    evse.refused = not evse.authorized and (refused or was_refused)
    if fact.token is not None and shown:
        yield changes.TokenShown(evse, fact.token)


def _metered(live: Live, fact: Metered, _committed: Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None or (fact.transaction and fact.transaction == evse.ended):
        return iter(())  # values for a transaction that is over never revive it (field lesson 15)
    happened = _sampled(evse, fact.readings)
    if fact.transaction is not None and evse.transaction is None and _is_foreign(evse, fact, fact.transaction):
        return chain(happened, (changes.ForeignSeen(evse, fact.transaction),))
    return happened


def _is_foreign(evse: EvseLive, fact: Metered, transaction: TransactionId) -> bool:
    """Whether these are fresh values of a 1.6 transaction that runs here without our knowledge (field lesson 25)."""
    is_number = transaction.isdecimal() and int(transaction) > 0  # else its start was never answered (V2G-55)
    at = fact.readings[-1].at if fact.readings else None
    if not is_number or at is None or fact.origin.received_at - at > CLOCKS_DIFFER:
        return False
    if evse.plug_in is not None:
        return at > evse.plug_in.plugged_at and evse.available_since is None
    return any(status.status in _IN_TRANSACTION for status in evse.statuses.values())


def adopt(evse: EvseLive, transaction: TransactionId, at: datetime) -> Iterator[changes.Change]:
    """A transaction nobody told us of becomes the EVSE's. Energy may flow in it; what more, only its user can say."""
    if evse.transaction is not None or transaction == evse.ended:
        return
    if evse.plug_in is None:
        yield from _plug_in(evse, 1, at)
    yield from _begin(evse, transaction, authorized=True)


def _sampled(evse: EvseLive, readings: tuple[Reading, ...]) -> Iterator[changes.Change]:
    before = evse.plug_in
    happened: list[changes.Change] = [
        changes.Sampled(evse, reading) for reading in readings if _remember(evse, reading)
    ]
    if before is not None and before.soc_at_start_percent is None and evse.plug_in is not before:
        happened.append(changes.SocKnown(evse))
    return iter(happened)


def _remember(evse: EvseLive, reading: Reading) -> bool:
    """Make this the newest reading; False when a newer one is known."""
    last = evse.reading
    if last is not None and reading.at < last.at:
        return False
    evse.reading = reading if last is None else _with_registers(reading, last)
    if evse.available_since is not None and abs(reading.power_w or 0.0) > FLOWING_W:
        evse.available_since = None
    if evse.plug_in is not None:
        _note_soc(evse, evse.plug_in, reading)
    return True


def _with_registers(new: Reading, old: Reading) -> Reading:
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


def _note_soc(evse: EvseLive, plug_in: PlugIn, reading: Reading) -> None:
    soc = reading.soc_percent
    if soc is None or not 0 < soc <= 100:
        return
    if plug_in.soc_percent is not None and plug_in.soc_at is not None:
        moved = abs(soc - plug_in.soc_percent)
        if moved > SOC_JUMP_PERCENT and reading.at - plug_in.soc_at <= timedelta(minutes=1):
            return
    start = soc if plug_in.soc_at_start_percent is None else plug_in.soc_at_start_percent
    evse.plug_in = replace(plug_in, soc_percent=soc, soc_at=reading.at, soc_at_start_percent=start)


def _needs(live: Live, fact: NeedsReported, _committed: Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None:
        return
    evse.needs = fact
    if evse.plug_in and fact.soc_percent is not None:
        _note_soc(evse, evse.plug_in, Reading(at=fact.origin.received_at, soc_percent=fact.soc_percent))
    yield changes.NeedsKnown(evse)


Tracker = Callable[[Live, Any, Committed], Iterator[changes.Change]]

TRACKERS: Mapping[type, Tracker] = {
    Booted: _booted,
    StatusReported: _status,
    StatusesReported: _statuses,
    AuthorizeAsked: _card,
    TransactionStarted: _started,
    TransactionStopped: _stopped,
    TransactionReported: _reported,
    Metered: _metered,
    NeedsReported: _needs,
}
