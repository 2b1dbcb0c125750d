"""2.x TransactionEvents onto the live state. V2G-24, V2G-54, V2G-56."""

from collections.abc import Iterator

from csms.control.intake import cables, meters, transactions
from csms.control.state import changes
from csms.control.state.live import EvseLive, Live
from csms.control.state.records import Queued, Run
from csms.domain.facts import TransactionPhase, TransactionReported
from csms.store.events import Taken

_CABLE_IN = frozenset({"CablePluggedIn", "EVDetected"})
_CONNECTED_STATES = frozenset({"EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE"})
_KEEPS_THE_USER = frozenset({"StopAuthorized", "Deauthorized"})
_SHOWN = frozenset({"Authorized", "StopAuthorized"})
"""Triggers that tell of a card at the reader; some stations name the token in every event."""


def reported(live: Live, fact: TransactionReported, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse) if fact.evse else transactions.evse_of(live, fact.origin.station, fact.transaction)
    if evse is None or not committed.result or _is_over(evse.run, fact):
        return
    if committed.result is Taken.OVER:
        return  # events come in any order: what has ended is not begun by what was said before
    if fact.transaction == evse.run.ended:
        evse.run.ended = None  # its id begins again: what is said of it from now on is of the new one
    if _began_anew(evse.run, fact):
        yield from transactions.end(evse, fact.at, None)
        evse.run.ended = None
    if fact.phase is not TransactionPhase.ENDED:
        yield from _goes_on(evse, fact, committed)
    yield from meters.sampled(evse, fact.readings, fact.origin.received_at)
    if fact.trigger in _SHOWN and not fact.offline:
        yield from transactions.held(evse, fact)
    if fact.phase is TransactionPhase.ENDED:
        yield from _ended(evse, fact)


def _is_over(run: Run, fact: TransactionReported) -> bool:
    """Of a transaction that has ended; its id may begin again after a reset of the station, at a later time."""
    begins_later = fact.phase is TransactionPhase.STARTED and run.ended_at is not None and fact.at > run.ended_at
    return fact.transaction == run.ended and not begins_later


def _began_anew(run: Run, fact: TransactionReported) -> bool:
    """The id of the one that runs is given again: its end was lost in a reset."""
    is_start = fact.phase is TransactionPhase.STARTED and fact.transaction == run.transaction
    return is_start and run.started_at is not None and fact.at > run.started_at


def _goes_on(evse: EvseLive, fact: TransactionReported, committed: changes.Committed) -> Iterator[changes.Change]:
    start = transactions.said(fact.transaction, fact, committed)
    is_other = evse.run.transaction != fact.transaction
    is_history = transactions.is_history(evse, fact.at)
    is_past = is_other and (is_history or transactions.may_be_over(evse, fact.at, fact.origin.received_at))
    if not fact.offline and not is_past:
        yield from _running(evse, fact, _with_queued(evse, start))
    elif fact.token is not None and evse.run.transaction is None and not is_history:
        evse.run.queued = start


def _with_queued(evse: EvseLive, start: Queued) -> Queued:
    """The token that was shown while the station was offline counts when its transaction turns out to run."""
    queued = evse.run.queued
    if start.token is not None or queued is None or queued.transaction != start.transaction:
        return start
    return queued


def _ended(evse: EvseLive, fact: TransactionReported) -> Iterator[changes.Change]:
    if not transactions.has(evse, fact.transaction):
        return
    if evse.run.queued is not None and evse.run.queued.transaction == fact.transaction:
        transactions.over_unseen(evse, fact.transaction, fact.at)
        return
    at = transactions.not_before_its_start(evse.run, fact.transaction, fact.at)
    yield from transactions.told_over(evse, fact.transaction, at, fact.origin.received_at)
    if fact.stopped_reason in transactions.CABLE_OUT or fact.trigger in transactions.CABLE_OUT:
        yield from cables.left(evse, at)


def _is_new_cable(evse: EvseLive, fact: TransactionReported) -> bool:
    """A cable went in although one is in, and what ran in that one is over, or another than what runs in it: the end
    with the cable was never told."""
    run, answer = evse.run, evse.answered
    is_start = fact.phase is TransactionPhase.STARTED and fact.trigger in _CABLE_IN
    has_run = run.over_at is not None if run.transaction is None else run.transaction != fact.transaction
    is_cycle = answer is not None and answer.was_cut_off(run.over_at or fact.origin.received_at)
    return is_start and has_run and not is_cycle  # not the same vehicle after a power cut


def _running(evse: EvseLive, fact: TransactionReported, start: Queued) -> Iterator[changes.Change]:
    cable = fact.trigger in _CABLE_IN or fact.charging_state in _CONNECTED_STATES
    was_refused = evse.run.refused and evse.run.transaction == fact.transaction
    shown = start.token is not None and start.accepted
    refused = start.token is not None and not shown
    begins = fact.phase is TransactionPhase.STARTED or shown
    is_other = begins and fact.trigger not in _KEEPS_THE_USER and transactions.is_another_driver(evse, start)
    attempt = evse.answered.start if evse.answered else None
    started_by_us = attempt is not None and fact.remote_start_id == attempt.command.remote_start_id
    is_next = not started_by_us and (transactions.is_next_vehicle(evse, start) or _is_new_cable(evse, fact))
    if is_other or is_next:
        yield from transactions.make_room(evse, start)
        cable = True
    if evse.cable.plugged is None and cable:
        by = transactions.named(start, is_other=is_other)
        yield from cables.plug_in(evse, fact.connector or 1, min(fact.at, fact.origin.received_at), by)
    if cable:
        evse.cable.available_since = evse.cable.free_at = None
    # A host may let everybody charge: then no token is asked for, and energy flows all the same.
    is_free = fact.charging_state == "Charging" and not (refused or was_refused)
    yield from transactions.begin(evse, fact.transaction, fact.at, authorized=shown or started_by_us or is_free)
    evse.run.refused = not evse.run.authorized and (refused or was_refused)
    yield from transactions.shown(evse, start)
