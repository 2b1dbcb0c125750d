"""The ledger: append-only, balanced, each (cause, revision) once."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from csms.domain.errors import Conflict
from csms.domain.facts import Metered, Origin, Reading
from csms.domain.ids import DrEventId, PlugInId, UserId, VehicleId
from csms.domain.ledger import CHARGING_STOPPED, EntryKind, LedgerEntry, Posting, SettledUntil, user_account
from csms.store import reads, writes
from csms.store.facts import write_of
from csms.store.tables import LEDGER_ENTRY, LEDGER_POSTING, METER_VALUE
from tests.store.made import CAR, PLUG_IN, USER, at, entry

SALE = entry(EntryKind.SALE, 61, 2000, event=DrEventId("e-1"))
PURCHASE = entry(EntryKind.PURCHASE, 30, 1000)
CORRECTION = replace(
    entry(EntryKind.SALE, -11, -400), kind=EntryKind.CORRECTION, cause=SALE.cause, revision=1, event=SALE.event
)
LATER = replace(SALE, cause="later", period_start=at(30), period_end=at(60), vehicle=VehicleId("v-2"))


def post(conn: Connection, *entries: LedgerEntry) -> int:
    conn.rollback()
    with conn.begin():
        return writes.post_entries(conn, entries)


def test_entries_come_back_as_they_were_posted(conn: Connection) -> None:
    """P13: kWh, unit price, amount; and the evidence it follows from."""
    assert post(conn, SALE, PURCHASE) == 2
    assert [posted for _, posted in reads.ledger(conn)] == [SALE, PURCHASE]


def test_the_same_cause_and_revision_is_posted_once(conn: Connection) -> None:
    """Design §3: idempotent on (cause, revision)."""
    assert post(conn, SALE, SALE) == 1
    assert post(conn, SALE, PURCHASE) == 1


def test_an_unbalanced_entry_is_refused_and_nothing_of_its_batch_is_posted(conn: Connection) -> None:
    odd = replace(PURCHASE, postings=(Posting(user_account(USER), -30), Posting("aggregator:energy-sold", 29)))
    with pytest.raises(Conflict, match="do not sum to zero"):
        post(conn, SALE, odd)
    assert reads.ledger(conn) == []


def test_a_correction_of_what_was_never_booked_is_refused(conn: Connection) -> None:
    with pytest.raises(Conflict, match="never booked"):
        post(conn, CORRECTION)


@pytest.mark.parametrize("table", [LEDGER_ENTRY, LEDGER_POSTING], ids=["entry", "posting"])
def test_the_database_refuses_to_change_or_delete_what_was_posted(conn: Connection, table) -> None:
    """Append-only by trigger, whoever asks."""
    post(conn, SALE)
    column = table.c["currency" if table is LEDGER_ENTRY else "account"]
    for statement in (update(table).values({column: "x"}), delete(table)):
        with pytest.raises(IntegrityError, match="append-only"), conn.begin():
            conn.execute(statement)


def test_a_balance_has_sales_purchases_and_corrections(conn: Connection) -> None:
    """P13: the correction counts with what it corrects."""
    post(conn, SALE, PURCHASE, CORRECTION)
    balance = reads.balance(conn, USER)
    assert (balance.sold_wh, balance.earned_minor) == (1600, 50)
    assert (balance.bought_wh, balance.spent_minor) == (1000, 30)
    assert (balance.amount_minor, balance.currency) == (20, "JPY")


@pytest.mark.parametrize(
    ("vehicle", "start", "end", "sold_wh"),
    [
        (None, None, None, 4000),
        (CAR, None, None, 2000),
        (None, at(30), None, 2000),
        (None, None, at(30), 2000),
        (None, at(31), None, 0),
        (None, at(0), at(0), 0),
    ],
)
def test_a_balance_is_of_any_period_and_vehicle(conn: Connection, vehicle, start, end, sold_wh) -> None:
    post(conn, SALE, LATER)
    assert reads.balance(conn, USER, vehicle, start, end).sold_wh == sold_wh


def test_a_balance_never_adds_two_currencies(conn: Connection) -> None:
    post(conn, SALE, replace(LATER, currency="EUR"))
    assert reads.balance(conn, USER).sold_wh == 2000
    assert reads.balance(conn, USER, currency="JPY").currency == "JPY"
    assert reads.balance(conn, UserId("nobody")).amount_minor == 0


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, 3),
        ({"user": USER}, 3),
        ({"user": UserId("x")}, 0),
        ({"event": DrEventId("e-1")}, 2),
        ({"plug_in": PLUG_IN}, 3),
        ({"plug_in": PlugInId("x")}, 0),
        ({"start": at(30)}, 1),
        ({"end": at(30)}, 2),
        ({"limit": 2}, 2),
    ],
    ids=str,
)
def test_the_ledger_can_be_searched(conn: Connection, filters: dict, found: int) -> None:
    post(conn, SALE, PURCHASE, LATER)
    assert len(reads.ledger(conn, **filters)) == found


def test_the_ledger_comes_in_pages(conn: Connection) -> None:
    post(conn, SALE, PURCHASE, LATER)
    first = reads.ledger(conn, limit=2)
    rest = reads.ledger(conn, after=first[-1][0])
    assert [posted for _, posted in (*first, *rest)] == [SALE, PURCHASE, LATER]


def test_all_that_is_booked_for_an_interval_is_found_by_its_causes(conn: Connection) -> None:
    """Design §3: settlement sees also what it would not book today."""
    post(conn, SALE, CORRECTION, PURCHASE, LATER)
    assert reads.entries_within(conn, at(0), at(30)) == {SALE.cause: [SALE, CORRECTION], PURCHASE.cause: [PURCHASE]}
    assert reads.entries_within(conn, at(30), at(60)) == {"later": [LATER]}
    assert reads.entries_within(conn, at(60), at(90)) == {}


def test_what_was_paid_is_counted_with_corrections(conn: Connection) -> None:
    post(conn, SALE, PURCHASE, CORRECTION)
    counted = reads.counts(conn)
    assert (counted.entries, counted.balanced, counted.paid_minor, counted.currency) == (3, True, 50, "JPY")


def rewarded(minor: int) -> tuple[Posting, Posting]:
    return Posting(user_account(USER), minor), Posting(CHARGING_STOPPED, -minor)


def test_a_balance_has_the_rewards_with_their_corrections(conn: Connection) -> None:
    """P19: what stopped charging earned; a correction's cause names what it corrects."""
    reward = replace(entry(EntryKind.REWARD, 40, 2000), cause="p-1:now:reward", postings=rewarded(40))
    less = replace(reward, kind=EntryKind.CORRECTION, revision=1, energy_wh=-500, postings=rewarded(-10))
    post(conn, SALE, PURCHASE, reward, less)
    balance = reads.balance(conn, USER)
    assert (balance.rewarded_wh, balance.rewarded_minor, balance.amount_minor) == (1500, 30, 61 - 30 + 30)
    assert less.flow is EntryKind.REWARD
    assert replace(less, cause="p-1:now:sale-commanded").flow is EntryKind.SALE


def test_how_far_everything_is_settled_is_kept(conn: Connection) -> None:
    """A9: in place of what was said before."""
    assert reads.settled_until(conn) is None
    first = SettledUntil(until=at(30), due=frozenset({at(0), at(15)}), reading_id=7)
    for settled in (first, SettledUntil(until=at(60), reading_id=9)):
        writes.save_settled(conn, settled)
        assert reads.settled_until(conn) == settled


def test_meter_values_that_were_not_counted_in_are_found_by_their_times(conn: Connection) -> None:
    """A9: a queue that arrived just before the end."""
    assert (reads.newest_reading(conn), reads.readings_after(conn, 0)) == (0, None)
    readings = tuple(Reading(at=at(n), import_wh=float(n)) for n in (10, 5, 20))
    origin = Origin(station=SALE.evse.station, message_id="m", received_at=at(30))
    rows, _ = write_of(Metered(origin=origin, evse=SALE.evse, transaction=None, readings=readings))
    conn.execute(METER_VALUE.insert(), [row for _, row in rows])
    newest = reads.newest_reading(conn)
    assert reads.readings_after(conn, newest - 3) == (at(5), at(20))
    assert reads.readings_after(conn, newest) is None


amounts = st.integers(-(10**9), 10**9)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(flows=st.lists(st.tuples(st.sampled_from(["sale", "purchase"]), amounts, st.integers(0, 9), st.booleans())))
def test_whatever_is_posted_the_books_balance(conn: Connection, flows: list) -> None:
    """Never an entry that does not sum to zero, never one cause and revision twice."""
    entries = [
        replace(
            entry(EntryKind(kind), minor, abs(minor)),
            cause=f"c{number}",
            price_per_kwh=Decimal(minor) / 7,
            postings=(Posting("user:x", minor), Posting("y", -minor + odd)),
        )
        for kind, minor, number, odd in flows
    ]
    conn.rollback()
    with conn.begin() as attempt:
        for posted in entries:
            try:
                writes.post_entries(conn, [posted])
            except Conflict:
                assert not posted.is_balanced
        sums = select(func.sum(LEDGER_POSTING.c.amount_minor)).group_by(LEDGER_POSTING.c.entry)
        assert set(conn.execute(sums).scalars()) <= {0}
        causes = conn.execute(select(LEDGER_ENTRY.c.cause)).scalars().all()
        assert sorted(causes) == sorted({posted.cause for posted in entries if posted.is_balanced})
        assert all(found in entries for _, found in reads.ledger(conn))
        attempt.rollback()
