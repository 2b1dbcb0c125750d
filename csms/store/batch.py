"""One group commit: rows in bulk, works one after another, everything in the order it came."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from csms.store.database import as_domain_error, is_transient
from csms.store.sql import rows_into
from csms.store.tables import METADATA, QUARANTINE
from csms.store.values import plain_json, text_digest


def _nothing(_result: Any) -> None:
    """Nobody waits."""


@dataclass(slots=True)
class Write:
    """One item for the writer; not frozen, as making a frozen one takes three times as long.

    ``rows``: (table name, row with every column but the row id); a row whose natural key exists is skipped. ``work``
    runs after them in a savepoint of its own; it may run again before its commit and must change nothing but the
    database. ``done`` gets its result, on the event loop, after the commit. When rows or work cannot be stored ``done``
    is never called: the item goes to the quarantine (if ``keep``), then ``failed`` gets the reason, on the loop too.
    """

    rows: tuple[tuple[str, dict[str, Any]], ...] = ()
    work: Callable[[Connection], Any] | None = None
    done: Callable[[Any], None] = _nothing
    failed: Callable[[Exception], None] = _nothing
    keep: bool = True


class Outcome(NamedTuple):
    """What became of one write; ``error`` None = stored."""

    result: Any = None
    error: Exception | None = None


_STORED = Outcome()


def commit_batch(conn: Connection, writes: Sequence[Write]) -> list[Outcome]:
    """Store all in one transaction. A work's own failure is its outcome; any other error undoes all and is raised.

    Rows wait to be inserted together until a work comes: no row and no work overtakes an earlier item's.
    """
    outcomes = []
    waiting: dict[str, list[dict[str, Any]]] = {}
    with conn.begin():
        for write in writes:
            for table, row in write.rows:
                waiting.setdefault(table, []).append(row)
            if write.work is None:
                outcomes.append(_STORED)
                continue
            _insert(conn, waiting)
            outcomes.append(_run(conn, write, write.work))
        _insert(conn, waiting)
    return outcomes


def _insert(conn: Connection, waiting: dict[str, list[dict[str, Any]]]) -> None:
    for table, rows in waiting.items():
        rows_into(conn, METADATA.tables[table], rows)
    waiting.clear()


def _run(conn: Connection, write: Write, work: Callable[[Connection], Any]) -> Outcome:
    try:
        with conn.begin_nested():
            return Outcome(work(conn))
    except Exception as error:
        if is_transient(error):
            raise
        if write.keep:
            _quarantine(conn, write, error)
        return rejection(error)


def rejection(error: Exception) -> Outcome:
    """The outcome of a write that cannot be stored; a database's error in the words of the domain."""
    return Outcome(error=as_domain_error(error, "write") if isinstance(error, SQLAlchemyError) else error)


def quarantine(conn: Connection, write: Write, error: Exception) -> None:
    """Keep what could not be stored, in a transaction of its own."""
    with conn.begin():
        _quarantine(conn, write, error)


def _quarantine(conn: Connection, write: Write, error: Exception) -> None:
    row = write.rows[0][1] if write.rows else {}
    raw = _printable(_said(write))
    kept = {
        "station": _printable(str(row.get("station", ""))),
        "message_id": _printable(str(row.get("message_id", ""))),
        "received_at": None,
        "action": f"write {write.rows[0][0]}" if write.rows else "work",
        "raw": raw,
        "why": _printable(str(rejection(error).error)),
        "evse": None,
        "fields": "{}",
        "digest": text_digest(raw),
    }
    rows_into(conn, QUARANTINE, [kept])


def _said(write: Write) -> str:
    """The rows as JSON; a work as Python prints it (a partial shows its fact)."""
    rows = plain_json(write.rows)
    return rows if write.work is None else f"{rows} {write.work!r}"


def _printable(text: str) -> str:
    """Text that every engine stores: no NUL, no lone surrogate."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
