"""One server per database: a lock that is held by the very connection that writes, or by files that are still there."""

import fcntl
import os
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, text

from csms.domain.errors import BadDatabase, Halted

_KEY: Final = 0x7469646577617474
"""Of the PostgreSQL advisory lock (the ASCII of "tidewatt")."""


class FileLock:
    """SQLite: a locked file beside the database. It ends with the process."""

    def __init__(self, url: URL, engine: Engine) -> None:
        self._url, self._engine = url, engine
        self._file = _locked_file(url)
        self._guarded: dict[Path, tuple[int, int] | None] = {_lock_path(url): _identity(os.fstat(self._file))}

    def connect(self) -> Connection:
        """A connection that may write. Raises Halted when the lock is lost."""
        self.check()
        conn = self._engine.connect()
        self._guarded.setdefault(Path(str(self._url.database)), _identity_of(Path(str(self._url.database))))
        return conn

    def check(self) -> None:
        """Raises Halted when the files are not those that were opened: what is written would be in none of them."""
        for path, identity in self._guarded.items():
            if _identity_of(path) != identity:
                raise Halted(f"{path} was removed or replaced while the server used it; put it back and start again")

    def release(self) -> None:
        """Let another server take over."""
        os.close(self._file)


class SessionLock:
    """PostgreSQL: an advisory lock of the session that writes. Who loses the session must lock again to write again."""

    def __init__(self, url: URL, engine: Engine) -> None:
        self._url, self._engine = url, engine
        self._session: dict[str, Any] | None = None
        self._first: Connection | None = self._locked()
        if self._first is None:
            raise _second_server(url)

    def connect(self) -> Connection:
        """A connection that holds the lock and may write. Raises Halted when another server holds it by now."""
        first, self._first = self._first, None
        conn = first or self._locked()
        if conn is None:
            raise Halted(f"another server took over {self._url.render_as_string()}; stop one of the two")
        return conn

    def _locked(self) -> Connection | None:
        conn = self._engine.connect()
        try:
            is_ours = self._lock(conn)
            conn.rollback()  # ends the statements' transaction; the lock is the session's
        except BaseException:
            conn.close()
            raise
        if not is_ours:
            conn.close()
        return conn if is_ours else None

    def _lock(self, conn: Connection) -> bool:
        """Whether the lock is this session's. Our own session before may still hold it, if only the network failed."""
        if self._session is not None:
            conn.execute(_END_SESSION, self._session)
        for _ in range(TRIES if self._session else 1):
            if conn.execute(_TRY, {"key": _KEY}).scalar_one():
                self._session = dict(conn.execute(_SESSION).mappings().one())
                return True
            time.sleep(TRY_EVERY_S)
        return False

    def check(self) -> None:
        """Nothing: the session that writes is the lock."""

    def release(self) -> None:
        """Let another server take over, where none has written yet."""
        if self._first is not None:
            self._first.close()


TRIES: Final = 20
TRY_EVERY_S: Final = 0.1
_TRY: Final = text("SELECT pg_try_advisory_lock(:key)")
_SESSION: Final = text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_END_SESSION: Final = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :backend_start"
)


class NoLock:
    """A command beside the server."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def connect(self) -> Connection:
        return self._engine.connect()

    def check(self) -> None:
        """Nothing is held."""

    def release(self) -> None:
        """Nothing is held."""


ServerLock = FileLock | SessionLock | NoLock


def server_lock(url: URL, engine: Engine) -> FileLock | SessionLock:
    """Held from now on by this process. Raises BadDatabase when another server uses the database."""
    return FileLock(url, engine) if url.get_backend_name() == "sqlite" else SessionLock(url, engine)


def _lock_path(url: URL) -> Path:
    return Path(f"{url.database}.lock")


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path.stat())
    except FileNotFoundError:
        return None


def _locked_file(url: URL) -> int:
    path = _lock_path(url)
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


def _second_server(url: URL) -> BadDatabase:
    return BadDatabase(
        f"database {url.render_as_string()}: another server uses it; stop that one or name another database",
        field="database.url",
    )
