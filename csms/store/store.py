"""The opened database: one writer, a few readers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from csms.domain.errors import CsmsError, Unavailable
from csms.domain.record import Keep
from csms.store import schema
from csms.store.database import QUICK_READERS, READERS, checked, parse_url, reading_engine, writing_engine
from csms.store.faults import Blame, as_domain_error, blame_for, line_of
from csms.store.server_lock import NoLock, ServerLock, server_lock
from csms.store.writer import Writer

T = TypeVar("T")

WATCH_S: Final = 1.0
"""How often it is looked whether the writer lives and the lock holds."""
PROBE_S: Final = 5.0
"""How often an empty write asks whether the database takes any, so that a server without traffic knows too."""


class Store:
    """Write through ``writer``; ``read`` runs a query of ``csms.store.reads`` beside the event loop."""

    def __init__(self, writer: Writer, reading: Engine, writing: Engine, lock: ServerLock) -> None:
        self.writer = writer
        self._reading = reading
        self._writing = writing
        self._lock = lock
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._quick = ThreadPoolExecutor(QUICK_READERS, thread_name_prefix="store-look-up")

    @property
    def keep(self) -> Keep:
        """Takes a frame that money or permission rests on."""
        return self.writer.journal.keep

    async def read(self, query: Callable[[Connection], T]) -> T:
        """The query's result, from one consistent state. Its own errors are raised; the database's as BadDatabase."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query)

    async def look_up(self, query: Callable[[Connection], T]) -> T:
        """The same for a row by its key that somebody waits for at the door: never behind a query of history."""
        return await asyncio.get_running_loop().run_in_executor(self._quick, self._query, query)

    def _query(self, query: Callable[[Connection], T]) -> T:
        try:
            with self._reading.connect() as conn:
                return query(conn)
        except SQLAlchemyError as error:
            if blame_for(error) is Blame.DATABASE:
                raise Unavailable(f"the database cannot be read now ({line_of(error)}); try again") from error
            raise as_domain_error(error, "read") from error

    async def watch(self) -> CsmsError:
        """Returns when the writer is dead or the server's lock is lost: why. Nothing may go on then."""
        probing = asyncio.create_task(self._probe())
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                try:
                    self.writer.check()
                except CsmsError as error:
                    return error
        finally:
            probing.cancel()

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                await self.writer.run(lambda _conn: None)
            except CsmsError:  # said by /readyz, and by the log
                continue

    async def close(self) -> None:
        """Commit what is queued, then let go of everything."""
        await self.writer.close()
        for threads in (self._threads, self._quick):
            await asyncio.to_thread(threads.shutdown)
        self._reading.dispose()
        self._lock.release()
        self._writing.dispose()


def open_store(url: str, *, spacing_s: float = 0.005, queue_limit: int = 20_000, exclusive: bool = False) -> Store:
    """Open a database; an empty one gets its tables.

    ``exclusive`` is for the one server of a database: a second one is refused. Commands beside it open without.
    Raises BadDatabase, in one line: locked, unreachable, another schema, in use by another server.
    """
    parsed = parse_url(url)
    writing = writing_engine(parsed)
    try:
        lock: ServerLock = checked(parsed, lambda: server_lock(parsed, writing)) if exclusive else NoLock(writing)
        try:
            schema.ensure(parsed, writing)
        except BaseException:
            lock.release()
            raise
    except BaseException:
        writing.dispose()
        raise
    return Store(Writer(lock, spacing_s=spacing_s, queue_limit=queue_limit), reading_engine(parsed), writing, lock)
