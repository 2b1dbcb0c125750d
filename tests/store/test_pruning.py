"""What goes by its age, and what stays however old it is. Design §3, M2."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from csms.domain.facts import (
    IdToken,
    Origin,
    Reading,
    StatusReported,
    TransactionStarted,
    TransactionStopped,
    Unintelligible,
)
from csms.domain.ids import EvseRef, TransactionId
from csms.domain.ledger import OPEN_FOR, EntryKind, SettledUntil
from csms.domain.quarantine import Replay
from csms.domain.record import Frame
from csms.domain.station import ConnectorStatus
from csms.store import Write, reads, writes
from csms.store.batch import commit_batch
from csms.store.facts import replay_row, write_of
from csms.store.journal import Journal
from csms.store.needed import Needed, needed
from csms.store.pruning import FRAMES, KINDS, Kind, prunable, prune
from csms.store.reads.frames import Wanted, frames
from csms.store.tables import (
    IDEMPOTENCY,
    LEDGER_ENTRY,
    METADATA,
    METER_VALUE,
    QUARANTINE,
    REPLAY,
    STATUS,
)
from csms.store.values import micros
from tests.store.made import E1, E2, S, count, entry, metered, plug_in, station, take
from tests.store.made import at as minute

NOW = minute(0)
READINGS, _ = KINDS["readings"]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def reading(at: datetime, import_wh: float | None, export_wh: float | None = None) -> Reading:
    return Reading(at=at, import_wh=import_wh, export_wh=export_wh, power_import_w=0.0)


def told(conn: Connection, at: datetime, *readings: Reading, evse: EvseRef = E1, message_id: str = "") -> None:
    """MeterValues with their frame, as they come in."""
    name = message_id or f"m-{evse.evse}-{at.isoformat()}"
    fact = metered(*(readings or (reading(at, 1.0),)), evse=evse)
    fact.origin = Origin(station=evse.station, message_id=name, received_at=at)
    store(conn, [(S, at, False, f'[2,"{name}","MeterValues",{{}}]'.encode(), None)], Write(*write_of(fact)))


def store(conn: Connection, kept: Iterable[Frame], *more: Write) -> None:
    journal = Journal()
    for each in kept:
        journal.keep(each)
    conn.rollback()
    commit_batch(conn, [Write(tuple(journal.take())), *more])


def do(conn: Connection, work: Any, **values: Any) -> Any:
    conn.rollback()
    with conn.begin():
        return work(conn, **values)


def pruned(conn: Connection, kind: Kind, cut: datetime, what: Needed, limit: int = 3) -> int:
    """All of it, slice after slice; the dry run says the same."""
    expected = prunable(conn, kind, cut, what)
    gone, last = 0, None
    while True:
        done = do(conn, prune, kind=kind, cut=cut, needed=what, after=last, limit=limit)
        gone, last = gone + done.gone, done.last
        if last is None:
            break
    assert gone == expected
    return gone


def everything(conn: Connection, days: float, what: Needed) -> None:
    for kinds in KINDS.values():
        for kind in kinds:
            pruned(conn, kind, min(ago(days), what.since), what)


def ids(conn: Connection, table: Any) -> set[int]:
    found = set(conn.execute(select(table.c.id)).scalars())
    conn.rollback()
    return found


@pytest.fixture
def conn(conn: Connection) -> Connection:
    do(conn, writes.upsert_station, station=station(1, 2), password_hash=None)
    return conn


def test_old_readings_go_but_the_last_registers_before_the_cut(conn: Connection) -> None:
    """They bound the energy after them; a reading without a register bounds nothing."""
    told(conn, ago(900), reading(ago(900), 1.0, 1.0))
    told(conn, ago(850), reading(ago(850), None, 2.0))
    told(conn, ago(840), reading(ago(840), 3.0))
    told(conn, ago(830), reading(ago(830), None))
    told(conn, ago(700), reading(ago(700), 4.0))
    what = Needed(ago(40))
    assert pruned(conn, READINGS, ago(800), what) == 2
    left = [row.at for row in conn.execute(select(METER_VALUE.c.at).order_by(METER_VALUE.c.at))]
    assert left == [micros(ago(days)) for days in (850, 840, 700)]


def test_the_newest_row_stays_so_that_its_number_is_never_given_again(conn: Connection) -> None:
    """An entry names its readings by number."""
    for days in (900, 890, 880):
        told(conn, ago(days), reading(ago(days), None))
    newest = max(ids(conn, METER_VALUE))
    assert pruned(conn, READINGS, ago(800), Needed(ago(40))) == 2
    told(conn, ago(1), reading(ago(1), None))
    assert min(ids(conn, METER_VALUE) - {newest}) > newest


@pytest.mark.parametrize("seed", [0, 1, 2, 13])
def test_what_settlement_reads_is_the_same_after_everything_was_pruned(conn: Connection, seed: int) -> None:
    """M2, M3: random readings, starts and stops over three years, plug-ins of days and of years; every window that may
    be settled anew, with the frames that its readings came in."""
    rng = random.Random(seed)
    spans = _life(conn, rng)
    settled = rng.uniform(0, 60)
    do(conn, writes.save_settled, settled=SettledUntil(until=ago(settled), due=frozenset({ago(settled + 33)})))
    what = needed(conn, NOW, ago(400))
    conn.rollback()
    windows = [(evse, max(start, what.since), end) for evse, start, end in spans if end > what.since]
    windows += [(evse, start, end) for evse, start, end in spans if end > what.since]
    if not windows:
        pytest.fail("nothing that counts")
    before = [_read(conn, *window) for window in windows]
    rows = count(conn, METER_VALUE)
    everything(conn, 400, what)
    assert count(conn, METER_VALUE) < rows, "nothing went"
    assert [_read(conn, *window) for window in windows] == before


def _life(conn: Connection, rng: random.Random) -> list[tuple[EvseRef, datetime, datetime]]:
    spans: list[tuple[EvseRef, datetime, datetime]] = []
    said: list[tuple[datetime, EvseRef, str, Reading]] = []
    for evse in (E1, E2):
        day, number = 1100.0, 0
        while day > 0:
            length = min(rng.choice([0.2, 3, 40, 500]) * rng.random(), day - 0.01)
            spans.append(_stay(conn, rng, evse, day, length, number, said))
            day, number = day - length - rng.choice([0.5, 20, 300]) * rng.random(), number + 1
    for when, evse, message_id, value in sorted(said, key=lambda each: each[0]):
        told(conn, when, value, evse=evse, message_id=message_id)
    return spans


def _stay(  # noqa: PLR0917
    conn: Connection, rng: random.Random, evse: EvseRef, day: float, length: float, number: int, said: list[Any]
) -> tuple[EvseRef, datetime, datetime]:
    """A plug-in with a transaction in it, and readings around; the last may still be there."""
    start, end = ago(day), ago(day - length)
    is_over = day - length > 1
    id_ = f"p-{evse.evse}-{number}"
    do(
        conn,
        writes.save_plug_in,
        plug_in=plug_in(id_, evse=evse, plugged_at=start, unplugged_at=end if is_over else None),
    )
    for n in range(rng.randrange(1, 6)):
        when = start + (end - start) * rng.random()
        said.append((when, evse, f"{id_}-{n}", reading(when, 100.0 * n, rng.choice([None, 5.0]))))
    return evse, start, end if is_over else NOW


def _read(conn: Connection, evse: EvseRef, start: datetime, end: datetime) -> list[tuple[Any, int]]:
    found = reads.metered(conn, evse, start, end)
    wanted = [Wanted(S, each.message_id, micros(each.received_at)) for each in found]
    kept = frames(conn, wanted)
    conn.rollback()
    return [(each, len(kept[one])) for each, one in zip(found, wanted, strict=True)]


def test_frames_of_the_registers_around_a_transaction_stay(conn: Connection) -> None:
    """1.6: start and stop are registers too; the energy after a year of rest begins at the last stop."""
    stop_at, start_at = ago(500), ago(501)
    start = TransactionStarted(
        origin=Origin(station=S, message_id="start", received_at=start_at), **START | {"at": start_at}
    )
    (number,) = take(conn, start)
    stop = TransactionStopped(
        origin=Origin(station=S, message_id="stop", received_at=stop_at),
        transaction=TransactionId(str(number)),
        at=stop_at,
        meter_stop_wh=500,
    )
    take(conn, stop)
    for name, when in (("start", start_at), ("stop", stop_at), ("other", ago(502)), ("late", ago(10))):
        store(conn, [(S, when, False, f'[2,"{name}","X",{{}}]'.encode(), None)])
    do(conn, writes.save_settled, settled=SettledUntil(until=ago(1)))
    what = needed(conn, NOW, ago(400))
    conn.rollback()
    assert pruned(conn, FRAMES, ago(400), what) == 1
    wanted = [Wanted(S, "start", micros(start_at)), Wanted(S, "stop", micros(stop_at))]
    assert all(frames(conn, wanted).values())


START: dict[str, Any] = {"evse": E1, "meter_start_wh": 100, "token": IdToken("abc")}


def test_an_interval_that_is_still_due_and_an_entry_that_does_not_balance_hold_their_time(conn: Connection) -> None:
    """Whatever was settled since."""
    do(conn, writes.save_settled, settled=SettledUntil(until=NOW))
    assert needed(conn, NOW, ago(400)).since == NOW - OPEN_FOR - timedelta(days=1)
    do(conn, writes.save_settled, settled=SettledUntil(until=NOW, due=frozenset({ago(700)})))
    assert needed(conn, NOW, ago(400)).since == ago(701)
    conn.rollback()
    do(conn, writes.save_settled, settled=SettledUntil(until=NOW))
    posted = entry(EntryKind.SALE, 61, 2000, period_start=ago(900), period_end=ago(899))
    do(conn, writes.post_entries, entries=[posted])
    with conn.begin():
        line = {"entry": 1, "line": 7, "account": "odd", "amount_minor": 1}
        number = conn.execute(select(LEDGER_ENTRY.c.id)).scalar_one()
        conn.execute(METADATA.tables["ledger_posting"].insert(), line | {"entry": number})
    assert needed(conn, NOW, ago(400)).since == ago(901)


def test_before_the_first_settlement_nothing_of_a_plug_in_goes(conn: Connection) -> None:
    do(conn, writes.save_plug_in, plug_in=plug_in(plugged_at=ago(2000), unplugged_at=ago(1999)))
    assert needed(conn, NOW, ago(400)).since == ago(2001)


def test_a_connector_keeps_its_newest_status_and_an_unread_message_its_place(conn: Connection) -> None:
    for days, name in ((900, ConnectorStatus.OCCUPIED), (800, ConnectorStatus.AVAILABLE)):
        at = ago(days)
        origin = Origin(station=S, message_id=f"s-{days}", received_at=at)
        take(conn, StatusReported(origin=origin, evse=E1, connector=1, status=name, at=at))
    take(conn, StatusReported(origin=origin, evse=E2, connector=1, status=name, at=ago(1)))
    for n in (1, 2, 3):
        origin = Origin(station=S, message_id=f"q-{n}", received_at=ago(900))
        take(conn, Unintelligible(origin=origin, action="MeterValues", raw=f"raw {n}", why="?"))
    first, *_ = sorted(ids(conn, QUARANTINE))
    replay = Replay(at=ago(899), by="me", taken_as="Metered")
    store(conn, [], Write((replay_row(first, replay),)))
    everything(conn, 400, Needed(ago(40)))
    assert count(conn, STATUS) == 2
    assert (count(conn, QUARANTINE), count(conn, REPLAY), first in ids(conn, QUARANTINE)) == (2, 0, False)


def test_the_ledger_and_people_are_never_among_what_goes() -> None:
    """By name: a new kind has to be thought about."""
    tables = {kind.table.name for kinds in KINDS.values() for kind in kinds}
    tables |= {column.table.name for kinds in KINDS.values() for kind in kinds for column in kind.children}
    assert tables == {
        *("frame_page", "sent_call", "meter_value", "transaction_event", "setpoint", "status", "notice", "boot"),
        *("call_log", "decision", "event_share", "violation", "quarantine", "replay", "idempotency"),
    }


def test_answers_to_posts_go_by_their_own_time(conn: Connection) -> None:
    for days in (31, 2):
        do(conn, writes.save_idempotency, key=f"k-{days}", fingerprint="f", status=200, body="{}", at=ago(days))
    (kind,) = KINDS["requests"]
    assert pruned(conn, kind, ago(30), Needed(ago(5000)), 1) == 1
    assert set(conn.execute(select(IDEMPOTENCY.c.key)).scalars()) == {"k-2"}


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_slices_of_any_size_leave_the_same(conn: Connection, limit: int) -> None:
    """One row is young between old ones: a message that was taken in again late."""
    for days in (900, 890, 3, 880, 870, 2):
        told(conn, ago(days), reading(ago(days), float(days)))
    pruned(conn, READINGS, ago(400), Needed(ago(40)), max(limit, 2))
    left = {row for (row,) in conn.execute(select(METER_VALUE.c.at))}
    assert left == {micros(ago(days)) for days in (870, 3, 2)}
