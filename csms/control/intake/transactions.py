"""Transactions: begun, running, over; in them energy may flow. Field lessons 9-15 and 25, V2G-24, V2G-54.

A fact that is history (sent from a queue after the fact) closes what it closes, but opens nothing and starts nothing.
Whoever starts with another token than the plug-in's is another driver, who inherits nothing (P4).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

from csms.control.intake import cables, meters
from csms.control.intake.cables import IN_TRANSACTION
from csms.control.state import changes
from csms.control.state.live import EvseLive, Live
from csms.control.state.records import Queued, Run
from csms.control.state.restore import CLOCKS_DIFFER
from csms.domain.facts import (
    IdToken,
    Metered,
    StatusesReported,
    StatusReported,
    TokenType,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.ids import StationId, TransactionId
from csms.domain.live import LIVE_WITHIN
from csms.domain.permission import CLAIM_HOLDS
from csms.domain.station import ConnectorStatus

LATE = timedelta(seconds=60)
"""A start that comes later than this waited in a queue, and its vehicle may have left since."""

CABLE_OUT = frozenset({"EVDeparted", "EVDisconnected"})


def started(live: Live, fact: TransactionStarted, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None or committed.result is None:
        return
    start = said(TransactionId(str(committed.result)), fact, committed)
    if start.transaction == evse.run.ended or is_history(evse, fact.at):
        return
    if may_be_over(evse, fact.at, fact.origin.received_at):
        evse.run.queued = start
        return
    is_new = evse.run.transaction != start.transaction
    yield from _start(evse, start)
    if is_new:
        yield from held(evse, fact)


def said(
    transaction: TransactionId, fact: TransactionStarted | TransactionReported, committed: changes.Committed
) -> Queued:
    return Queued(
        transaction=transaction,
        at=fact.at,
        token=fact.token,
        accepted=committed.token_accepted,
        holder=committed.holder,
        group=committed.group,
    )


def _start(evse: EvseLive, start: Queued) -> Iterator[changes.Change]:
    is_other = is_another_driver(evse, start)
    if is_other or is_next_vehicle(evse, start):
        yield from make_room(evse, start)
    if evse.cable.plugged is None:
        yield from cables.plug_in(evse, 1, start.at, named(start, is_other=is_other))
    yield from begin(evse, start.transaction, start.at, authorized=start.accepted)
    yield from shown(evse, start)


def named(start: Queued, *, is_other: bool) -> IdToken | None:
    """The token that says whose a plug-in is, or that it is nobody's who may be expected there."""
    return start.token if is_other or start.holder is not None else None


def shown(evse: EvseLive, start: Queued) -> Iterator[changes.Change]:
    if start.token is not None and start.accepted:
        evse.run.tokens |= start.keys
        yield changes.TokenShown(evse, start.token)


def held(
    evse: EvseLive, fact: TransactionStarted | TransactionStopped | TransactionReported
) -> Iterator[changes.Change]:
    """The card in a fact, where the fact is of now: somebody stands there with it."""
    if fact.token is not None and fact.origin.received_at - fact.at <= LIVE_WITHIN:
        yield changes.CardShown(evse, fact.token)


def is_history(evse: EvseLive, at: datetime) -> bool:
    """By the station's own clock the connector has become free since, or the next vehicle is there."""
    newest = max(evse.cable.statuses.values(), key=cables.held_at, default=None)
    if newest is not None and newest.status is ConnectorStatus.AVAILABLE and cables.held_at(newest) > at:
        return True
    if evse.run.transaction is not None and evse.run.started_at is not None and evse.run.started_at > at:
        return True
    return evse.cable.plugged is not None and evse.cable.plugged.plugged_at - at > LATE


def may_be_over(evse: EvseLive, at: datetime, received_at: datetime) -> bool:
    """A late start at an EVSE of which nothing newer is known."""
    return received_at - at > LATE and evse.cable.plugged is None and not _is_busy_since(evse, at)


def _is_busy_since(evse: EvseLive, at: datetime) -> bool:
    return any(known.status in cables.NEXT and known.at >= at - LATE for known in evse.cable.statuses.values())


def is_another_driver(evse: EvseLive, start: Queued) -> bool:
    """Whether a token that begins a transaction is not the vehicle's user's, or that of who charged in this plug-in.
    Where there is a user, one that is refused while nothing flows says only that somebody stood there (S2)."""
    token, run = start.token, evse.run
    if evse.cable.plugged is None or token is None or token.type is TokenType.NONE or token.key in run.tokens:
        return False
    if start.transaction == run.transaction and run.authorized:
        return False  # said again, or a card shown in the middle of it
    if evse.user is not None:
        if not start.accepted and not run.authorized:
            return False
        return start.holder != evse.user and not _may_be_its_users(evse, start, token)
    return bool(run.tokens)


def _may_be_its_users(evse: EvseLive, start: Queued, token: IdToken) -> bool:
    """A token that we made for this plug-in; or a card that is linked to nobody, where the user opened the link a short
    while ago and nothing has charged since the cable went in (P1)."""
    answer, run = evse.answered, evse.run
    if answer is None:
        return False
    if token.key in answer.evidence.start_tokens:
        return True
    claimed_at = answer.evidence.claimed_at
    is_first = start.accepted and not run.tokens and run.over_at is None and answer.evidence.session_card is None
    return start.holder is None and is_first and claimed_at is not None and start.at - claimed_at <= CLAIM_HOLDS


def is_next_vehicle(evse: EvseLive, start: Queued) -> bool:
    """Whether the connector was free before what begins now, though no status has told yet that it is busy again. A
    start that we asked for is for the vehicle that is there."""
    free_at, attempt = evse.cable.free_at, evse.answered.start if evse.answered else None
    if evse.cable.plugged is None or free_at is None or start.transaction == evse.run.transaction:
        return False
    is_ours = attempt is not None and start.token is not None and attempt.command.token.key == start.token.key
    return not is_ours and start.at - free_at >= cables.BOUNCES_WITHIN


def make_room(evse: EvseLive, start: Queued) -> Iterator[changes.Change]:
    """The plug-in of the driver before ends. The transaction that goes on becomes the next one's."""
    if evse.run.transaction == start.transaction:
        evse.run = Run(ended=evse.run.ended, ended_at=evse.run.ended_at)
    yield from cables.unplug(evse, min(evse.cable.free_at or start.at, start.at))


def begin(evse: EvseLive, transaction: TransactionId, at: datetime, *, authorized: bool) -> Iterator[changes.Change]:
    if evse.run.transaction is not None and transaction != evse.run.transaction:  # its end was never told (lesson 13)
        since, free_at = evse.cable.available_since, evse.cable.free_at
        yield changes.Presumed(evse, evse.run.transaction, at, "another transaction began here")
        yield from end(evse, at, None)
        evse.cable.available_since, evse.cable.free_at = since, free_at  # it is not free: another runs
    run = evse.run
    begins = (authorized and not run.authorized) or transaction != run.transaction
    if transaction != run.transaction:
        run.transaction, run.started_at, run.refused, run.queued = transaction, at, False, None
        evse.meter.heard_at = at
    run.authorized = run.authorized or authorized
    if evse.cable.plugged and evse.cable.plugged.transaction != transaction:  # every event of it comes by here
        evse.cable.plugged = replace(evse.cable.plugged, transaction=transaction)
    if begins:
        yield changes.TransactionBegan(evse)


def stopped(live: Live, fact: TransactionStopped, committed: changes.Committed) -> Iterator[changes.Change]:
    evse = evse_of(live, fact.origin.station, committed.result) if committed.result else None
    if evse is None:
        return
    if evse.run.queued is not None and evse.run.queued.transaction == committed.result:
        over_unseen(evse, committed.result, fact.at)
        return
    yield from meters.sampled(evse, fact.readings, fact.origin.received_at)
    at = not_before_its_start(evse.run, committed.result, fact.at)
    yield from told_over(evse, committed.result, at, fact.origin.received_at)
    if fact.reason == "Local":
        yield from held(evse, fact)
    if fact.reason in CABLE_OUT:
        yield from cables.left(evse, at)


def evse_of(live: Live, station: StationId, transaction: TransactionId) -> EvseLive | None:
    """Where a transaction runs, or waits to be believed, or ran in the plug-in that is there."""
    known = live.stations.get(station)
    return next((evse for evse in known.evses.values() if has(evse, transaction)), None) if known else None


def has(evse: EvseLive, transaction: TransactionId) -> bool:
    queued, plugged = evse.run.queued, evse.cable.plugged
    return (
        evse.run.transaction == transaction
        or (queued is not None and queued.transaction == transaction)
        or (plugged is not None and plugged.transaction == transaction)
    )


def not_before_its_start(run: Run, transaction: TransactionId, at: datetime) -> datetime:
    """When a transaction is over of which its station says ``at``: clocks are set back (lesson 16)."""
    started_at = run.started_at if run.transaction == transaction else None
    return at if started_at is None else max(at, started_at)


def over_unseen(evse: EvseLive, transaction: TransactionId, at: datetime) -> None:
    """A start that was never believed is over."""
    evse.run.queued, evse.run.ended, evse.run.ended_at = None, transaction, at
    reading = evse.meter.reading
    if reading is not None and reading.at <= at:
        evse.meter.reading = replace(reading, power_import_w=0.0, power_export_w=0.0)


def told_over(
    evse: EvseLive, transaction: TransactionId, at: datetime, received_at: datetime
) -> Iterator[changes.Change]:
    """The end of a transaction is told; that of one that was presumed over is known now, and nobody starts it again."""
    run = evse.run
    if run.transaction == transaction:
        yield from end(evse, at, received_at)
    elif run.ended == transaction and run.transaction is None and run.over_at is None:
        evse.run = replace(run, ended_at=at, over_at=received_at if run.tokens else None)
        yield changes.ReadLate(evse)


def end(evse: EvseLive, at: datetime, received_at: datetime | None) -> Iterator[changes.Change]:
    """The transaction at an EVSE is over ``at``; the cable may still be in. ``received_at``: when its end was told;
    None = nobody told it, and the vehicle may be started again."""
    run = evse.run
    over_at = received_at if run.authorized else run.over_at
    evse.run = Run(ended=run.transaction, ended_at=at, over_at=over_at, tokens=run.tokens)
    if evse.meter.reading:
        # Power after the end is nothing, whatever was sampled last (field lesson 19).
        evse.meter.reading = replace(evse.meter.reading, power_import_w=0.0, power_export_w=0.0)
        if evse.meter.reading.at > at:
            yield changes.ReadLate(evse)
    statuses = evse.cable.statuses.values()
    is_free = bool(statuses) and all(status.status is ConnectorStatus.AVAILABLE for status in statuses)
    if evse.cable.plugged and is_free and evse.cable.available_since is None:
        evse.cable.available_since, evse.cable.free_at = received_at or at, at
    yield changes.TransactionOver(evse)


def presume_over(evse: EvseLive, transaction: TransactionId, at: datetime, why: str) -> Iterator[changes.Change]:
    """End what runs at an EVSE on evidence. Its vehicle may be started again: nobody stopped it."""
    if evse.run.transaction == transaction:
        yield changes.Presumed(evse, transaction, at, why)
        yield from end(evse, at, None)


def status(live: Live, fact: StatusReported, committed: changes.Committed) -> Iterator[changes.Change]:
    """A connector's status; a start from the queue is believed once its connector is busy."""
    evse = live.find(fact.evse)
    queued = evse.run.queued if evse else None
    if evse is not None and queued is not None and fact.status in IN_TRANSACTION and fact.at >= queued.at - LATE:
        yield from _believed(evse, queued)
    yield from cables.status(live, fact, committed)
    station = live.station(fact.evse.station)
    if evse is not None and station is not None and evse.run.transaction is not None:
        waits = fact.status is ConnectorStatus.PREPARING and cables.is_of_before(station, evse.run.started_at)
        if waits:  # 1.6: what ran before its boot would be Charging or Suspended
            why = "the station restarted and waits for a start"
            yield from presume_over(evse, evse.run.transaction, fact.at, why)


def _believed(evse: EvseLive, queued: Queued) -> Iterator[changes.Change]:
    evse.run.queued = None
    if evse.run.transaction is None and not is_history(evse, queued.at):
        yield from _start(evse, queued)


def statuses(live: Live, fact: StatusesReported, committed: changes.Committed) -> Iterator[changes.Change]:
    for one in fact.statuses:
        yield from status(live, one, committed)


def metered(live: Live, fact: Metered, _committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None:
        return iter(())
    if fact.transaction and fact.transaction == evse.run.ended:
        return _closing(evse, fact)
    happened = meters.sampled(evse, fact.readings, fact.origin.received_at)
    if fact.transaction is None or evse.run.transaction is not None:
        return happened
    queued = evse.run.queued
    if queued is not None and queued.transaction == fact.transaction:
        return chain(happened, _believed(evse, queued)) if _is_fresh(fact) else happened
    if _is_foreign(evse, fact, fact.transaction):
        return chain(happened, (changes.ForeignSeen(evse, fact.transaction),))
    return happened


def _closing(evse: EvseLive, fact: Metered) -> Iterator[changes.Change]:
    """Values for a transaction that is over never revive it; those of before its end count, but for their power
    (lessons 15 and 19)."""
    over_at = evse.run.ended_at
    readings = [reading for reading in fact.readings if over_at is not None and reading.at <= over_at]
    for reading in readings:
        meters.remember(evse, replace(reading, power_import_w=0.0, power_export_w=0.0))
    if readings:
        yield changes.ReadLate(evse)


def _is_fresh(fact: Metered) -> bool:
    return bool(fact.readings) and fact.origin.received_at - fact.readings[-1].at <= LATE


def _is_foreign(evse: EvseLive, fact: Metered, transaction: TransactionId) -> bool:
    """Whether these are fresh values of a 1.6 transaction that runs here without our knowledge (field lesson 25)."""
    is_number = transaction.isdecimal() and int(transaction) > 0  # else its start was never answered (V2G-55)
    at = fact.readings[-1].at if fact.readings else None
    if not is_number or at is None or fact.origin.received_at - at > CLOCKS_DIFFER:
        return False
    if evse.cable.plugged is not None:
        return at > evse.cable.plugged.plugged_at and evse.cable.available_since is None
    return any(status.status in IN_TRANSACTION for status in evse.cable.statuses.values())


def adopt(
    evse: EvseLive, transaction: TransactionId, at: datetime, start: Queued | None = None
) -> Iterator[changes.Change]:
    """A transaction nobody told us of becomes the EVSE's. Energy may flow in it; what more, only its user can say.
    ``start``: what is known of it all the same; then it is that of its card."""
    if evse.run.transaction is not None or transaction == evse.run.ended:
        return
    if start is not None and start.token is not None:
        yield from _start(evse, start)
        return
    if evse.cable.plugged is None:
        yield from cables.plug_in(evse, 1, at)
    yield from begin(evse, transaction, at, authorized=True)
