"""Engines, locks and errors of the two databases: SQLite (WAL, synchronous=FULL) and PostgreSQL (psycopg 3)."""

import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from csms.domain.errors import BadDatabase, Conflict, CsmsError

BUSY_TIMEOUT_S: Final = 2.0
"""How long SQLite waits for another process's write before it says "locked"; the writer then tries again."""
CONNECT_TIMEOUT_S: Final = 5
READERS: Final = 4
WRITE_CACHE_KIB: Final = 16_384
CHECKPOINT_PAGES: Final = 8_000
"""The index pages at which the stations' newest rows go in stay in the cache (2 MB by default hold 500), and are copied
from the log into the database once in 32 MB of it instead of once in 4."""
_SERVER_LOCK: Final = 0x7469646577617474
"""Key of the PostgreSQL advisory lock that one server holds (the ASCII of "tidewatt")."""


def parse_url(url: str) -> URL:
    """The URL of a database this product can use. Raises BadDatabase."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise BadDatabase(f"database url: cannot be read; {_FORMS}", field="database.url") from error
    if parsed.drivername == "postgresql+psycopg":
        return parsed
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise BadDatabase(f"database url {parsed.render_as_string()}: {_FORMS}", field="database.url")


_FORMS: Final = "write sqlite:///file.db or postgresql+psycopg://user@host/name"


def writing_engine(url: URL) -> Engine:
    """One connection at a time, each transaction BEGIN IMMEDIATE on SQLite."""
    return _engine(url, begin="BEGIN IMMEDIATE", readers=None)


def reading_engine(url: URL) -> Engine:
    """A small pool of connections that cannot write."""
    return _engine(url, begin="BEGIN", readers=READERS)


def _engine(url: URL, *, begin: str, readers: int | None) -> Engine:
    pool: dict[str, Any] = (
        {"poolclass": NullPool}
        if readers is None
        else {"poolclass": QueuePool, "pool_size": readers, "max_overflow": 0}
    )
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, **pool)
        _prepare_sqlite(engine, begin, query_only=readers is not None)
        return engine
    engine = create_engine(url, connect_args={"connect_timeout": CONNECT_TIMEOUT_S}, pool_pre_ping=True, **pool)
    return engine if readers is None else engine.execution_options(postgresql_readonly=True)


def _prepare_sqlite(engine: Engine, begin: str, *, query_only: bool) -> None:
    # temp_store: a statement of many rows keeps a journal of its own, which else is a file in the temporary folder.
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"]
    pragmas += [f"cache_size=-{WRITE_CACHE_KIB}", f"wal_autocheckpoint={CHECKPOINT_PAGES}"]
    if query_only:
        pragmas = ["foreign_keys=ON", "query_only=ON"]

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        with closing(connection.cursor()) as cursor:
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(conn: Connection) -> None:
        conn.exec_driver_sql(begin)


def is_transient(error: BaseException) -> bool:
    """The same write may succeed later: lock held elsewhere, connection lost, disk full, deadlock."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _PASSING_CODES
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state[:2] in _PASSING_STATES
    return isinstance(error, OperationalError)


_PASSING_CODES: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
    | {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT}
)


_PASSING_STATES: Final = frozenset({"08", "40", "53", "55", "57", "58"})
"""PostgreSQL classes: connection, rollback (deadlock, serialization), resources, lock, operator, system."""


def as_domain_error(error: BaseException, where: str) -> CsmsError:
    """What callers outside this package see of a database's error."""
    cause = getattr(error, "orig", None) or error
    line = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if isinstance(error, IntegrityError):
        return Conflict(f"this does not fit what is stored already ({line})")
    return BadDatabase(f"{where}: {line}")


def checked(url: URL, work: Callable[[], Any]) -> Any:
    """Run ``work``; a database's error becomes one BadDatabase line that names the database."""
    try:
        return work()
    except SQLAlchemyError as error:
        raise BadDatabase(f"database {url.render_as_string()}: {_remedy(error)}", field="database.url") from error


def _remedy(error: SQLAlchemyError) -> str:
    line = str(as_domain_error(error, "")).removeprefix(": ")
    if "locked" in line:
        return "locked by another program; stop that one or name another file"
    if "unable to open" in line:
        return "cannot be opened; check that the folder exists and may be written"
    if "not a database" in line:
        return "is no SQLite database; name another file"
    return f"cannot be used ({line}); check [database] url"


class ServerLock:
    """Held by the one server of a database; a second one is refused with BadDatabase. Ends with the process."""

    def __init__(self, url: URL, engine: Engine) -> None:
        self._file: int | None = None
        self._conn: Connection | None = None
        if url.get_backend_name() == "sqlite":
            self._file = _lock_file(url)
        else:
            self._conn = _lock_session(url, engine)

    def release(self) -> None:
        """Let another server take over."""
        if self._file is not None:
            os.close(self._file)
        if self._conn is not None:
            self._conn.close()


def _lock_file(url: URL) -> int:
    path = Path(f"{url.database}.lock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadDatabase(f"database {url}: {path} cannot be made ({error.strerror})", field="database.url") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise _second_server(url) from error
    return file


def _lock_session(url: URL, engine: Engine) -> Connection:
    conn = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    if conn.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _SERVER_LOCK}).scalar_one():
        return conn
    conn.close()
    raise _second_server(url)


def _second_server(url: URL) -> BadDatabase:
    return BadDatabase(
        f"database {url.render_as_string()}: another server uses it; stop that one or name another database",
        field="database.url",
    )
