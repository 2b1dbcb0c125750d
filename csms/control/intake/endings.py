"""Transactions that end otherwise than by their own stop, and what follows once one has ended. B6, F3, V2G-55."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from csms.control.intake import cables, transactions
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import EvseLive
from csms.control.state.restore import queued
from csms.domain.errors import Conflict, NotFound
from csms.domain.facts import StationFact, TransactionPhase, TransactionReported, TransactionStarted, TransactionStopped
from csms.domain.ids import StationId, TransactionId
from csms.domain.live import StoredWord
from csms.store import Write, reads, writes

log = structlog.get_logger()

CATCH_UP = timedelta(days=2)
"""Transactions that ended so long before the start are looked at again."""


class Endings:
    """Ends by evidence and by hand; stops that fitted nothing; sessions that nobody heard of."""

    def __init__(self, ground: Ground, tokens: IdTokens) -> None:
        self._ground = ground
        self._tokens = tokens
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self._parked: set[StationId] = set()

    async def catch_up(self) -> None:
        """What follows from transactions that ended right before a crash."""
        since = self._clock.now() - CATCH_UP
        await self._store.writer.run(partial(writes.keep_past_plug_ins, since=since))

    def committed(self, fact: StationFact, result: Any) -> None:
        """A fact is kept: what it ended, or made possible to end, is looked at."""
        self._note_parked(fact, result)
        if (over := _ended(fact, result)) is not None:
            self.look_back(fact.origin.station, over)

    def expect(self, station: StationId) -> None:
        """A start may come to which a parked stop belongs."""
        self._parked.add(station)

    def _note_parked(self, fact: StationFact, result: Any) -> None:
        """A stop that fitted no transaction is tried again once its station has told of a start (V2G-55)."""
        station = fact.origin.station
        if isinstance(fact, TransactionStopped) and result is None:
            self._parked.add(station)
        elif isinstance(fact, TransactionStarted) and station in self._parked:
            self._parked.discard(station)
            work = partial(writes.reconcile_stops, station=station, started=TransactionId(str(result)))
            self._store.writer.put(Write((), work, self._closed(fact)))

    def _closed(self, started: TransactionStarted) -> Callable[[tuple[TransactionId, ...]], None]:
        station = started.origin.station

        def ended(closed: tuple[TransactionId, ...]) -> None:
            now = self._clock.now()
            for transaction in closed:
                if evse := self._live.of_transaction(station, transaction):
                    self._follow_up(transactions.end(evse, now, now))
                self.look_back(station, transaction)

        return ended

    def look_back(self, station: StationId, transaction: TransactionId) -> None:
        """A transaction is over: a plug-in that nobody saw is kept, and all of its time is settled again (F3)."""

        def kept(span: tuple[datetime, datetime] | None) -> None:
            if span is not None:
                self._ground.emit(changes.PastKnown(*span))

        work = partial(writes.keep_past_plug_in, station=station, transaction=transaction)
        self._store.writer.put(Write((), work, kept))

    def _follow_up(self, happened: Iterator[changes.Change]) -> None:
        for change in tuple(happened):
            self._ground.emit(change)

    def consider_foreign(self, change: changes.ForeignSeen) -> None:
        """Adopt a transaction that nobody told us of once it is kept, unless it is known to have ended."""
        evse, at = change.evse, self._clock.now()

        def kept(runs: bool) -> None:  # noqa: FBT001  the work's result
            if runs:
                self._ground.spawn(self._adopt(evse, change.transaction))

        work = partial(writes.adopt_transaction, evse=evse.ref, transaction=change.transaction, at=at)
        self._store.writer.put(Write((), work, kept))

    async def _adopt(self, evse: EvseLive, transaction: TransactionId) -> None:
        """Its start may be known all the same: one that came late was taken for history, and runs on its card (F3)."""
        record = await self._store.read(partial(reads.transaction, station=evse.ref.station, id=transaction))
        start = None if record is None else queued(self._live, evse, record, StoredWord(), self._tokens)
        self._follow_up(transactions.adopt(evse, transaction, self._clock.now(), start))

    def keep_presumed(self, change: changes.Presumed) -> None:
        """The end that nobody told of is kept as provisional: the real one replaces it when it comes."""
        station = change.evse.ref.station
        log.warning("transaction.presumed_ended", station=station, transaction=change.transaction, why=change.why)
        self._ground.put(
            writes.presume_ended,
            station=station,
            transaction=change.transaction,
            at=change.at,
            why=f"{writes.PRESUMED} {change.why}",
        )

    async def close_transaction(self, station: StationId, transaction: TransactionId, by: str, why: str) -> None:
        """End by hand a transaction that will not end by itself; durable when it returns. The station's own stop still
        replaces this end when it comes. NotFound: no such transaction; Conflict: it has ended."""
        now = self._clock.now()
        record = await self._store.read(partial(reads.transaction, station=station, id=transaction))
        if record is None:
            raise NotFound(f"station {station} has no transaction {transaction}")
        reason = f"closed by {by}: {why}"
        work = partial(writes.presume_ended, station=station, transaction=transaction, at=now, why=reason)
        if not await self._store.writer.run(work):
            raise Conflict(f"transaction {transaction} has ended already")
        log.warning("transaction.closed", station=station, transaction=transaction, by=by, why=why)
        if evse := self._live.of_transaction(station, transaction):
            self._follow_up(transactions.end(evse, now, now))
        self.look_back(station, transaction)

    def denied(self, change: changes.Denied) -> None:
        """The station was asked, and says that the transaction does not run."""
        why = "the station says that it does not run"
        self._follow_up(transactions.presume_over(change.evse, change.transaction, self._clock.now(), why))

    def left(self, change: changes.Unplugged) -> None:
        """A plug-in that ended before anybody looked up whose card it was is its card's user's (F3)."""
        plug_in = change.plug_in
        if plug_in.user is None and plug_in.transaction is not None:
            self._ground.put(writes.give_to_card, plug_in=plug_in.id)

    def sweep(self, evse: EvseLive, now: datetime, gone_after: timedelta) -> None:
        """End the plug-in of a connector that has been free for long enough to be believed; and see the cable in
        another connector that was in before that one was out."""
        since, other_since = evse.cable.available_since, evse.cable.other_since
        if since is not None and now - since >= gone_after:
            self._follow_up(cables.gone(evse, evse.cable.free_at or now))
        elif other_since is not None and now - other_since >= gone_after:
            self._follow_up(cables.seen_at_other(evse, other_since))


def _ended(fact: StationFact, result: Any) -> TransactionId | None:
    """The transaction that a fact has ended, or tells of afterwards."""
    if isinstance(fact, TransactionStopped):
        ended: TransactionId | None = result
        return ended
    is_past = isinstance(fact, TransactionReported) and (fact.phase is TransactionPhase.ENDED or fact.offline)
    return fact.transaction if isinstance(fact, TransactionReported) and is_past and result else None
