"""Issue 6.1: whatever class of error the database raises at whatever statement of the writer, what was confirmed is in
it once, as rows or raw in the quarantine, and all is confirmed in the end."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from csms.domain.facts import (
    IdToken,
    Metered,
    Origin,
    StationFact,
    StatusReported,
    TransactionPhase,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
    Unintelligible,
)
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.station import ConnectorStatus
from csms.store import Write, migrate, patience
from csms.store.batch import Outcome
from csms.store.committing import Committer
from csms.store.database import parse_url, writing_engine
from csms.store.facts import write_of
from csms.store.patience import Patience
from csms.store.server_lock import NoLock
from tests.databases import ENGINES, empty_database
from tests.faults.breaking import BREAKS, Breaking
from tests.store.made import at, reading

SPANS = (1, 9)
"""So many steps fail in a row: one, or all for a while."""


@dataclass(frozen=True, slots=True)
class Message:
    """A fact, and where one row of it must be: table and condition, or the table for what cannot be there."""

    fact: StationFact
    table: str
    where: str
    transaction: int | None = None
    or_in: str = ""


def session(station: StationId, number: int) -> list[Message]:
    """What a station of each version says, and one thing nobody understands."""
    evse, seen = EvseRef(station, 1), iter(range(1, 99))

    def origin() -> Origin:
        return Origin(station=station, message_id=f"{station}.{next(seen)}", received_at=at(number))

    token, named = IdToken("abc"), TransactionId(str(number))
    started = TransactionStarted(origin=origin(), evse=evse, token=token, at=at(0), meter_start_wh=1)
    metered = Metered(origin=origin(), evse=evse, transaction=named, readings=(reading(1), reading(2)))
    status = StatusReported(
        origin=origin(), evse=evse, connector=1, status=ConnectorStatus.OCCUPIED, at=at(1), error_code="", info=""
    )
    event = TransactionReported(
        origin=origin(),
        transaction=TransactionId("two"),
        phase=TransactionPhase.STARTED,
        seq_no=0,
        trigger="CablePluggedIn",
        at=at(1),
        evse=EvseRef(station, 2),
        readings=(reading(3),),
    )
    odd = Unintelligible(origin=origin(), action="MeterValues", raw=f"[{station}", why="no JSON")
    stopped = TransactionStopped(origin=origin(), transaction=named, at=at(9), meter_stop_wh=9, readings=(reading(8),))
    return [
        Message(started, "transaction", f"transaction = '{named}' AND meter_start_wh = 1", number),
        Message(metered, "meter_value", f"at = {micros_of(1)}"),
        Message(status, "status", "evse = 1"),
        Message(event, "transaction_event", "seq_no = 0"),
        Message(odd, "quarantine", "action = 'MeterValues'"),
        Message(stopped, "transaction", f"transaction = '{named}' AND meter_stop_wh = 9", or_in="parked_stop"),
    ]


def micros_of(minute: float) -> int:
    return round(at(minute).timestamp() * 1_000_000)


@dataclass(slots=True)
class Bench:
    """A migrated database whose connections break at will, and an eye beside them."""

    engine: Engine
    breaking: Breaking
    eye: Connection
    cases: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**6)))

    def store(self, messages: Sequence[Message]) -> dict[str, Outcome]:
        """As the writer does. Each message is in the database by the time it is reported; message id → outcome."""
        told: dict[str, Outcome] = {}
        batch = [made(message) for message in messages]
        by_write = {id(write): message for write, message in zip(batch, messages, strict=True)}

        def report(writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
            for write, outcome in zip(writes, outcomes, strict=True):
                message = by_write[id(write)]
                assert message.fact.origin.message_id not in told, "confirmed twice"
                assert self.is_kept(message, outcome), f"{message.fact} was confirmed, and is not there: {outcome}"
                told[message.fact.origin.message_id] = outcome

        committer = Committer(NoLock(self.engine), Patience(threading.Event()), deque(), report)
        committer.store(batch)
        committer.disconnect()
        return told

    def is_kept(self, message: Message, outcome: Outcome) -> bool:
        station, id_ = message.fact.origin.station, message.fact.origin.message_id
        where = message.where.replace("transaction =", '"transaction" =')
        rows = self._count(f'"{message.table}"', f"station = '{station}' AND {where}")
        if message.or_in:  # a stop whose start is in the quarantine
            rows += self._count(f'"{message.or_in}"', f"station = '{station}'")
        raw = self._count("quarantine", f"action <> 'MeterValues' AND raw LIKE '%{id_}%'")
        return (rows, raw) == ((1, 0) if outcome.error is None else (0, 1))

    def _count(self, table: str, where: str) -> int:
        found = self.eye.execute(text(f"SELECT count(*) FROM {table} WHERE {where}")).scalar_one()
        self.eye.rollback()
        return int(found)


def made(message: Message) -> Write:
    return Write(*write_of(message.fact, transaction=message.transaction))


@pytest.fixture(scope="module", params=ENGINES)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    with empty_database(request.param, folder) as url:
        migrate(url)
        engine, other = writing_engine(parse_url(url)), writing_engine(parse_url(url))
        with closing(other.connect().execution_options(isolation_level="AUTOCOMMIT")) as eye:
            yield Bench(engine, Breaking(engine), eye)
        engine.dispose()
        other.dispose()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.0)


KINDS = sorted({kind for kinds in BREAKS.values() for kind in kinds})


def messages_of(bench: Bench) -> list[Message]:
    number = next(bench.cases)
    return session(StationId(f"F{number}"), number)


def steps_of(bench: Bench) -> int:
    """How many steps a batch takes when nothing breaks."""
    bench.breaking.calm()
    told = bench.store(messages_of(bench))
    assert [outcome.error for outcome in told.values()] == [None] * 6
    return bench.breaking.steps


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_breaks_at_any_statement_the_confirmed_is_stored_once_and_all_is_confirmed(
    bench: Bench, kind: str
) -> None:
    """C1: at every step of the writer, once, and for a while."""
    happens = BREAKS[bench.engine.dialect.name].get(kind)
    if happens is None:
        return
    steps = steps_of(bench)
    assert steps > 20
    for first in range(1, steps + 1):
        for count in SPANS:
            messages = messages_of(bench)
            bench.breaking.plan(happens, first, count)
            told = bench.store(messages)
            assert len(told) == len(messages), f"step {first}, {count} times"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["connection lost", "time-out", "system"])
def test_a_commit_whose_answer_is_lost_is_not_made_twice(bench: Bench, kind: str) -> None:
    """The writer cannot know: what it stores again is what is there already, and each event still counts as new."""
    happens = BREAKS[bench.engine.dialect.name][kind]
    for first in range(1, steps_of(bench) + 1):
        messages = messages_of(bench)
        bench.breaking.plan(happens, first, after_commit=True)
        told = bench.store(messages)
        assert [outcome.error for outcome in told.values()] == [None] * len(messages)
        events = [m.fact.origin.message_id for m in messages if m.table == "transaction_event"]
        assert all(told[id_].result for id_ in events)


def test_a_database_error_alone_never_sends_a_good_message_to_the_quarantine(bench: Bench) -> None:
    """Read-only, full, lost, locked, timed out, corrupt: it is waited for."""
    kinds = ("read-only", "disk full", "connection lost", "lock lost", "time-out", "system")
    for kind in kinds:
        bench.breaking.plan(BREAKS[bench.engine.dialect.name][kind], 3, 9)
        told = bench.store(messages_of(bench))
        assert {outcome.error for outcome in told.values()} == {None}, kind
