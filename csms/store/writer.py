"""The one writer: a thread that commits whatever arrived, in groups (design §3, performance §4).

Commits are at least ``spacing_s`` apart: a lone write goes out at once, under load one fsync serves all that came
meanwhile. Nothing is acknowledged before its commit. Errors that may pass (lock, lost connection, full disk) are
retried for as long as it takes; any other splits the batch in halves until the write that cannot be stored stands
alone.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from csms.domain.errors import BadDatabase
from csms.store.batch import Outcome, Write, commit_batch, quarantine, rejection
from csms.store.database import is_transient

_log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_WAIT_S: Final = 0.02
LONGEST_WAIT_S: Final = 2.0
CLOSING_PATIENCE_S: Final = 10.0
"""How long a closing writer keeps trying a database that does not answer."""


class Writer:
    """Queue of writes and the thread that commits them, first in, first out."""

    def __init__(self, engine: Engine, *, spacing_s: float, queue_limit: int) -> None:
        self._engine = engine
        self._spacing_s = spacing_s
        self._queue_limit = queue_limit
        self._inbox: deque[Write] = deque()
        self._unfinished = 0
        self._is_full = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._conn: Connection | None = None
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, write: Write) -> None:
        """Queue a write. On the event loop only; never blocks. Raises BadDatabase after ``close``."""
        if self._closing.is_set():
            raise BadDatabase("the store is closed")
        self._loop = asyncio.get_running_loop()
        self._unfinished += 1
        self._inbox.append(write)
        if not self._wake.is_set():  # else the thread has not yet looked: it clears the flag before it takes
            self._wake.set()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in its turn; durable when this returns. What it raises is raised here, nothing of it is kept."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T) -> None:
            if not answer.done():
                answer.set_result(result)

        def failed(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

        self.put(Write(work=work, done=done, failed=failed, keep=False))
        return await answer

    @property
    def is_full(self) -> bool:
        """Too much waits: from ``queue_limit`` on, until half of it is committed."""
        bound = self._queue_limit // 2 if self._is_full else self._queue_limit
        self._is_full = self._unfinished >= max(bound, 1)
        return self._is_full

    async def close(self) -> None:
        """Commit what is queued, then end the thread."""
        self._closing.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        try:
            while self._wait_for_work():
                batch = self._take()
                if batch:
                    self._commit(deque([batch]))
        finally:
            self._disconnect()

    def _wait_for_work(self) -> bool:
        self._wake.wait()
        self._wake.clear()
        if self._closing.is_set():
            self._wake.set()
            return bool(self._inbox)
        return True

    def _take(self) -> list[Write]:
        return [self._inbox.popleft() for _ in range(len(self._inbox))]

    def _commit(self, parts: deque[list[Write]]) -> None:
        """Commit the parts in order; a part that fails is replaced by its halves."""
        retry = _Retry(self._closing)
        while parts:
            part = parts[0]
            try:
                outcomes: list[Outcome] | None = commit_batch(self._connection(), part)
            except Exception as error:
                if is_transient(error) and retry.wait(error):
                    self._disconnect()
                    continue
                outcomes = self._rejected(part, error)
            parts.popleft()
            if outcomes is None:
                middle = len(part) // 2
                parts.extendleft([part[middle:], part[:middle]])
            else:
                self._report(part, outcomes)
        self._closing.wait(self._spacing_s)

    def _rejected(self, part: list[Write], error: Exception) -> list[Outcome] | None:
        """Outcomes of a part that cannot be stored; None = look for the culprit in its halves."""
        if is_transient(error):
            return [rejection(error)] * len(part)
        if len(part) > 1:
            return None
        if part and part[0].keep:
            self._quarantine(part[0], error)
        return [rejection(error)] * len(part)

    def _quarantine(self, write: Write, error: Exception) -> None:
        _log.error("a write cannot be stored and goes to the quarantine: %s", rejection(error).error)
        try:
            quarantine(self._connection(), write, error)
        except Exception:
            _log.exception("the quarantine cannot be written")
            self._disconnect()

    def _connection(self) -> Connection:
        if self._conn is None:
            self._conn = self._engine.connect()
        return self._conn

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()

    def _report(self, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._finish, writes, outcomes)
        except RuntimeError:  # the loop has ended: nobody is left to tell
            _log.warning("%d writes were committed after the event loop had ended", len(writes))

    def _finish(self, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        self._unfinished -= len(writes)
        for write, outcome in zip(writes, outcomes, strict=True):
            try:
                if outcome.error is None:
                    write.done(outcome.result)
                else:
                    write.failed(outcome.error)
            except Exception:
                _log.exception("a write was committed, but its callback failed")


class _Retry:
    """Waits between tries of one batch, longer each time; no end while the server runs, a limit when it closes."""

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing
        self._wait_s = FIRST_WAIT_S
        self._deadline: float | None = None

    def wait(self, error: Exception) -> bool:
        """True after the wait; False = give up."""
        if self._wait_s == FIRST_WAIT_S:
            _log.warning("the database does not take writes now; nothing is confirmed until it does: %s", error)
        if self._closing.is_set():
            self._deadline = self._deadline or time.monotonic() + CLOSING_PATIENCE_S
            if time.monotonic() >= self._deadline:
                return False
        time.sleep(self._wait_s)
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
        return True
