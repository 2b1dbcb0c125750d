"""2.x TransactionEvents: stored once by (station, transaction, seqNo, own time), merged into transactions (V2G-56).

Those of one commit are stored together: two lookups and three inserts for all of them, however many they are.
"""

from collections.abc import Sequence
from enum import IntEnum
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, text, update

from csms.domain.facts import TransactionPhase, TransactionReported
from csms.domain.ids import EvseRef, TransactionId
from csms.store.past import presume_others_ended
from csms.store.readings import UNKNOWN_EVSE, reading_rows
from csms.store.sql import rows_into, rows_onto, rows_with
from csms.store.tables import METER_VALUE, TRANSACTION, TRANSACTION_EVENT
from csms.store.tables.intake import UNPLACED
from csms.store.values import micros

Values = dict[str, Any]


class Taken(IntEnum):
    """What an event adds. ``OVER``: it is new, but came after the end of its transaction; nothing runs by it."""

    KNOWN = 0
    NEW = 1
    OVER = 2


def report(conn: Connection, facts: Sequence[TransactionReported]) -> list[Taken]:
    """Store 2.x events, each of another station; for each whether it is new, and whether its transaction is over.

    Events may come in any order: the transaction is the union of them.

    After a reset a station may give an id, or its numbers, anew: what has the number of an event that is stored but
    another phase or own time is another event. A start at another time than the one that is known begins the id's next
    generation; the one before is over then, whoever failed to say so (field lesson 13).
    """
    taken = [Taken.KNOWN] * len(facts)
    events, transactions, readings = [], [], []
    rows = [_event_row(fact) for fact in facts]
    numbered, newest = _same_numbers(conn, rows), _newest(conn, rows)
    for at, (fact, row) in enumerate(zip(facts, rows, strict=True)):
        same, known = numbered.get(_NUMBER(row), ()), newest.get(_ID(row))
        if stored := [one for one in same if (one.phase, one.device_at) == (row["phase"], row["device_at"])]:
            taken[at] = _again(fact, stored[0], known)
            continue
        generation = _generation_of(fact, row["at"], known)
        before = known if known is not None and known.generation == generation else None
        after = merged(before, _transaction_part(fact, row, generation))
        taken[at] = _taken(fact, after)
        numbering = 1 + max((one.numbering for one in same if one.generation == generation), default=-1)
        row["generation"], row["numbering"] = generation, numbering
        events.append(row)
        transactions.append(after)
        readings += reading_rows(fact.origin, _place(after), fact.transaction, fact.readings)
        if before is not None and fact.evse is not None and (before.evse is None or generation > 0):
            _place_readings(conn, fact.evse, fact.transaction)
    rows_into(conn, TRANSACTION_EVENT, events)
    _store(conn, transactions, [newest.get(_ID(transaction)) for transaction in transactions])
    rows_into(conn, METER_VALUE, readings)
    for event, transaction in zip(events, transactions, strict=True):
        if event["phase"] == TransactionPhase.STARTED:
            station, id_, generation = event["station"], event["transaction"], event["generation"]
            presume_others_ended(conn, station, _place(transaction), id_, generation, event["at"])
    return taken


def _again(fact: TransactionReported, stored: Any, newest: Any) -> Taken:
    """A repetition adds nothing, unless it is the same frame: then its commit was lost sight of, not made twice."""
    if (stored.message_id, stored.received_at) != (fact.origin.message_id, micros(fact.origin.received_at)):
        return Taken.KNOWN
    is_over = newest.generation != stored.generation or (newest.ended_at is not None and not newest.provisional)
    return Taken.OVER if is_over and fact.phase is not TransactionPhase.ENDED else Taken.NEW


def _store(conn: Connection, transactions: list[Values], before: list[Any]) -> None:
    """Most events say nothing new of their transaction but their number: then no index of it is written."""
    quiet: list[Values] = []
    telling: list[Values] = []
    for transaction, known in zip(transactions, before, strict=True):
        is_quiet = known is not None and _SAID(transaction) == tuple(known[2:12])
        (quiet if is_quiet else telling).append(transaction)
    rows_onto(conn, TRANSACTION, telling, _KEY, tuple(name for name in _OF_TRANSACTION if name not in _KEY))
    rows_onto(conn, TRANSACTION, quiet, _KEY, ("last_seq_no", "events"))


def _place(transaction: Values) -> int:
    return UNKNOWN_EVSE if transaction["evse"] is None else int(transaction["evse"])


def _taken(fact: TransactionReported, after: Values) -> Taken:
    is_over = after["ended_at"] is not None and not after["provisional"]
    return Taken.OVER if is_over and fact.phase is not TransactionPhase.ENDED else Taken.NEW


_NUMBER: Final = itemgetter("station", "transaction", "seq_no")
_ID: Final = itemgetter("station", "transaction")


def _same_numbers(conn: Connection, rows: list[Values]) -> dict[tuple[Any, ...], list[Any]]:
    """By station, transaction and number: the events that are stored."""
    keys = ("station", "transaction", "seq_no")
    found = rows_with(conn, TRANSACTION_EVENT, keys, [_NUMBER(row) for row in rows], _OF_EVENT, _NEWEST_EVENT)
    return {key: list(same) for key, same in groupby(sorted(found, key=itemgetter(0, 1, 2)), key=itemgetter(0, 1, 2))}


_OF_EVENT: Final = (
    *("station", "transaction", "seq_no", "generation", "numbering", "phase", "device_at"),
    *("message_id", "received_at"),
)
_NEWEST_EVENT: Final = ("generation", "numbering")


def _newest(conn: Connection, rows: list[Values]) -> dict[tuple[Any, ...], Any]:
    """By station and transaction: the newest generation that is stored."""
    found = rows_with(
        conn, TRANSACTION, ("station", "transaction"), [_ID(row) for row in rows], _OF_TRANSACTION, ("generation",)
    )
    return {(row.station, row.transaction): row for row in sorted(found, key=itemgetter(2))}


_KEY: Final = ("station", "transaction", "generation")
_OF_TRANSACTION: Final = (
    *_KEY,
    *("evse", "connector", "token", "started_at", "ended_at", "provisional", "stopped_reason", "remote_start_id"),
    *("first_seq_no", "last_seq_no", "events", "received_at"),
)
_SAID: Final = itemgetter(*_OF_TRANSACTION[2:12])
"""What an event may tell of its transaction besides its own number, and which generation it is."""


def _generation_of(fact: TransactionReported, at: int, newest: Any) -> int:
    """The generation of its id that an event belongs to: the newest, or the next when it cannot be that one's."""
    if newest is None:
        return 0
    begins = fact.phase is TransactionPhase.STARTED and newest.started_at is not None and newest.started_at < at
    is_clash = newest.ended_at is not None and newest.ended_at < at and not newest.provisional
    goes_on = is_clash and fact.seq_no <= newest.last_seq_no
    return int(newest.generation) + (begins or goes_on)


def _event_row(fact: TransactionReported) -> Values:
    """All but ``generation`` and ``numbering``, which follow from what is stored."""
    at, origin = micros(fact.at), fact.origin
    return {
        "station": origin.station,
        "transaction": fact.transaction,
        "seq_no": fact.seq_no,
        "phase": fact.phase.value,
        "trigger": fact.trigger,
        "at": at,
        "device_at": at if fact.device_at is None else micros(fact.device_at),
        "offset_s": origin.offset_s,
        "received_at": micros(origin.received_at),
        "message_id": origin.message_id,
        "evse": fact.evse.evse if fact.evse else None,
        "connector": fact.connector,
        "token": fact.token.key if fact.token else None,
        "charging_state": fact.charging_state,
        "offline": fact.offline,
        "stopped_reason": fact.stopped_reason,
        "operation_mode": fact.operation_mode,
    }


def merged(before: Row[Any] | None, event: Values) -> Values:
    """Union of the transaction and one event of it. Events come in any order: what is known stays, what is new is
    added; the start's id token counts."""
    if before is None:
        return event
    # As a tuple: a row's attributes cost as much as all else here.
    known = tuple(before)[3:]
    evse, connector, token, started_at, ended_at, provisional, reason, remote_start, first, last, count, since = known
    over_at = event["ended_at"]
    if over_at is not None and started_at is not None:
        over_at = max(over_at, started_at)  # a clock may be set back (lesson 16)
    tokens = (event["token"], token) if event["started_at"] is not None else (token, event["token"])
    ends = (over_at, ended_at) if provisional else (ended_at, over_at)
    return event | {
        "evse": _first(evse, event["evse"]),
        "connector": _first(connector, event["connector"]),
        "token": _first(*tokens),
        "started_at": _first(started_at, event["started_at"]),
        "ended_at": _first(*ends),
        "provisional": bool(provisional) and event["ended_at"] is None,
        "stopped_reason": event["stopped_reason"] or reason,
        "remote_start_id": _first(remote_start, event["remote_start_id"]),
        "first_seq_no": first if first is None else min(first, event["first_seq_no"]),
        "last_seq_no": last if last is None else max(last, event["last_seq_no"]),
        "events": count + 1,
        "received_at": since,
    }


def _first(one: Any, other: Any) -> Any:
    return other if one is None else one


def _transaction_part(fact: TransactionReported, row: Values, generation: int) -> Values:
    """What an event, of which ``row`` is made, says of its transaction."""
    return {
        "station": row["station"],
        "transaction": row["transaction"],
        "generation": generation,
        "evse": row["evse"],
        "connector": row["connector"],
        "token": row["token"],
        "started_at": row["at"] if fact.phase is TransactionPhase.STARTED else None,
        "ended_at": row["at"] if fact.phase is TransactionPhase.ENDED else None,
        "stopped_reason": fact.stopped_reason,
        "remote_start_id": fact.remote_start_id,
        "first_seq_no": fact.seq_no,
        "last_seq_no": fact.seq_no,
        "events": 1,
        "provisional": False,
        "received_at": row["received_at"],
    }


def _place_readings(conn: Connection, evse: EvseRef, transaction: TransactionId) -> None:
    place = {"at_station": evse.station, "of_transaction": transaction, "known_evse": evse.evse}
    conn.execute(_PLACE, place)


_M = METER_VALUE.c
_PLACE = (
    update(METER_VALUE)
    .where(_M.station == bindparam("at_station"), text(UNPLACED))
    .where(_M.transaction == bindparam("of_transaction"))
    .values(evse=bindparam("known_evse"))
)
