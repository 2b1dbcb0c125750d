"""C8, V2G-56: events that are stored together leave behind what they do one after another."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text

from csms.domain.facts import IdToken, StationFact, TransactionPhase, TransactionReported
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.store import migrate
from csms.store.batch import Write, commit_batch, commit_singly
from csms.store.database import parse_url, writing_engine
from csms.store.facts import write_of
from csms.store.tables import METER_VALUE, QUARANTINE, TRANSACTION, TRANSACTION_EVENT
from tests.store.made import at, metered, reading, reported

STATIONS = (StationId("CS1"), StationId("CS2"))
TABLES = (TRANSACTION, TRANSACTION_EVENT, METER_VALUE)


def of_station(station: StationId, seq_no: int, **changed: Any) -> TransactionReported:
    fact = reported(seq_no, **changed)
    return replace(fact, origin=replace(fact.origin, station=station))


@st.composite
def events(draw: st.DrawFn) -> StationFact:
    station = draw(st.sampled_from(STATIONS))
    minute = draw(st.integers(0, 4))
    evse = draw(st.sampled_from([None, EvseRef(station, 1), EvseRef(station, 2)]))
    if draw(st.integers(0, 6)) == 0:
        return metered(reading(minute), evse=EvseRef(station, 1))
    return of_station(
        station,
        draw(st.integers(0, 3)),
        at=at(minute),
        transaction=TransactionId(draw(st.sampled_from(["a", "b"]))),
        phase=draw(st.sampled_from(TransactionPhase)),
        evse=evse,
        token=draw(st.sampled_from([None, IdToken("x"), IdToken("y")])),
        stopped_reason=draw(st.sampled_from(["", "Local"])),
        readings=draw(st.sampled_from([(), (reading(minute),)])),
    )


def results_and_rows(conn: Connection, facts: list[StationFact], *, size: int) -> tuple[list[Any], Any]:
    writes = [Write(*write_of(fact)) for fact in facts]
    done = [commit_batch(conn, writes[first : first + size]) for first in range(0, len(writes), size)]
    rows = [sorted(map(repr, (row[1:] for row in conn.execute(select(table))))) for table in TABLES]
    conn.rollback()
    for table in TABLES:
        with conn.begin():
            conn.execute(table.delete())
    return [outcome.result for part in done for outcome in part], rows


@pytest.fixture(scope="module")
def database() -> Any:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'events.db')}"
        migrate(url)
        engine = writing_engine(parse_url(url))
        with engine.connect() as conn:
            yield conn
        engine.dispose()


@settings(max_examples=250, deadline=None)
@given(st.lists(events(), max_size=12))
def test_c8_events_of_one_commit_are_stored_as_if_each_had_come_alone(
    database: Connection, facts: list[StationFact]
) -> None:
    alone = results_and_rows(database, facts, size=1)
    assert results_and_rows(database, facts, size=len(facts) + 1) == alone
    assert results_and_rows(database, facts, size=3) == alone


def test_c8_an_event_that_cannot_be_stored_takes_no_other_with_it(conn: Connection) -> None:
    """Poison among good ones: they are stored and told, it is kept in the quarantine."""
    good = [of_station(StationId(f"S{n}"), n, transaction=TransactionId(f"t{n}")) for n in range(3)]
    bad = of_station(StationId("S9"), 9, transaction=TransactionId("t\ud800"))
    facts = [*good[:2], bad, *good[2:]]
    writes = [Write(*write_of(fact)) for fact in facts]
    with pytest.raises(UnicodeEncodeError):
        commit_batch(conn, writes)
    outcomes = commit_singly(conn, writes)  # what the writer does then
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    stored = conn.execute(select(TRANSACTION.c.transaction).order_by(TRANSACTION.c.transaction))
    assert stored.scalars().all() == ["t0", "t1", "t2"]
    assert len(conn.execute(select(QUARANTINE)).all()) == 1


def test_c8_an_event_is_found_by_its_number_without_reading_its_transaction(database: Connection) -> None:
    """A transaction of a week has ten thousand events; each new one asks for those of its own number."""
    plan = database.execute(
        text(
            "EXPLAIN QUERY PLAN SELECT generation FROM transaction_event "
            "WHERE station = 's' AND \"transaction\" = 't' AND seq_no = 1"
        )
    ).all()
    database.rollback()
    assert "station=? AND transaction=? AND seq_no=?" in plan[0][-1]
