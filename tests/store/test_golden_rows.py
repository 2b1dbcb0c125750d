"""The golden frames, down to the rows: what a station is told to be kept is found in the tables, column by column (C2).

``rows``: table → rows in their order, with the columns that the frame speaks of, written by reading the frame and the
standard. ``given``: the frame of the same folder that the station sent before. Times are those of the frame.
"""

from datetime import datetime
from functools import partial
from typing import Any, get_args

import pytest
from sqlalchemy import Connection, select

from csms.domain import facts
from csms.domain.facts import StationFact
from csms.domain.station import BootState
from csms.store import Write, writes
from csms.store.batch import commit_batch
from csms.store.facts import write_of
from csms.store.tables import METADATA
from handlers import ROUTES
from tests.handlers.golden import FOLDER, STATION, Case, cases
from tests.store.made import station

GOLDEN = [case for case in cases("in") if "rows" in case.data]
ISSUED = 4711
"""The id that the station was given for its start."""

LEAVE_NO_ROW = {"Heartbeat"}
"""Nothing in them is said twice or needed later: their answer is all they ask for."""

RAW = {"Unintelligible"}
"""Made of any frame that cannot be read: see test_bad_input."""


def fact_of(case: Case) -> StationFact:
    _, message_id, action, payload = case.data["frame"]
    fact: StationFact = ROUTES[case.version][action].decode(payload, case.context, message_id)
    return fact


def write_as_the_intake_does(case: Case) -> Write:
    fact = fact_of(case)
    if isinstance(fact, facts.Booted):
        boot = partial(writes.save_boot, fact=fact, version=case.version, state=BootState.ACCEPTED)
        return Write((), boot)
    return Write(*write_of(fact, transaction=ISSUED if isinstance(fact, facts.TransactionStarted) else None))


def found(conn: Connection, table: str, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table's rows, with the columns that are wanted."""
    columns = METADATA.tables[table].c
    rows = conn.execute(select(METADATA.tables[table]).order_by(columns.id)).mappings().all()
    assert {row["station"] for row in rows} <= {STATION}
    return [
        {name: row[name] for name in (wanted[n] if n < len(wanted) else row)} for n, row in enumerate(map(dict, rows))
    ]


def as_stored(value: Any, name: str) -> Any:
    if name.endswith("at") and isinstance(value, str):
        return round(datetime.fromisoformat(value).timestamp() * 1_000_000)
    return value


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.id)
def test_a_confirmed_frame_is_found_in_these_rows(conn: Connection, case: Case) -> None:
    """Issue 6.1, C2."""
    before = [Case(FOLDER / case.id.partition("/")[0] / f"{case.data['given']}.json")] if "given" in case.data else []
    known = Write((), partial(writes.upsert_station, station=station(id_=STATION), password_hash=None))
    outcomes = commit_batch(conn, [known, *map(write_as_the_intake_does, [*before, case])])
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    for table, wanted in case.data["rows"].items():
        stored = [{name: as_stored(value, name) for name, value in row.items()} for row in wanted]
        assert found(conn, table, stored) == stored
    conn.rollback()


def test_every_kind_of_fact_that_is_confirmed_shows_its_rows() -> None:
    """C2: a new kind of fact would be confirmed and lost, with every check green."""
    shown = {type(fact_of(case)).__name__ for case in GOLDEN}
    kinds = {kind.__name__ for kind in get_args(StationFact)}
    assert kinds - LEAVE_NO_ROW - RAW == shown
