"""Small facts and values for the store's tests."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, func, select

from csms.domain.facts import (
    IdToken,
    Metered,
    Origin,
    Reading,
    StationFact,
    TransactionPhase,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.ids import EvseRef, PlugInId, SiteId, StationId, TransactionId, UserId, VehicleId
from csms.domain.ledger import ENERGY_BOUGHT, ENERGY_SOLD, EntryKind, LedgerEntry, Posting, user_account
from csms.domain.people import User, Vehicle
from csms.domain.permission import PlugIn
from csms.domain.station import Evse, Station
from csms.store.batch import Outcome, Write, commit_batch
from csms.store.facts import write_of

S = StationId("CS-1")
E1 = EvseRef(S, 1)
E2 = EvseRef(S, 2)
USER = UserId("u-1")
CAR = VehicleId("v-1")
PLUG_IN = PlugInId("p-1")


def at(minutes: float) -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(minutes=minutes)


def origin(message_id: str = "m-1", received_at: datetime | None = None) -> Origin:
    return Origin(station=S, message_id=message_id, received_at=received_at or at(0))


def started(message_id: str = "m-1", **changed: Any) -> TransactionStarted:
    values: dict[str, Any] = {"evse": E1, "token": IdToken("abc"), "at": at(0), "meter_start_wh": 1000}
    return TransactionStarted(origin=origin(message_id), **values | changed)


def stopped(transaction: int | str, message_id: str = "m-9", **changed: Any) -> TransactionStopped:
    values: dict[str, Any] = {"at": at(60), "meter_stop_wh": 8000, "reason": "Local"}
    return TransactionStopped(
        origin=origin(message_id, at(60)), transaction=TransactionId(str(transaction)), **values | changed
    )


def reported(seq_no: int, message_id: str | None = None, **changed: Any) -> TransactionReported:
    values: dict[str, Any] = {
        "phase": TransactionPhase.UPDATED,
        "trigger": "MeterValuePeriodic",
        "at": at(seq_no),
        "transaction": TransactionId("tx-1"),
        "evse": E1,
    }
    return TransactionReported(
        origin=origin(message_id or f"m-{seq_no}", at(seq_no)), seq_no=seq_no, **values | changed
    )


def session_of_events(count: int) -> list[TransactionReported]:
    """A whole 2.x transaction: Started, updates with readings, Ended."""
    last = count - 1
    return [
        reported(0, phase=TransactionPhase.STARTED, token=IdToken("abc"), readings=(reading(0),)),
        *(reported(n, charging_state="Charging", readings=(reading(n),)) for n in range(1, last)),
        reported(last, phase=TransactionPhase.ENDED, stopped_reason="EVDisconnected", readings=(reading(last),)),
    ]


def reading(minute: float, **changed: Any) -> Reading:
    values: dict[str, Any] = {"import_wh": 1000 + 100 * minute, "power_import_w": 6000.0}
    return Reading(at=at(minute), **values | changed)


def metered(*readings: Reading, message_id: str = "m-5", evse: EvseRef = E1) -> Metered:
    return Metered(origin=origin(message_id), evse=evse, transaction=None, readings=readings)


def station(*numbers: int, id_: StationId = S) -> Station:
    site = SiteId("default")
    return Station(id=id_, site=site, evses=tuple(Evse(ref=EvseRef(id_, n), site=site) for n in numbers or (1, 2)))


def user(id_: UserId = USER) -> User:
    return User(id=id_, name="Aoi", language="ja", created_at=at(0))


def vehicle(id_: VehicleId = CAR, owner: UserId = USER) -> Vehicle:
    return Vehicle(id=id_, user=owner, name="Leaf")


def plug_in(id_: PlugInId = PLUG_IN, **changed: Any) -> PlugIn:
    return PlugIn(id=id_, **{"evse": E1, "plugged_at": at(0)} | changed)


def entry(kind: EntryKind, minor: int, energy_wh: int, **changed: Any) -> LedgerEntry:
    """A flow of energy; ``minor`` is what the user is credited (a sale) or pays (a purchase)."""
    counter = ENERGY_BOUGHT if kind is EntryKind.SALE else ENERGY_SOLD
    credit = minor if kind is EntryKind.SALE else -minor
    values: dict[str, Any] = {
        "cause": f"p-1:{at(0).isoformat()}:{kind}",
        "revision": 0,
        "posted_at": at(40),
        "period_start": at(0),
        "period_end": at(30),
        "user": USER,
        "vehicle": CAR,
        "evse": E1,
        "plug_in": PLUG_IN,
        "event": None,
        "price_per_kwh": Decimal("30.5"),
        "currency": "JPY",
        "postings": (Posting(user_account(USER), credit), Posting(counter, -credit)),
        "evidence": {"readings": [1, 2]},
    }
    return LedgerEntry(kind=kind, energy_wh=energy_wh, **values | changed)


def take(conn: Connection, *facts: StationFact, transaction: int | None = None) -> list[Any]:
    """Store facts as the writer does; the results of their writes."""
    conn.rollback()  # end what a read before has begun
    writes = [Write(*write_of(fact, transaction=transaction)) for fact in facts]
    return [_result(outcome) for outcome in commit_batch(conn, writes)]


def _result(outcome: Outcome) -> Any:
    assert outcome.error is None, outcome.error
    return outcome.result


def count(conn: Connection, table: Table) -> int:
    found = int(conn.execute(select(func.count()).select_from(table)).scalar_one())
    conn.rollback()
    return found


def content(conn: Connection, tables: Iterable[Table]) -> dict[str, set[tuple[Any, ...]]]:
    """Rows without row ids, message ids and times of receipt: what must not depend on retries and order."""
    found = {table.name: {tuple(row) for row in conn.execute(select(*_lasting(table)))} for table in tables}
    conn.rollback()
    return found


def _lasting(table: Table) -> Sequence[Any]:
    return [column for column in table.columns if column.name not in {"id", "message_id", "received_at", "digest"}]
