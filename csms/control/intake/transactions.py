"""Transactions: begun, running, over; in them energy may flow. Field lessons 9-15 and 25, V2G-24, V2G-54.

A fact that is history (sent from a queue after the fact) closes what it closes, but opens nothing and starts nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain

from csms.control.intake import cables, meters
from csms.control.state import changes
from csms.control.state.live import EvseLive, Live, Run
from csms.control.state.restore import CLOCKS_DIFFER
from csms.domain.facts import Metered, TransactionPhase, TransactionReported, TransactionStarted, TransactionStopped
from csms.domain.ids import TransactionId
from csms.domain.station import ConnectorStatus

_CABLE_IN = frozenset({"CablePluggedIn", "EVDetected"})
_CABLE_OUT = frozenset({"EVDeparted", "EVDisconnected"})
_CONNECTED_STATES = frozenset({"EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE"})
_IN_TRANSACTION = frozenset({ConnectorStatus.CHARGING, ConnectorStatus.SUSPENDED_EV, ConnectorStatus.SUSPENDED_EVSE})


def started(live: Live, fact: TransactionStarted, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    transaction = TransactionId(str(committed.result))
    if evse is None or transaction == evse.run.ended or _is_history(evse, fact.at):
        return
    if evse.cable.plugged is None:
        yield from cables.plug_in(evse, 1, fact.origin.received_at)
    yield from _begin(evse, transaction, authorized=committed.token_accepted)
    if committed.token_accepted:
        yield changes.TokenShown(evse, fact.token)


def _is_history(evse: EvseLive, at: datetime) -> bool:
    """The connector has become free since, by the station's own clock."""
    newest = max(evse.cable.statuses.values(), key=lambda status: status.at, default=None)
    return newest is not None and newest.status is ConnectorStatus.AVAILABLE and newest.at > at


def _begin(evse: EvseLive, transaction: TransactionId, *, authorized: bool) -> Iterator[changes.Change]:
    run = evse.run
    if transaction != run.transaction:  # what was allowed in another transaction is not allowed in this one
        run.authorized = run.refused = False
    begins = (authorized and not run.authorized) or transaction != run.transaction
    run.transaction = transaction
    run.authorized = run.authorized or authorized
    if evse.cable.plugged:
        evse.cable.plugged = replace(evse.cable.plugged, transaction=transaction)
    if begins:
        yield changes.TransactionBegan(evse)


def stopped(live: Live, fact: TransactionStopped, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.of_transaction(fact.origin.station, committed.result) if committed.result else None
    if evse is None:
        return
    yield from meters.sampled(evse, fact.readings)
    yield from end(evse, fact.origin.received_at)


def end(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """The transaction at an EVSE is over; the cable may still be in."""
    run = evse.run
    over_at = at if run.authorized else run.over_at
    evse.run = Run(ended=run.transaction, over_at=over_at)
    if evse.meter.reading:
        # Power after the end is nothing, whatever was sampled last (field lesson 19).
        evse.meter.reading = replace(evse.meter.reading, power_import_w=0.0, power_export_w=0.0)
    statuses = evse.cable.statuses.values()
    if evse.cable.plugged and statuses and all(status.status is ConnectorStatus.AVAILABLE for status in statuses):
        evse.cable.available_since = at
    yield changes.TransactionOver(evse)


def reported(live: Live, fact: TransactionReported, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse) if fact.evse else live.of_transaction(fact.origin.station, fact.transaction)
    if evse is None or not committed.result or fact.transaction == evse.run.ended:
        return
    if not fact.offline and fact.phase is not TransactionPhase.ENDED:
        yield from _running(evse, fact, committed)
    yield from meters.sampled(evse, fact.readings)
    if fact.phase is TransactionPhase.ENDED and evse.run.transaction == fact.transaction:
        yield from end(evse, fact.origin.received_at)
        if fact.stopped_reason in _CABLE_OUT or fact.trigger in _CABLE_OUT:
            yield from cables.unplug(evse, fact.origin.received_at)


def _running(evse: EvseLive, fact: TransactionReported, committed: changes.Committed) -> Iterator[changes.Change]:
    cable = fact.trigger in _CABLE_IN or fact.charging_state in _CONNECTED_STATES
    if evse.cable.plugged is None and cable:
        yield from cables.plug_in(evse, fact.connector or 1, fact.origin.received_at)
    if cable:
        evse.cable.available_since = None
    start = evse.answered.start if evse.answered else None
    started_by_us = start is not None and fact.remote_start_id == start.command.remote_start_id
    shown = fact.token is not None and committed.token_accepted
    refused = fact.token is not None and not shown
    was_refused = evse.run.refused and evse.run.transaction == fact.transaction
    # A host may let everybody charge: then no token is asked for, and energy flows all the same.
    is_free = fact.charging_state == "Charging" and not (refused or was_refused)
    yield from _begin(evse, fact.transaction, authorized=shown or started_by_us or is_free)
    evse.run.refused = not evse.run.authorized and (refused or was_refused)
    if fact.token is not None and shown:
        yield changes.TokenShown(evse, fact.token)


def metered(live: Live, fact: Metered, _committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None or (fact.transaction and fact.transaction == evse.run.ended):
        return iter(())  # values for a transaction that is over never revive it (field lesson 15)
    happened = meters.sampled(evse, fact.readings)
    if fact.transaction is not None and evse.run.transaction is None and _is_foreign(evse, fact, fact.transaction):
        return chain(happened, (changes.ForeignSeen(evse, fact.transaction),))
    return happened


def _is_foreign(evse: EvseLive, fact: Metered, transaction: TransactionId) -> bool:
    """Whether these are fresh values of a 1.6 transaction that runs here without our knowledge (field lesson 25)."""
    is_number = transaction.isdecimal() and int(transaction) > 0  # else its start was never answered (V2G-55)
    at = fact.readings[-1].at if fact.readings else None
    if not is_number or at is None or fact.origin.received_at - at > CLOCKS_DIFFER:
        return False
    if evse.cable.plugged is not None:
        return at > evse.cable.plugged.plugged_at and evse.cable.available_since is None
    return any(status.status in _IN_TRANSACTION for status in evse.cable.statuses.values())


def adopt(evse: EvseLive, transaction: TransactionId, at: datetime) -> Iterator[changes.Change]:
    """A transaction nobody told us of becomes the EVSE's. Energy may flow in it; what more, only its user can say."""
    if evse.run.transaction is not None or transaction == evse.run.ended:
        return
    if evse.cable.plugged is None:
        yield from cables.plug_in(evse, 1, at)
    yield from _begin(evse, transaction, authorized=True)
