"""The energy of a 2.x transaction is in its events; a record shows it as a 1.6 one does."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from csms.domain.facts import (
    IdToken,
    Origin,
    Reading,
    TransactionPhase,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.store import reads
from csms.store.facts import write_of

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVSE = EvseRef(StationId("CS1"), 1)


def store(conn: Connection, seq_no: int, phase: TransactionPhase, import_wh: float | None) -> None:
    at = AT + timedelta(minutes=seq_no)
    fact = TransactionReported(
        origin=Origin(station=EVSE.station, message_id=f"m{seq_no}", received_at=at),
        transaction=TransactionId("t1"),
        phase=phase,
        seq_no=seq_no,
        trigger="Trigger",
        at=at,
        evse=EVSE,
        readings=() if import_wh is None else (Reading(at=at, import_wh=import_wh),),
    )
    _, work = write_of(fact)
    assert work is not None
    work(conn)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_its_first_and_last_register_are_meter_start_and_stop(conn: Connection, order: tuple[int, ...]) -> None:
    """Scenario 6 (P0): one closed record with the right energy, in whatever order the events came."""
    phases = (TransactionPhase.STARTED, TransactionPhase.UPDATED, TransactionPhase.ENDED)
    registers = (1000.4, 4000.0, 8000.6)
    for seq_no in order:
        store(conn, seq_no, phases[seq_no], registers[seq_no])
    (record,) = reads.transactions(conn)
    assert (record.meter_start_wh, record.meter_stop_wh) == (1000, 8001)
    assert reads.transaction(conn, EVSE.station, TransactionId("t1")) == record


def test_while_it_runs_there_is_no_meter_stop_and_without_registers_none_at_all(conn: Connection) -> None:
    store(conn, 0, TransactionPhase.STARTED, None)
    (record,) = reads.transactions(conn)
    assert (record.meter_start_wh, record.meter_stop_wh) == (None, None)
    store(conn, 1, TransactionPhase.UPDATED, 4000.0)
    (record,) = reads.transactions(conn)
    assert (record.meter_start_wh, record.meter_stop_wh) == (4000, None)


def test_what_a_transaction_says_at_its_start_and_stop_counts_like_readings(conn: Connection) -> None:
    """F3: 1.6 tells meterStart and meterStop; a session shorter than the sample interval tells nothing else."""
    stop = AT + timedelta(seconds=95)
    began = TransactionStarted(
        origin=Origin(station=EVSE.station, message_id="a", received_at=AT),
        evse=EVSE,
        token=IdToken("CARD"),
        at=AT,
        meter_start_wh=1000,
    )
    ended = TransactionStopped(
        origin=Origin(station=EVSE.station, message_id="b", received_at=stop),
        transaction=TransactionId("1"),
        at=stop,
        meter_stop_wh=1117,
    )
    for fact in (began, ended):
        _, work = write_of(fact)
        assert work is not None
        work(conn)
    told = reads.readings(conn, EVSE, AT + timedelta(seconds=30), stop + timedelta(hours=1))
    assert [(reading.reading.at, reading.reading.import_wh) for reading in told] == [(AT, 1000), (stop, 1117)]
    assert [reading.reading.context for reading in told] == ["Transaction.Begin", "Transaction.End"]
    assert len({reading.id for reading in told}) == 2
    assert all(reading.is_of_transaction for reading in told)
