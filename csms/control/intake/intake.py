"""Facts come in, are stored, then answered, then acted on. Implements ports.Intake; design §1, §3.

The order never changes: what a station is told was committed before, and decisions follow from what was committed.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from csms.control.intake import cables, projection, transactions
from csms.control.intake.clock_offset import ClockOffset, dated, is_late
from csms.control.intake.transaction_ids import IDS_PER_BLOCK, TransactionIds
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.control.state.live import EvseLive
from csms.domain.answers import (
    Acknowledged,
    Answer,
    BootAnswer,
    DataAnswer,
    NeedsAnswer,
    NeedsStatus,
    StartAnswer,
    TimeAnswer,
    TokenAnswer,
    TokenStatus,
    TransactionAnswer,
)
from csms.domain.errors import Conflict, NotFound
from csms.domain.facts import (
    AuthorizeAsked,
    Booted,
    DataSent,
    Heartbeat,
    Metered,
    NeedsReported,
    StationFact,
    StatusesReported,
    StatusReported,
    TransactionPhase,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
    Unintelligible,
)
from csms.domain.ids import StationId, TransactionId
from csms.domain.station import BootState, Quirks, Version
from csms.store import Write, reads, writes
from csms.store.facts import write_of

log = structlog.get_logger()

CATCH_UP = timedelta(days=2)
"""Transactions that ended so long before the start are looked at again."""

INVALID = TokenAnswer(status=TokenStatus.INVALID)
ACKNOWLEDGED = Acknowledged()
PLAINLY = changes.Committed()

FREQUENT = frozenset({Metered, StatusReported, StatusesReported})
"""Stored as rows, without a work, a token or an id to be given: their answer says no more than that they are kept."""


Decode = Callable[[Version, Quirks, Unintelligible], StationFact | None]
"""Reads a message that was kept raw once more; see handlers.again."""


class Intake:
    """Takes facts in, and says what committed facts changed."""

    def __init__(self, ground: Ground, tokens: IdTokens, heartbeat_interval_s: int) -> None:
        self._ground = ground
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self._tokens = tokens
        self._heartbeat_interval_s = heartbeat_interval_s
        self._offsets: dict[StationId, ClockOffset] = {}
        self._parked: set[StationId] = set()
        self._ids = TransactionIds()

    async def load(self) -> None:
        """Reserve the first ids for 1.6 transactions."""
        first = await self._store.writer.run(partial(writes.reserve_transaction_ids, count=IDS_PER_BLOCK))
        self._ids.feed(first, IDS_PER_BLOCK)

    async def catch_up(self) -> None:
        """What follows from transactions that ended right before a crash."""
        since = self._clock.now() - CATCH_UP
        await self._store.writer.run(partial(writes.keep_past_plug_ins, since=since))

    @property
    def is_full(self) -> bool:
        return self._store.writer.is_full

    def receive(self, fact: StationFact, done: Callable[[Answer], None]) -> None:
        origin = fact.origin
        station = self._live.stations.get(origin.station)
        if station is None:
            return
        station.last_heard_at = origin.received_at
        if type(fact) is Heartbeat:
            done(TimeAnswer(self._clock.now()))
            return
        offset = self._offsets.get(origin.station) or self._offsets.setdefault(origin.station, ClockOffset())
        if type(fact) is Booted:
            offset.forget()
        fact = dated(fact, offset)
        if is_late(fact):
            station.replayed_at = origin.received_at
        if type(fact) is Metered and fact.evse.evse == 0 and fact.transaction is not None:
            fact = self._placed(fact, fact.transaction)
        if type(fact) in FREQUENT:
            self._keep(fact, done)
        else:
            self._store_and_answer(fact, done)

    def _placed(self, fact: Metered, transaction: TransactionId) -> Metered:
        """Values of connector 0 that name a transaction are those of its EVSE, not of the station's main meter."""
        evse = self._live.of_transaction(fact.origin.station, transaction)
        return fact if evse is None else replace(fact, evse=evse.ref)

    def _keep(self, fact: StationFact, done: Callable[[Answer], None]) -> None:
        """Store what has rows only and no token. Nine messages of ten: nothing is made here that they do not need."""
        rows, _ = write_of(fact)
        kept = partial(self._kept, fact, done)
        if rows:
            self._store.writer.put(Write(rows, None, kept, partial(self._quarantined, fact, done, None)))
        else:
            kept(None)

    def _kept(self, fact: StationFact, done: Callable[[Answer], None], _result: None) -> None:
        done(ACKNOWLEDGED)
        self._note_readings(fact)
        self._follow_up(projection.apply(self._live, fact, PLAINLY))

    async def reprocess(self, id_: int, decode: Decode) -> Answer:
        """Take in a message from the quarantine as a fact, now that it can be understood; durable when it returns.

        Idempotent: natural keys. A start gets the id that its station was answered with; a stop that named it counts.
        NotFound: no such message, or its station is gone; Conflict: it still cannot be understood.
        """
        kept = await self._store.read(partial(reads.quarantined_message, id=id_))
        station = self._live.station(kept.origin.station) if kept else None
        if kept is None or station is None:
            raise NotFound(f"there is no message {id_} of a station in the quarantine")
        fact = decode(station.version or station.station.version or Version.V16, station.quirks, kept)
        if fact is None:
            raise Conflict(f"message {id_} still cannot be understood: {kept.why}")
        issued = partial(reads.issued_id, station=kept.origin.station, message_id=kept.origin.message_id)
        self._parked.add(kept.origin.station)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._store_and_answer(fact, answered.set_result, await self._store.read(issued))
        return await answered

    def _store_and_answer(
        self, fact: StationFact, done: Callable[[Answer], None], transaction: int | None = None
    ) -> None:
        token = self._token_answer(fact)
        transaction = self._transaction_for(fact) if transaction is None else transaction
        rows, work = self._write_of(fact, transaction)

        def committed(result: Any) -> None:
            done(self._answer(fact, result, token))
            self._note_readings(fact)
            self._follow_up(projection.apply(self._live, fact, self._committed(fact, result, token)))
            self._note_parked(fact, result)
            if (over := _ended(fact, result)) is not None:
                self._look_back(fact.origin.station, over)

        if rows or work:
            self._store.writer.put(Write(rows, work, committed, partial(self._quarantined, fact, done, transaction)))
        else:  # nothing to keep: an Authorize says no more than the transaction after it
            committed(None)

    def _committed(self, fact: StationFact, result: Any, answer: TokenAnswer | None) -> changes.Committed:
        token = getattr(fact, "token", None)
        if answer is None or token is None:
            return changes.Committed(result)
        record = self._tokens.find(token)
        holder = record.user if record else None
        return changes.Committed(result, answer.status is TokenStatus.ACCEPTED, holder, answer.group)

    def _quarantined(
        self, fact: StationFact, done: Callable[[Answer], None], transaction: int | None, error: Exception
    ) -> None:
        """It is kept raw: confirmed all the same, or the station would send it for ever (V2G-39)."""
        log.error("fact.quarantined", station=fact.origin.station, fact=type(fact).__name__, error=str(error))
        if transaction is None:
            return done(self._answer(fact, BootState.PENDING if isinstance(fact, Booted) else None, INVALID))
        issue = partial(writes.issue_transaction_id, origin=fact.origin, transaction=transaction, why=str(error))
        return self._store.writer.put(Write((), issue, lambda issued: done(self._answer(fact, issued, INVALID))))

    def _note_readings(self, fact: StationFact) -> None:
        """Say which time is known better now: from the reading before to the newest, or from a late one on."""
        readings = getattr(fact, "readings", ())
        if not readings:
            return
        since = until = self._last_reading_at(fact) or readings[0].at
        for reading in readings:
            if reading.at < since:
                since = reading.at
            elif reading.at > until:
                until = reading.at
        self._ground.emit(changes.EnergyKnown(since, until))

    def _last_reading_at(self, fact: Any) -> datetime | None:
        ref = getattr(fact, "evse", None)
        station = fact.origin.station
        evse = self._live.find(ref) if ref else self._live.of_transaction(station, fact.transaction)
        return evse.meter.reading.at if evse and evse.meter.reading else None

    def _note_parked(self, fact: StationFact, result: Any) -> None:
        """A stop that fitted no transaction is tried again once its station has told of a start (V2G-55)."""
        station = fact.origin.station
        if isinstance(fact, TransactionStopped) and result is None:
            self._parked.add(station)
        elif isinstance(fact, TransactionStarted) and station in self._parked:
            self._parked.discard(station)
            self._store.writer.put(Write((), partial(writes.reconcile_stops, station=station), self._closed(fact)))

    def _closed(self, started: TransactionStarted) -> Callable[[tuple[TransactionId, ...]], None]:
        station = started.origin.station

        def ended(closed: tuple[TransactionId, ...]) -> None:
            now = self._clock.now()
            for transaction in closed:
                if evse := self._live.of_transaction(station, transaction):
                    self._follow_up(transactions.end(evse, now, now))
                self._look_back(station, transaction)

        return ended

    def _look_back(self, station: StationId, transaction: TransactionId) -> None:
        """A transaction is over: a plug-in that nobody saw is kept, and all of its time is settled again (F3)."""

        def kept(span: tuple[datetime, datetime] | None) -> None:
            if span is not None:
                self._ground.emit(changes.EnergyKnown(*span))

        work = partial(writes.keep_past_plug_in, station=station, transaction=transaction)
        self._store.writer.put(Write((), work, kept))

    def _write_of(self, fact: StationFact, transaction: int | None) -> tuple[Any, Any]:
        rows, work = write_of(fact, transaction=transaction)
        if isinstance(fact, Booted):
            return rows, self._boot(fact)
        if transaction is not None and work is None:
            return rows, partial(writes.issue_transaction_id, origin=fact.origin, transaction=transaction, why="unread")
        return rows, work

    def _boot(self, fact: Booted) -> Callable[[Any], BootState]:
        station = self._live.stations[fact.origin.station]
        version = station.version or station.station.version or Version.V16
        state = station.station.registration

        def work(conn: Any) -> BootState:
            writes.save_boot(conn, fact=fact, version=version, state=state)
            return state

        return work

    def _follow_up(self, happened: Iterator[changes.Change]) -> None:
        for change in tuple(happened):  # the fact is applied whole before anybody reacts to a part of it
            self._ground.emit(change)

    def consider_foreign(self, change: changes.ForeignSeen) -> None:
        """Adopt a transaction that nobody told us of once it is kept, unless it is known to have ended."""
        evse, at = change.evse, self._clock.now()

        def kept(runs: bool) -> None:  # noqa: FBT001  the work's result
            if runs:
                self._follow_up(transactions.adopt(evse, change.transaction, self._clock.now()))

        work = partial(writes.adopt_transaction, evse=evse.ref, transaction=change.transaction, at=at)
        self._store.writer.put(Write((), work, kept))

    def keep_presumed(self, change: changes.Presumed) -> None:
        """The end that nobody told of is kept as provisional: the real one replaces it when it comes."""
        station = change.evse.ref.station
        log.warning("transaction.presumed_ended", station=station, transaction=change.transaction, why=change.why)
        self._ground.put(
            writes.presume_ended,
            station=station,
            transaction=change.transaction,
            at=change.at,
            why=f"presumed: {change.why}",
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
        self._look_back(station, transaction)

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
        """End the plug-in of a connector that has been free for long enough to be believed."""
        since = evse.cable.available_since
        if since is not None and now - since >= gone_after:
            self._follow_up(cables.unplug(evse, evse.cable.free_at or now))

    def connected(self, station: StationId, version: Version) -> None:
        live = self._live.station(station)
        if live is not None:
            live.version = version
            live.station = replace(live.station, version=version)
            live.last_heard_at = self._clock.now()
            self._ground.emit(changes.StationConnected(live))

    def disconnected(self, station: StationId) -> None:
        live = self._live.station(station)
        if live is not None:
            live.version = None
            self._ground.emit(changes.StationLost(live))

    def _transaction_for(self, fact: StationFact) -> int | None:
        if isinstance(fact, TransactionStarted) or _is_bad_start(fact):
            if self._ids.should_ask:
                self._ground.spawn(self.load())
            return self._ids.take()
        return None

    def _token_answer(self, fact: StationFact) -> TokenAnswer | None:
        token = getattr(fact, "token", None)
        return None if token is None else self._tokens.verdict(token, self._clock.now())

    def _answer(self, fact: StationFact, result: Any, token: TokenAnswer | None) -> Answer:
        answer = ANSWERS.get(type(fact))
        return ACKNOWLEDGED if answer is None else answer(self, fact, result, token)

    def boot_answer(self, result: BootState) -> BootAnswer:
        return BootAnswer(state=result, now=self._clock.now(), interval_s=self._heartbeat_interval_s)


def _ended(fact: StationFact, result: Any) -> TransactionId | None:
    """The transaction that a fact has ended, or tells of afterwards."""
    if isinstance(fact, TransactionStopped):
        ended: TransactionId | None = result
        return ended
    is_past = isinstance(fact, TransactionReported) and (fact.phase is TransactionPhase.ENDED or fact.offline)
    return fact.transaction if isinstance(fact, TransactionReported) and is_past and result else None


def _is_bad_start(fact: StationFact) -> bool:
    return isinstance(fact, Unintelligible) and fact.action == "StartTransaction"


def _needs_answer(fact: NeedsReported) -> NeedsAnswer:
    # Processing: the profile follows with the next decision; no vehicle is refused its energy service here (V2G-13).
    return NeedsAnswer(NeedsStatus.PROCESSING if fact.bidirectional else NeedsStatus.NO_PROFILE)


def _unintelligible_answer(fact: Unintelligible, result: Any) -> Answer:
    return StartAnswer(transaction=int(result), token=INVALID) if _is_bad_start(fact) else Acknowledged()


ANSWERS: Mapping[type, Callable[[Intake, Any, Any, TokenAnswer | None], Answer]] = {
    Booted: lambda intake, _fact, result, _token: intake.boot_answer(result),
    AuthorizeAsked: lambda _intake, _fact, _result, token: token or INVALID,
    TransactionStarted: lambda _intake, _fact, result, token: StartAnswer(transaction=result, token=token or INVALID),
    TransactionStopped: lambda _intake, _fact, _result, token: TransactionAnswer(token),
    TransactionReported: lambda _intake, _fact, _result, token: TransactionAnswer(token),
    NeedsReported: lambda _intake, fact, _result, _token: _needs_answer(fact),
    DataSent: lambda _intake, _fact, _result, _token: DataAnswer("UnknownVendorId"),
    Unintelligible: lambda _intake, fact, result, _token: _unintelligible_answer(fact, result),
}
"""The reply to each kind of fact, once it is committed; what is not named here is merely noted."""
