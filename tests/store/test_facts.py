"""Facts are stored once, whatever comes twice, late or out of order."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from csms.domain.facts import (
    DataSent,
    Heartbeat,
    IdToken,
    NeedsReported,
    StatusesReported,
    StatusReported,
    TransactionPhase,
    Unintelligible,
)
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.station import ConnectorStatus
from csms.store import reads, writes
from csms.store.facts import write_of
from csms.store.tables import (
    METER_VALUE,
    NOTICE,
    PARKED_STOP,
    QUARANTINE,
    STATUS,
    TRANSACTION,
    TRANSACTION_EVENT,
)
from tests.store.made import (
    E1,
    E2,
    S,
    at,
    content,
    count,
    metered,
    origin,
    reading,
    reported,
    session_of_events,
    started,
    station,
    stopped,
    take,
)

TX = TransactionId("tx-1")


def status(kind: ConnectorStatus, minute: float, message_id: str = "m") -> StatusReported:
    return StatusReported(origin=origin(message_id, at(minute)), evse=E1, connector=1, status=kind, at=at(minute))


def test_a_repeated_start_gets_the_same_transaction_id(conn: Connection) -> None:
    """Field lesson 9, V2G-54: the retry has a new message id and perhaps another spelling of the token."""
    retry = started("m-2", token=IdToken(" ABC "))
    assert take(conn, started(), transaction=7) == [7]
    assert take(conn, retry, transaction=8) == [7]
    assert count(conn, TRANSACTION) == 1


def test_a_start_without_a_number_takes_one_from_the_sequence(conn: Connection) -> None:
    """V2G-55: positive, never reused."""
    assert take(conn, started(), started("m-2", at=at(1)), started("m-3")) == [1, 2, 1]


@pytest.mark.parametrize(
    "other", [{"evse": E2}, {"token": IdToken("xyz")}, {"at": at(1)}, {"meter_start_wh": 1001}], ids=str
)
def test_a_start_that_differs_in_its_natural_key_is_another_transaction(conn: Connection, other: dict) -> None:
    assert take(conn, started(), started("m-2", **other)) == [1, 2]


def test_a_stop_ends_its_transaction_with_its_readings(conn: Connection) -> None:
    take(conn, started(), transaction=7)
    assert take(conn, stopped(7, readings=(reading(60),))) == ["7"]
    record = reads.transaction(conn, S, TransactionId("7"))
    assert record is not None
    assert (record.ended_at, record.meter_stop_wh, record.stopped_reason) == (at(60), 8000, "Local")
    assert not record.incomplete
    assert reading(60) in [stored.reading for stored in reads.readings(conn, E1, at(0), at(90))]


def test_a_repeated_stop_changes_nothing(conn: Connection) -> None:
    """Field lesson 12."""
    take(conn, started(), transaction=7)
    assert take(conn, stopped(7), stopped(7, "m-10")) == ["7", "7"]
    assert count(conn, PARKED_STOP) == 0


def test_a_second_different_stop_is_kept_apart_and_the_first_one_stands(conn: Connection) -> None:
    """Field lesson 12: both are kept, the ledger sees the first."""
    take(conn, started(), transaction=7)
    assert take(conn, stopped(7), stopped(7, "m-10", meter_stop_wh=9000)) == ["7", "7"]
    record = reads.transaction(conn, S, TransactionId("7"))
    assert record is not None
    assert record.meter_stop_wh == 8000
    assert conn.execute(select(PARKED_STOP.c.why)).scalar() == "contradicts an earlier stop"


@pytest.mark.parametrize("wrong", ["-1", "0", "999"])
def test_a_stop_with_a_wrong_id_closes_the_only_open_transaction_that_fits(conn: Connection, wrong: str) -> None:
    """V2G-55, field lesson 11: provisionally, and the same again for its retry."""
    take(conn, started(), transaction=7)
    assert take(conn, stopped(wrong), stopped(wrong, "m-10")) == ["7", "7"]
    record = reads.transaction(conn, S, TransactionId("7"))
    assert record is not None
    assert (record.ended_at, record.incomplete) == (at(60), True)
    assert take(conn, stopped(7, "m-11", at=at(61))) == ["7"]
    corrected = reads.transaction(conn, S, TransactionId("7"))
    assert corrected is not None
    assert (corrected.ended_at, corrected.incomplete) == (at(61), False)


@pytest.mark.parametrize(
    "unfit", [{"at": at(-1)}, {"meter_stop_wh": 999}, {"token": IdToken("xyz")}], ids=["earlier", "less", "token"]
)
def test_a_stop_with_a_wrong_id_that_fits_nothing_is_parked(conn: Connection, unfit: dict) -> None:
    """Never stop "any" transaction (field lesson 11)."""
    take(conn, started(), transaction=7)
    assert take(conn, stopped(-1, **unfit)) == [None]
    assert [record.id for record in reads.open_transactions(conn)] == ["7"]

    assert count(conn, PARKED_STOP) == 1


def test_a_stop_with_a_wrong_id_and_two_open_transactions_is_parked(conn: Connection) -> None:
    take(conn, started(), started("m-2", evse=E2))
    assert take(conn, stopped(-1)) == [None]
    assert len(reads.open_transactions(conn)) == 2


def test_a_stop_with_another_stations_id_closes_nothing_there(conn: Connection) -> None:
    """Field lesson 11: match by id and station."""
    take(conn, started(), transaction=7)
    elsewhere = stopped(7)
    foreign = replace(elsewhere, origin=replace(elsewhere.origin, station=StationId("CS-2")))
    assert take(conn, foreign) == [None]
    assert [record.id for record in reads.open_transactions(conn)] == ["7"]


def test_a_stop_that_came_before_its_start_closes_it_when_reconciled(conn: Connection) -> None:
    """V2G-55: parked, and used once the start is there; its readings too."""
    early = stopped(-1, readings=(reading(60),))
    late = replace(started(), origin=origin("m-20", at(70)))
    assert take(conn, early) == [None]
    assert take(conn, late, transaction=7) == [7]
    with conn.begin():
        assert writes.reconcile_stops(conn, S, TransactionId("7")) == ("7",)
        assert writes.reconcile_stops(conn, S, TransactionId("7")) == ()
    assert reads.open_transactions(conn) == []
    assert reading(60) in [stored.reading for stored in reads.readings(conn, E1, at(0), at(90))]
    assert take(conn, replace(early, origin=origin("m-21", at(80)))) == ["7"]


def test_a_parked_stop_never_closes_a_transaction_that_was_started_before_it_came(conn: Connection) -> None:
    take(conn, started(), started("m-2", evse=E2), stopped(-1), stopped(2))
    with conn.begin():
        assert writes.reconcile_stops(conn, S, TransactionId("2")) == ()


def test_a_start_repeated_after_its_stop_opens_nothing(conn: Connection) -> None:
    take(conn, started(), transaction=7)
    take(conn, stopped(7), started("m-30"))
    assert reads.open_transactions(conn) == []


def test_events_of_a_transaction_make_one_record(conn: Connection) -> None:
    assert take(conn, *session_of_events(4)) == [True] * 4
    record = reads.transaction(conn, S, TX)
    assert record is not None
    assert (record.evse, record.token, record.started_at, record.ended_at) == (E1, "ABC", at(0), at(3))
    assert (record.stopped_reason, record.incomplete) == ("EVDisconnected", False)
    assert len(reads.readings(conn, E1, at(0), at(9))) == 4


def test_a_repeated_event_is_not_new(conn: Connection) -> None:
    """V2G-54: (station, transaction, seqNo)."""
    assert take(conn, reported(3), reported(3, "m-33")) == [True, False]
    assert count(conn, TRANSACTION_EVENT) == 1


def test_two_events_with_one_number_are_both_kept(conn: Connection) -> None:
    """B4: a station whose numbers begin again; its retry adds nothing."""
    twice = reported(3, "m-33", at=at(9), readings=(reading(9),))
    assert take(conn, reported(3), twice, replace(twice, origin=origin("m-34"))) == [True, True, False]
    assert [stored.reading.at for stored in reads.readings(conn, E1, at(0), at(20))] == [at(9)]


def test_an_end_is_never_ignored_because_its_number_was_used_before(conn: Connection) -> None:
    """B4: the station restarted in the middle and counts from 0 again."""
    take(conn, *session_of_events(4)[:3])
    end = reported(1, "m-50", phase=TransactionPhase.ENDED, at=at(30), stopped_reason="Local")
    assert take(conn, end) == [True]
    assert reads.open_transactions(conn) == []
    record = reads.transaction(conn, S, TX)
    assert record is not None
    assert record.ended_at == at(30)


def test_a_transaction_id_that_is_given_again_after_a_reset_is_another_transaction(conn: Connection) -> None:
    """B4: the second session keeps its start, its end, its token and its energy."""
    first = session_of_events(4)
    later = timedelta(hours=5)
    second = [
        replace(
            event,
            at=event.at + later,
            token=IdToken("xyz") if event.token else None,
            readings=tuple(replace(one, at=one.at + later) for one in event.readings),
        )
        for event in first
    ]
    assert take(conn, *first, *second) == [True] * 8
    said_again = [
        replace(event, origin=replace(event.origin, message_id=f"again-{n}")) for n, event in enumerate(first + second)
    ]
    assert take(conn, *said_again) == [False] * 8
    records = reads.transactions(conn)
    assert [(one.token, one.started_at, one.ended_at, one.incomplete) for one in records] == [
        ("ABC", at(0), at(3), False),
        ("XYZ", at(300), at(303), False),
    ]
    assert len(reads.readings(conn, E1, at(299), at(310))) == 5, "four of the second, one before it"


def test_an_id_that_begins_again_ends_what_it_was_before(conn: Connection) -> None:
    """B4: the Ended of the first was lost in the reset."""
    take(conn, *session_of_events(4)[:2], reported(0, "m-60", phase=TransactionPhase.STARTED, at=at(40)))
    records = reads.transactions(conn)
    assert [(one.started_at, one.ended_at, one.incomplete) for one in records] == [
        (at(0), at(40), True),
        (at(40), None, False),
    ]


@pytest.mark.parametrize("missing", [0, 1, 2], ids=["the start", "an update", "the other update"])
def test_a_transaction_with_a_missing_event_is_incomplete_until_it_comes(conn: Connection, missing: int) -> None:
    """V2G-56: gaps in seqNo; a missing Started makes the record all the same."""
    events = session_of_events(4)
    late = events.pop(missing)
    take(conn, *events)
    record = reads.transaction(conn, S, TX)
    assert record is not None
    assert record.incomplete

    take(conn, late)
    whole = reads.transaction(conn, S, TX)
    assert whole is not None
    assert not whole.incomplete


def test_a_presumed_end_holds_until_the_real_one_comes(conn: Connection) -> None:
    """Field lesson 13: zombie transactions end on evidence; 1.6 and 2.x."""
    take(conn, started(), *session_of_events(4)[:3], transaction=7)
    seven = TransactionId("7")
    with conn.begin():
        assert [writes.presume_ended(conn, S, id_, at(2.5), "evidence") for id_ in (seven, TX, TX)] == [
            True,
            True,
            False,
        ]
    assert reads.open_transactions(conn) == []
    assert all(record.incomplete for record in reads.transactions(conn))
    take(conn, stopped(7), session_of_events(4)[3])
    ends = {record.id: (record.ended_at, record.incomplete) for record in reads.transactions(conn)}
    assert ends == {seven: (at(60), False), TX: (at(3), False)}


def test_readings_find_their_evse_when_it_becomes_known(conn: Connection) -> None:
    take(conn, reported(1, evse=None, readings=(reading(1),)))
    assert reads.readings(conn, E1, at(0), at(9)) == []

    take(conn, reported(0, phase=TransactionPhase.STARTED))
    take(conn, reported(2, evse=None, readings=(reading(2),)))
    assert [stored.reading.at for stored in reads.readings(conn, E1, at(0), at(9))] == [at(1), at(2)]


def test_two_different_readings_of_one_instant_are_both_kept(conn: Connection) -> None:
    """Field lesson 17: equal timestamps are allowed."""
    take(conn, metered(reading(1), reading(1, import_wh=1101.0), reading(1)))
    assert len(reads.readings(conn, E1, at(0), at(9))) == 2


def test_a_replayed_status_does_not_become_the_newest(conn: Connection) -> None:
    with conn.begin():
        writes.upsert_station(conn, station(), None)
    charging, available = status(ConnectorStatus.CHARGING, 1), status(ConnectorStatus.AVAILABLE, 2)
    take(conn, charging, StatusesReported(origin=origin(), statuses=(available,)), charging)
    assert [found.status for found in reads.live_state(conn).statuses] == [ConnectorStatus.AVAILABLE]

    assert count(conn, STATUS) == 2


def test_what_nobody_understood_is_quarantined_once(conn: Connection) -> None:
    """V2G-39: raw, with the reason; the retry adds nothing."""
    broken = Unintelligible(origin=origin(), action="MeterValues", raw='{"x":\\u0000}', why="no meterValue", evse=E1)
    take(conn, broken, replace(broken, origin=origin("m-2")))
    row = conn.execute(select(QUARANTINE)).one()
    assert (row.station, row.action, row.raw, row.why, row.evse) == (S, broken.action, broken.raw, broken.why, 1)


def test_needs_and_vendor_data_are_kept(conn: Connection) -> None:
    needs = NeedsReported(origin=origin(), evse=E1, iso20=True, bidirectional=True, departure_at=at(90))
    take(conn, needs, DataSent(origin=origin(), vendor="v", message="m", data="d"))
    assert set(conn.execute(select(NOTICE.c.kind)).scalars()) == {"charging_needs", "vendor_data"}


def test_a_heartbeat_is_not_stored() -> None:
    assert write_of(Heartbeat(origin=origin())) == ((), None)


FACTS = [
    *session_of_events(4),
    reported(1, transaction=TransactionId("tx-2"), evse=E2, readings=(reading(2),)),
    metered(reading(1), reading(2), evse=E2),
    metered(reading(1), message_id="m-6"),
    status(ConnectorStatus.CHARGING, 1),
    status(ConnectorStatus.AVAILABLE, 2),
    Unintelligible(origin=origin(), action="MeterValues", raw="{", why="no JSON"),
]
STORED = (TRANSACTION, TRANSACTION_EVENT, METER_VALUE, STATUS, QUARANTINE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(order=st.permutations(range(len(FACTS))), repeated=st.lists(st.sampled_from(FACTS), max_size=8), data=st.data())
def test_order_and_repetition_of_facts_change_nothing(
    conn: Connection, order: list[int], repeated: list, data: st.DataObject
) -> None:
    """V2G-37, V2G-54: any permutation with any retries, under new message ids, leaves the same rows."""
    expected = _rows_after(conn, FACTS)
    said = [FACTS[index] for index in order]
    for n, fact in enumerate(repeated):
        again = replace(fact, origin=replace(fact.origin, message_id=f"again-{n}", received_at=at(500 + n)))
        said.insert(data.draw(st.integers(0, len(said))), again)
    assert _rows_after(conn, said) == expected


def _rows_after(conn: Connection, facts: list) -> dict:
    for table in STORED:
        conn.execute(table.delete())
    conn.commit()
    take(conn, *facts)
    return content(conn, STORED)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(order=st.lists(st.sampled_from(range(6)), min_size=1, max_size=12))
def test_any_order_of_starts_and_stops_keeps_one_row_per_start(conn: Connection, order: list[int]) -> None:
    """Never a second transaction for one start, never an end without a stop, never two ends."""
    conn.execute(TRANSACTION.delete())
    conn.execute(PARKED_STOP.delete())
    conn.commit()
    choices = [started(), started("m-2", evse=E2, at=at(5)), stopped(1), stopped(2), stopped(-1), stopped("x")]
    said = [choices[index] for index in order]
    take(conn, *said)
    starts = {index for index in order if index < 2}
    rows = conn.execute(select(TRANSACTION)).all()

    assert len(rows) == len(starts)
    assert all((row.ended_at is None) == (row.meter_stop_wh is None) for row in rows)
    assert sum(row.ended_at is not None for row in rows) <= len({index for index in order if index >= 2})


def test_an_unprovisioned_evse_is_stored_all_the_same(conn: Connection) -> None:
    take(conn, metered(reading(1), evse=EvseRef(StationId("CS-9"), 4)))
    assert count(conn, METER_VALUE) == 1


def test_a_kind_of_fact_that_nobody_stores_is_an_error_and_no_confirmation() -> None:
    """C2: the type checker asks for a case for each kind; whatever gets past it is not lost in silence."""

    class Unheard:
        """A fact of a kind that was forgotten."""

    with pytest.raises(AssertionError):
        write_of(Unheard())  # type: ignore[arg-type]
