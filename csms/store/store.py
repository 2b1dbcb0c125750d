"""The opened database: one writer, a few readers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from csms.store import schema
from csms.store.database import READERS, ServerLock, as_domain_error, checked, parse_url, reading_engine, writing_engine
from csms.store.writer import Writer

T = TypeVar("T")


class Store:
    """Write through ``writer``; ``read`` runs a query of ``csms.store.reads`` beside the event loop."""

    def __init__(self, writer: Writer, reading: Engine, writing: Engine, lock: ServerLock | None) -> None:
        self.writer = writer
        self._reading = reading
        self._writing = writing
        self._lock = lock
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")

    async def read(self, query: Callable[[Connection], T]) -> T:
        """The query's result, from one consistent state. Its own errors are raised; the database's as BadDatabase."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query)

    def _query(self, query: Callable[[Connection], T]) -> T:
        try:
            with self._reading.connect() as conn:
                return query(conn)
        except SQLAlchemyError as error:
            raise as_domain_error(error, "read") from error

    async def close(self) -> None:
        """Commit what is queued, then let go of everything."""
        await self.writer.close()
        await asyncio.to_thread(self._threads.shutdown)
        self._reading.dispose()
        if self._lock is not None:
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
        lock = checked(parsed, lambda: ServerLock(parsed, writing)) if exclusive else None
        try:
            schema.ensure(parsed, writing)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
    except BaseException:
        writing.dispose()
        raise
    return Store(Writer(writing, spacing_s=spacing_s, queue_limit=queue_limit), reading_engine(parsed), writing, lock)
