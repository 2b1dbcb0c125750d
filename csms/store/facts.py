"""How a fact becomes rows and work.

Rows are plain dicts with every column of their table; the writer inserts them in bulk and skips those whose natural key
exists. Work is a function of the connection; it may run more than once before its commit and must change nothing else.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, assert_never

from sqlalchemy import Connection

from csms.domain.facts import (
    AuthorizeAsked,
    Booted,
    DataSent,
    Heartbeat,
    Metered,
    NeedsReported,
    Noticed,
    NoticeKind,
    Origin,
    Reading,
    StationFact,
    StatusesReported,
    StatusReported,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
    Unintelligible,
)
from csms.domain.ids import EvseRef, TransactionId
from csms.domain.quarantine import Replay
from csms.store import events, transactions
from csms.store.readings import reading_rows
from csms.store.together import Together
from csms.store.values import NEEDS, micros, plain_json, text_digest, to_json

Rows = tuple[tuple[str, dict[str, Any]], ...]
Work = Callable[[Connection], Any]


def write_of(  # noqa: PLR0911  one case per kind of fact
    fact: StationFact, *, transaction: int | None = None
) -> tuple[Rows, Work | None]:
    """Rows (table name, row) and work that store a fact.

    Result of the work: TransactionStarted -> the transaction id (the one given, or that of the same start before;
    reserved on the spot when none is given). TransactionReported -> whether it is new. TransactionStopped -> the
    TransactionId it closed, or None when it is parked. Heartbeat and Booted store nothing here.
    """
    match fact:
        case Metered():
            return _metered(fact.origin, fact.evse, fact.transaction, fact.readings), None
        case StatusReported():
            return (("status", _status_row(fact)),), None
        case StatusesReported():
            statuses = tuple(("status", _status_row(status)) for status in fact.statuses)
            return statuses + _other_events(fact), None
        case TransactionReported():
            return (), Together(events.report, fact)
        case TransactionStarted():
            return (), partial(transactions.start, fact=fact, transaction=transaction)
        case TransactionStopped():
            return (), partial(transactions.stop, fact=fact)
        case Unintelligible():
            return (("quarantine", quarantine_row(fact)),), None
        case AuthorizeAsked() | NeedsReported() | DataSent() | Noticed():
            return (("notice", _notice_row(fact)),), None
        case Heartbeat() | Booted():
            return (), None
        case _:  # a kind of fact that nobody stores would be confirmed and lost
            assert_never(fact)


def _metered(origin: Origin, evse: EvseRef, transaction: TransactionId | None, readings: Iterable[Reading]) -> Rows:
    return tuple(("meter_value", row) for row in reading_rows(origin, evse.evse, transaction, readings))


def _status_row(fact: StatusReported) -> dict[str, Any]:
    return {
        "station": fact.evse.station,
        "evse": fact.evse.evse,
        "connector": fact.connector,
        "status": fact.status.value,
        "at": micros(fact.at),
        "device_at": micros(fact.device_at or fact.at),
        "offset_s": fact.origin.offset_s,
        "received_at": micros(fact.origin.received_at),
        "message_id": fact.origin.message_id,
        "error_code": fact.error_code,
        "info": fact.info,
        "stated_at": micros(fact.stated_at),
    }


def _other_events(fact: StatusesReported) -> Rows:
    if not fact.others:
        return ()
    return (("notice", _notice(fact.origin, NoticeKind.EVENTS, plain_json({"events": list(fact.others)}))),)


def _notice_row(fact: AuthorizeAsked | NeedsReported | DataSent | Noticed) -> dict[str, Any]:
    match fact:
        case AuthorizeAsked():
            content = plain_json({"token": fact.token.key, "type": fact.token.type, "evccid": fact.evccid})
            return _notice(fact.origin, NoticeKind.AUTHORIZATION, content)
        case NeedsReported():
            return _notice(fact.origin, NoticeKind.CHARGING_NEEDS, to_json(NEEDS, fact))
        case DataSent():
            content = plain_json({"vendor": fact.vendor, "message": fact.message, "data": fact.data})
            return _notice(fact.origin, NoticeKind.VENDOR_DATA, content)
        case Noticed():
            return _notice(fact.origin, fact.kind, plain_json(dict(fact.content)))


def _notice(origin: Origin, kind: NoticeKind, content: str) -> dict[str, Any]:
    return {
        "station": origin.station,
        "kind": kind.value,
        "message_id": origin.message_id,
        "received_at": micros(origin.received_at),
        "offset_s": origin.offset_s,
        "content": content,
    }


def replay_row(quarantine: int, replay: Replay) -> tuple[str, dict[str, Any]]:
    """The row that tells who had a message taken in again; stored together with what became of it."""
    row = {"quarantine": quarantine, "at": micros(replay.at), "by": replay.by, "taken_as": replay.taken_as}
    return "replay", row | {"raw": replay.raw}


def quarantine_row(fact: Unintelligible) -> dict[str, Any]:
    """The row that keeps a message nobody understood."""
    return {
        "station": fact.origin.station,
        "message_id": fact.origin.message_id,
        "received_at": micros(fact.origin.received_at),
        "action": fact.action,
        "raw": fact.raw,
        "why": fact.why,
        "evse": fact.evse.evse if fact.evse else None,
        "fields": plain_json(dict(fact.fields)),
        "digest": text_digest(f"{fact.action}\n{fact.raw}"),
    }
