"""One group commit: rows in bulk, works one after another, everything in the order it came."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from csms.store.faults import Blame, as_domain_error, blame_for
from csms.store.sql import rows_into
from csms.store.tables import METADATA, QUARANTINE
from csms.store.together import Together
from csms.store.values import plain_json, text_digest


def _nothing(_result: Any) -> None:
    """Nobody waits."""


@dataclass(slots=True)
class Write:
    """One item for the writer; not frozen, as making a frozen one takes three times as long.

    ``rows``: (table name, row with every column but the row id); a row whose natural key exists is skipped. ``work``
    runs after them in a savepoint of its own; it may run again before its commit and must change nothing but the
    database. ``done`` gets its result, on the event loop, after the commit. When rows or work can never be stored, an
    item to ``keep`` goes to the quarantine, and ``failed`` gets the reason, on the loop too, once that is committed.
    One not to keep (somebody waits for it) is also given up when the database takes no writes: ``failed`` then.
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
    """Store all in one transaction. The failure of a work of its own is its outcome; any other error, that of rows or
    of works that are done together, undoes all and is raised.

    Rows wait to be inserted together until a work comes, and works that are done together wait until another one comes,
    or more of the same station: nothing overtakes what its station said before, no row and no work an earlier work.
    """
    with conn.begin():
        batch = _Batch(conn, [_STORED] * len(writes))
        for at, write in enumerate(writes):
            batch.take(at, write)
        batch.flush()
    return batch.outcomes


class _Batch:
    """What of one commit waits to be stored with others."""

    def __init__(self, conn: Connection, outcomes: list[Outcome]) -> None:
        self.outcomes = outcomes
        self._conn = conn
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._together: dict[str, tuple[int, Write]] = {}
        self._many: Callable[..., Any] | None = None

    def take(self, at: int, write: Write) -> None:
        """The next write, whose outcome is the one ``at``."""
        together = self._together
        if together and write.rows and any(row.get("station") in together for _, row in write.rows):
            self.flush()
        for table, row in write.rows:
            self._rows.setdefault(table, []).append(row)
        if isinstance(write.work, Together):
            work, station = write.work, write.work.item.origin.station
            if station in together or work.many is not self._many:
                self.flush()
            self._many = work.many
            together[station] = at, write
        elif write.work is not None:
            self.flush()
            self.outcomes[at] = _guarded(self._conn, write, write.work)

    def flush(self) -> None:
        """Store what waits."""
        for table, rows in self._rows.items():
            rows_into(self._conn, METADATA.tables[table], rows)
        self._rows.clear()
        waiting = list(self._together.values())
        self._together.clear()
        if waiting:
            for (at, _), outcome in zip(waiting, _run_together(self._conn, [one for _, one in waiting]), strict=True):
                self.outcomes[at] = outcome


def _run_together(conn: Connection, writes: list[Write]) -> list[Outcome]:
    """Without a savepoint, as rows are: it would cost a quarter of a small commit. If it fails, all of the commit is
    undone, and each write of it is stored in a savepoint of its own (``commit_singly``)."""
    works: list[Any] = [write.work for write in writes]
    return [Outcome(result) for result in works[0].many(conn, [work.item for work in works])]


def commit_singly(conn: Connection, writes: Sequence[Write]) -> list[Outcome]:
    """Store all in one transaction, each in a savepoint: what can never be stored is quarantined in its place.

    For a batch that ``commit_batch`` could not store. An error that is not a write's own undoes all and is raised.
    """
    with conn.begin():
        return [_guarded(conn, write, _whole(write)) for write in writes]


def _whole(write: Write) -> Callable[[Connection], Any]:
    def store(conn: Connection) -> Any:
        for table, row in write.rows:
            rows_into(conn, METADATA.tables[table], [row])
        return None if write.work is None else write.work(conn)

    return store


def _guarded(conn: Connection, write: Write, work: Callable[[Connection], Any]) -> Outcome:
    savepoint = conn.begin_nested()
    try:
        result = work(conn)
    except Exception as error:
        if blame_for(error) is not Blame.WRITE:
            raise
        savepoint.rollback()
        if write.keep:
            rows_into(conn, QUARANTINE, [quarantine_row(write, error)])
        return rejection(error)
    savepoint.commit()  # outside: what fails here says nothing of the write
    return Outcome(result)


def rejection(error: Exception) -> Outcome:
    """The outcome of a write that cannot be stored; a database's error in the words of the domain."""
    return Outcome(error=as_domain_error(error, "write") if isinstance(error, SQLAlchemyError) else error)


def quarantine(conn: Connection, row: dict[str, Any]) -> None:
    """Keep what could not be stored, in a transaction of its own."""
    with conn.begin():
        rows_into(conn, QUARANTINE, [row])


def quarantine_row(write: Write, error: Exception) -> dict[str, Any]:
    """What is kept of a write that cannot be stored, as text that every engine takes."""
    row = write.rows[0][1] if write.rows else {}
    raw = _printable(_said(write))
    return {
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


def _said(write: Write) -> str:
    """The rows as JSON; a work as Python prints it (a partial shows its fact)."""
    rows = plain_json(write.rows)
    return rows if write.work is None else f"{rows} {write.work!r}"


def _printable(text: str) -> str:
    """Text that every engine stores: no NUL, no lone surrogate."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
