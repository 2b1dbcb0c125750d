"""Engines of the two databases: SQLite (WAL, synchronous=FULL) and PostgreSQL (psycopg 3)."""

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from csms.domain.errors import BadDatabase
from csms.store.faults import as_domain_error

BUSY_TIMEOUT_S: Final = 2.0
"""How long SQLite waits for another process's write before it says "locked"; the writer then tries again."""
CONNECT_TIMEOUT_S: Final = 5
READERS: Final = 4
QUICK_READERS: Final = 2
WRITE_CACHE_KIB: Final = 16_384
CHECKPOINT_PAGES: Final = 8_000
"""The index pages at which the stations' newest rows go in stay in the cache (2 MB by default hold 500), and are copied
from the log into the database once in 32 MB of it instead of once in 4."""
SURE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
"""libpq: a server that has vanished without a word is given up after 20 to 25 s instead of after hours."""


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
    return _engine(url, begin="BEGIN", readers=READERS + QUICK_READERS)


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
    engine = create_engine(url, connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **SURE}, pool_pre_ping=True, **pool)
    if readers is None:
        _prepare_postgres(engine)
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


def _prepare_postgres(engine: Engine) -> None:
    """A commit means that it is on the disk, whatever the server's or the role's default says."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(_SYNCHRONOUS)
        connection.commit()


_SYNCHRONOUS: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


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
