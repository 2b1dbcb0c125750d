"""C10: nothing in the writer costs more because one station has sent much before. Work is counted, not timed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import Connection

from csms.domain.facts import IdToken, Origin, StationFact, TransactionPhase, TransactionStarted, TransactionStopped
from csms.domain.ids import EvseRef, TransactionId
from csms.store import Write, writes
from csms.store.batch import commit_batch
from csms.store.facts import write_of
from tests.store.made import S, at, reading, reported

FEW, MANY, LOOKED_AT = 90, 450, 40
STEPS = 20
"""SQLite's machine is looked at every so many instructions."""

Sent = Iterator[Write]


def start(n: int, connector: int) -> Write:
    fact = TransactionStarted(
        origin=Origin(station=S, message_id=f"s{n}", received_at=at(n)),
        evse=EvseRef(S, connector),
        token=IdToken(f"t{n}"),
        at=at(n),
        meter_start_wh=1000 + n,
    )
    return of(fact, transaction=1000 + n)


def stop(n: int, named: int) -> Write:
    """Of a time and a register that fit every start."""
    fact = TransactionStopped(
        origin=Origin(station=S, message_id=f"p{n}", received_at=at(n)),
        transaction=TransactionId(str(named)),
        at=at(n + 0.5),
        meter_stop_wh=10**6 + n,
    )
    return of(fact)


def of(fact: StationFact, transaction: int | None = None) -> Write:
    return Write(*write_of(fact, transaction=transaction))


def reconcile(n: int) -> Write:
    return Write((), partial(writes.reconcile_stops, station=S, started=TransactionId(str(1000 + n))))


def stops_of_nothing(count: int) -> Sent:
    return (stop(n, -1 - n) for n in range(count))


def stops_of_nothing_between_starts(count: int) -> Sent:
    for n in range(count):
        yield from (stop(n, -1 - n), start(n, n + 1), reconcile(n))


def stops_of_nothing_after_starts_everywhere(count: int) -> Sent:
    yield from (start(n, n + 1) for n in range(count))
    yield from (stop(n, -1 - n) for n in range(LOOKED_AT))


def starts_that_presume_the_last_over(count: int) -> Sent:
    for n in range(count):
        yield from (start(n, 1), stop(n, -1 - n), reconcile(n))


def sessions_at_one_connector(count: int) -> Sent:
    """Each leaves a plug-in that nobody saw."""
    for n in range(count):
        over = partial(writes.keep_past_plug_in, station=S, transaction=TransactionId(str(1000 + n)))
        yield from (start(n, 1), stop(n, 1000 + n), Write((), over))


def one_long_transaction(count: int) -> Sent:
    return (of(reported(n, readings=(reading(n),))) for n in range(count))


def one_number_again_and_again(count: int) -> Sent:
    return (of(reported(1, f"m-{n}", at=at(n))) for n in range(count))


def ids_that_begin_anew(count: int) -> Sent:
    return (of(reported(0, f"m-{n}", at=at(n), phase=TransactionPhase.STARTED)) for n in range(count))


def readings_without_a_place(count: int) -> Sent:
    """A transaction that never says where it runs, and another that says it in every event."""
    nowhere, here = TransactionId("nowhere"), TransactionId("here")
    for n in range(count):
        yield of(reported(n, f"a-{n}", evse=None, transaction=nowhere, readings=(reading(n),)))
        yield of(reported(n, f"b-{n}", transaction=here))


PATTERNS = (
    stops_of_nothing,
    stops_of_nothing_between_starts,
    stops_of_nothing_after_starts_everywhere,
    starts_that_presume_the_last_over,
    sessions_at_one_connector,
    one_long_transaction,
    one_number_again_and_again,
    ids_that_begin_anew,
    readings_without_a_place,
)


@contextmanager
def counted(conn: Connection) -> Iterator[Callable[[], tuple[int, int]]]:
    """(steps of SQLite's machine, Python calls) within the block."""
    steps = calls = 0

    def stepped() -> int:
        nonlocal steps
        steps += 1
        return 0

    def called(_frame: Any, kind: str, _arg: Any) -> None:
        nonlocal calls
        calls += kind == "call"

    driver: Any = conn.connection.driver_connection
    driver.set_progress_handler(stepped, STEPS)
    sys.setprofile(called)
    try:
        yield lambda: (steps, calls)
    finally:
        sys.setprofile(None)
        driver.set_progress_handler(None, STEPS)


def work_of_the_last(conn: Connection, sent: Sent, before: int) -> tuple[int, int]:
    """What the last writes of ``sent`` cost, after so many before them."""
    everything = list(sent)
    store(conn, everything[:-LOOKED_AT])
    with counted(conn) as so_far:
        store(conn, everything[-LOOKED_AT:])
    assert len(everything) >= before
    return so_far()


def store(conn: Connection, sent: list[Write]) -> None:
    waiting = iter(sent)
    while batch := list(islice(waiting, LOOKED_AT)):
        assert [outcome.error for outcome in commit_batch(conn, batch)] == [None] * len(batch)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.__name__)
def test_the_last_of_many_messages_of_a_station_costs_what_the_last_of_few_does(
    url: str, conn: Connection, pattern: Callable[[int], Sent]
) -> None:
    """C10: 200 stops of unknown ids and 200 starts held the only writer for half a minute."""
    few_steps, few_calls = work_of_the_last(conn, pattern(FEW), FEW)
    with conn.begin():
        for table in ("transaction", "transaction_event", "meter_value", "parked_stop", "plug_in"):
            conn.exec_driver_sql(f'DELETE FROM "{table}"')
    many_steps, many_calls = work_of_the_last(conn, pattern(MANY), MANY)
    assert many_steps <= few_steps * 1.3
    assert many_calls <= few_calls * 1.3
