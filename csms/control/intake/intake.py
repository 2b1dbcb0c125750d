"""Facts come in, are stored, then answered, then acted on. Implements ports.Intake; design §1, §3.

The order never changes: what a station is told was committed before, and decisions follow from what was committed.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from csms.control.intake import projection
from csms.control.intake.answers import ACKNOWLEDGED, INVALID, answer_of, is_bad_start
from csms.control.intake.clock_offset import ClockOffset, dated, dated_again, is_late
from csms.control.intake.endings import Endings
from csms.control.intake.replays import come_now, still_told
from csms.control.intake.transaction_ids import IDS_PER_BLOCK, TransactionIds
from csms.control.state import changes, rights
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.domain.answers import Answer, BootAnswer, TimeAnswer, TokenAnswer, TokenStatus
from csms.domain.errors import Conflict, CsmsError, NotFound
from csms.domain.facts import (
    Booted,
    Heartbeat,
    Metered,
    StationFact,
    StatusesReported,
    StatusReported,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
    Unintelligible,
)
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.quarantine import Replay
from csms.domain.station import BootState, Quirks, Version
from csms.store import Write, reads, writes
from csms.store.facts import replay_row, write_of

log = structlog.get_logger()

PLAINLY = changes.Committed()

FREQUENT = frozenset({Metered, StatusReported, StatusesReported})
"""Stored as rows, without a work, a token or an id to be given: their answer says no more than that they are kept."""


Decode = Callable[[Version, Quirks, Unintelligible], StationFact]
"""Reads a message that was kept raw once more; ValueError says why it cannot. See handlers.again."""


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
        self.endings = Endings(ground, tokens)
        self._ids = TransactionIds()

    async def load(self) -> None:
        """Reserve the first ids for 1.6 transactions."""
        try:
            first = await self._store.writer.run(partial(writes.reserve_transaction_ids, count=IDS_PER_BLOCK))
        except CsmsError:
            self._ids.went_without()
            raise
        self._ids.feed(first, IDS_PER_BLOCK)

    @property
    def is_full(self) -> bool:
        """Too much waits to be stored, or nothing can be: stations are not read."""
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
        offset = self._offset(origin.station)
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

    def _offset(self, station: StationId) -> ClockOffset:
        return self._offsets.get(station) or self._offsets.setdefault(station, ClockOffset())

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

    async def reprocess(self, id_: int, decode: Decode, by: str, raw: str | None = None) -> Replay:
        """Take in a message from the quarantine as a fact, now that it can be understood; durable when it returns.

        ``raw``: the message as somebody corrected it; the one that came is kept as it is. Idempotent: natural keys. A
        start gets the id that its station was answered with; a stop that named it counts. NotFound: no such message, or
        its station is gone; Conflict: it still cannot be understood, or not be stored.
        """
        kept = await self._store.read(partial(reads.quarantined_message, id=id_))
        station = self._live.station(kept.origin.station) if kept else None
        if kept is None or station is None:
            raise NotFound(f"there is no message {id_} of a station in the quarantine")
        version = station.version or station.station.version or Version.V16
        try:
            read = decode(version, station.quirks, kept if raw is None else replace(kept, raw=raw))
        except ValueError as error:
            raise Conflict(f"message {id_} cannot be understood: {error}") from error
        transaction = await self._store.read(partial(reads.issued_id, start=kept.origin))
        now = self._clock.now()  # one instant: by it the frame is found again that the message came in (M2)
        fact = come_now(dated_again(read, self._offset(kept.origin.station)), now)
        replay = Replay(at=now, by=by, taken_as=type(fact).__name__, raw=raw)
        await self._take_again(fact, transaction, replay_row(id_, replay))
        log.info("quarantine.replayed", id=id_, station=kept.origin.station, taken_as=replay.taken_as, by=by)
        return replay

    async def _take_again(self, fact: Any, transaction: int | None, note: tuple[str, dict[str, Any]]) -> None:
        self.endings.expect(fact.origin.station)
        token, transaction = self._token_answer(fact), transaction or self._transaction_for(fact)
        rows, work = self._write_of(fact, transaction)
        stored: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._store.writer.put(Write((*rows, note), work, stored.set_result, stored.set_exception))
        try:
            result = await stored
        except CsmsError as error:
            raise Conflict(f"the message cannot be stored: {error}") from error
        told = still_told(self._live, fact)
        if told is None:
            return
        self._apply(told, result, token)
        if isinstance(fact, TransactionStarted):  # what ran since may have ended, and its first register is known now
            self._ground.emit(changes.PastKnown(fact.at, self._clock.now()))
            self.endings.look_back(fact.origin.station, TransactionId(str(result)))

    def _store_and_answer(self, fact: StationFact, done: Callable[[Answer], None]) -> None:
        token, transaction = self._token_answer(fact), self._transaction_for(fact)
        rows, work = self._write_of(fact, transaction)

        def committed(result: Any) -> None:
            done(self._answer(fact, result, token))
            self._apply(fact, result, token)

        if rows or work:
            self._store.writer.put(Write(rows, work, committed, partial(self._quarantined, fact, done, transaction)))
        else:  # nothing to keep: an Authorize says no more than the transaction after it
            committed(None)

    def _apply(self, fact: StationFact, result: Any, token: TokenAnswer | None) -> None:
        """What follows from a fact that is committed."""
        self._note_readings(fact)
        self._follow_up(projection.apply(self._live, fact, self._committed(fact, result, token)))
        self.endings.committed(fact, result)

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
        """It is kept raw, and that is committed: confirmed, or the station would send it for ever (V2G-39)."""
        log.error("fact.quarantined", station=fact.origin.station, fact=type(fact).__name__, error=str(error))
        if not _needs_id(fact):
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

    def _write_of(self, fact: StationFact, transaction: int | None) -> tuple[Any, Any]:
        rows, work = write_of(fact, transaction=transaction)
        if isinstance(fact, Booted):
            return rows, self._boot(fact)
        if is_bad_start(fact):
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

    def connected(self, station: StationId, version: Version) -> None:
        live = self._live.station(station)
        if live is not None:
            live.version = version
            live.station = replace(live.station, version=version)
            live.last_heard_at = live.connected_at = self._clock.now()
            self._ground.emit(changes.StationConnected(live))

    def disconnected(self, station: StationId) -> None:
        live = self._live.station(station)
        if live is not None:
            live.version = None
            self._ground.emit(changes.StationLost(live))

    def _transaction_for(self, fact: StationFact) -> int | None:
        if not _needs_id(fact):
            return None
        if self._ids.should_ask:
            self._ground.spawn(self.load())
        return self._ids.take()

    def _token_answer(self, fact: StationFact) -> TokenAnswer | None:
        """Whether the token in a fact may charge where it was shown. Who ends a charge needs no right to begin one."""
        token = getattr(fact, "token", None)
        if token is None:
            return None
        verdict = self._tokens.verdict(token, self._clock.now())
        if verdict.status is not TokenStatus.ACCEPTED or isinstance(fact, TransactionStopped):
            return verdict
        record, station = self._tokens.find(token), fact.origin.station
        may = rights.may_charge(self._live, station, self._evse_of(fact), record.user if record else None)
        return verdict if may else replace(verdict, status=TokenStatus.INVALID)

    def _evse_of(self, fact: StationFact) -> EvseRef | None:
        """Where it happened; a 2.x event may name its transaction only, an Authorize names nothing."""
        ref: EvseRef | None = getattr(fact, "evse", None)
        if ref is not None or not isinstance(fact, TransactionReported):
            return ref
        evse = self._live.of_transaction(fact.origin.station, fact.transaction)
        return evse.ref if evse else None

    def _answer(self, fact: StationFact, result: Any, token: TokenAnswer | None) -> Answer:
        if isinstance(fact, Booted):
            return BootAnswer(state=result, now=self._clock.now(), interval_s=self._heartbeat_interval_s)
        return answer_of(fact, result, token)


def _needs_id(fact: StationFact) -> bool:
    """A 1.6 start is answered with a transaction id, come what may (field lesson 10)."""
    return isinstance(fact, TransactionStarted) or is_bad_start(fact)
