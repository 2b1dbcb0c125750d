"""Transactions: begun, running, over; in them energy may flow. Field lessons 9-15 and 25, V2G-24, V2G-54.

A fact that is history (sent from a queue after the fact) closes what it closes, but opens nothing and starts nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain

from csms.control.intake import cables, meters
from csms.control.state import changes
from csms.control.state.live import CLOCKS_DIFFER, EvseLive, Live
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
    if evse is None or transaction == evse.ended or _is_history(evse, fact.at):
        return
    if evse.plug_in is None:
        yield from cables.plug_in(evse, 1, fact.origin.received_at)
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


def stopped(live: Live, fact: TransactionStopped, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.of_transaction(fact.origin.station, committed.result) if committed.result else None
    if evse is None:
        return
    yield from meters.sampled(evse, fact.readings)
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


def reported(live: Live, fact: TransactionReported, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse) if fact.evse else live.of_transaction(fact.origin.station, fact.transaction)
    if evse is None or not committed.result or fact.transaction == evse.ended:
        return
    if not fact.offline and fact.phase is not TransactionPhase.ENDED:
        yield from _running(evse, fact, committed)
    yield from meters.sampled(evse, fact.readings)
    if fact.phase is TransactionPhase.ENDED and evse.transaction == fact.transaction:
        yield from end(evse, fact.origin.received_at)
        if fact.stopped_reason in _CABLE_OUT or fact.trigger in _CABLE_OUT:
            yield from cables.unplug(evse, fact.origin.received_at)


def _running(evse: EvseLive, fact: TransactionReported, committed: changes.Committed) -> Iterator[changes.Change]:
    cable = fact.trigger in _CABLE_IN or fact.charging_state in _CONNECTED_STATES
    if evse.plug_in is None and cable:
        yield from cables.plug_in(evse, fact.connector or 1, fact.origin.received_at)
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


def metered(live: Live, fact: Metered, _committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None or (fact.transaction and fact.transaction == evse.ended):
        return iter(())  # values for a transaction that is over never revive it (field lesson 15)
    happened = meters.sampled(evse, fact.readings)
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
        yield from cables.plug_in(evse, 1, at)
    yield from _begin(evse, transaction, authorized=True)
