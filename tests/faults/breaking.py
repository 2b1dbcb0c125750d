"""Databases that break at a chosen statement: the driver's own errors, raised where the driver raises them."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from sqlalchemy import Engine

Break = Callable[[Any], Exception]
"""What happens to a driver's connection, and what the driver says."""


def _sqlite(kind: type[Exception], name: str, said: str) -> Break:
    def happens(_connection: Any) -> Exception:
        error = kind(said)
        error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, name), name  # type: ignore[attr-defined]
        return error

    return happens


def _postgres(state: str) -> Break:
    return lambda _connection: psycopg.errors.lookup(state)(f"injected {state}")


def _lost(connection: Any) -> Exception:
    connection.close()
    return psycopg.OperationalError("server closed the connection unexpectedly")


def _bug(_connection: Any) -> Exception:
    return RuntimeError("injected: a bug of the driver")


def _no_disk(_connection: Any) -> Exception:
    return OSError(28, "No space left on device")


BREAKS: Mapping[str, Mapping[str, Break]] = {
    "sqlite": {
        "read-only": _sqlite(sqlite3.OperationalError, "SQLITE_READONLY", "attempt to write a readonly database"),
        "disk full": _sqlite(sqlite3.OperationalError, "SQLITE_FULL", "database or disk is full"),
        "connection lost": _sqlite(sqlite3.OperationalError, "SQLITE_IOERR", "disk I/O error"),
        "lock lost": _sqlite(sqlite3.OperationalError, "SQLITE_BUSY", "database is locked"),
        "constraint": _sqlite(sqlite3.IntegrityError, "SQLITE_CONSTRAINT", "FOREIGN KEY constraint failed"),
        "encoding": _sqlite(sqlite3.DataError, "SQLITE_TOOBIG", "string or blob too big"),
        "time-out": _sqlite(sqlite3.OperationalError, "SQLITE_INTERRUPT", "interrupted"),
        "corrupt": _sqlite(sqlite3.DatabaseError, "SQLITE_CORRUPT", "database disk image is malformed"),
        "no table": _sqlite(sqlite3.OperationalError, "SQLITE_ERROR", "no such table: meter_value"),
        "driver's bug": _bug,
        "system": _no_disk,
    },
    "postgresql": {
        "read-only": _postgres("25006"),
        "disk full": _postgres("53100"),
        "connection lost": _lost,
        "lock lost": _postgres("40P01"),
        "constraint": _postgres("23503"),
        "encoding": _postgres("22021"),
        "time-out": _postgres("57014"),
        "corrupt": _postgres("XX001"),
        "no table": _postgres("42P01"),
        "no privilege": _postgres("42501"),
        "driver's bug": _bug,
        "system": _no_disk,
    },
}


class Breaking:
    """Counts what an engine's connections do, and breaks it from one step on, for so many steps.

    A step is a statement or a commit. ``after_commit``: the commit is done, and its answer is lost.
    """

    def __init__(self, engine: Engine) -> None:
        self._dialect: Any = engine.dialect
        self.steps = 0
        self._first, self._count, self._after_commit = 0, 0, False
        self._happens: Break = _bug
        for name in ("do_execute", "do_executemany"):
            setattr(self._dialect, name, self._broken_statement(getattr(self._dialect, name)))
        self._dialect.do_commit = self._broken_commit(self._dialect.do_commit)

    def plan(self, happens: Break, first: int, count: int = 1, *, after_commit: bool = False) -> None:
        self.steps, self._happens = 0, happens
        self._first, self._count, self._after_commit = first, count, after_commit

    def calm(self) -> None:
        self.steps = self._count = 0

    def _is_due(self) -> bool:
        self.steps += 1
        return self._first <= self.steps < self._first + self._count

    def _broken_statement(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def execute(cursor: Any, *arguments: Any) -> Any:
            if self._is_due() and not self._after_commit:
                raise self._happens(cursor.connection)
            return real(cursor, *arguments)

        return execute

    def _broken_commit(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def commit(connection: Any) -> None:
            is_due = self._is_due()
            if is_due and not self._after_commit:
                raise self._happens(connection)
            real(connection)
            if is_due:
                raise self._happens(connection)

        return commit
