"""The one writer: a thread that commits whatever arrived, in groups (design §3, performance §4).

Commits are at least ``spacing_s`` apart: a lone write goes out at once, under load one fsync serves all that came
meanwhile. Nothing is acknowledged before its commit: see ``committing`` for what happens when one fails.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from sqlalchemy import Connection

from csms.domain.errors import BadDatabase, Halted, Unavailable
from csms.store.batch import Outcome, Write
from csms.store.committing import Committer
from csms.store.journal import KEPT_WITHIN_S, Journal
from csms.store.patience import GaveUp, Patience
from csms.store.server_lock import ServerLock

_log = logging.getLogger(__name__)
T = TypeVar("T")

HUNG_AFTER_S: Final = 5.0
"""A batch that takes longer is no longer waited for in silence: its database hangs."""


class Writer:
    """Queue of writes and the thread that commits them, first in, first out."""

    def __init__(self, lock: ServerLock, *, spacing_s: float, queue_limit: int) -> None:
        self._lock = lock
        self._spacing_s = spacing_s
        self._queue_limit = queue_limit
        self._inbox: deque[Write] = deque()
        self.journal = Journal()
        self._unfinished = 0
        self._is_full = False
        self._busy_since: float | None = None
        self._death: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._patience = Patience(self._closing)
        self._committer = Committer(lock, self._patience, self._inbox, self._report)
        self._thread = threading.Thread(target=self._live, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, write: Write) -> None:
        """Queue a write. On the event loop only; never blocks. Raises BadDatabase after ``close``, Halted when dead."""
        if self._closing.is_set():
            raise BadDatabase("the store is closed")
        if self._death is not None:
            raise Halted(str(self._death))
        self._loop = asyncio.get_running_loop()
        self._unfinished += 1
        self._inbox.append(write)
        if not self._wake.is_set():  # else the thread has not yet looked: it clears the flag before it takes
            self._wake.set()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in its turn; durable when this returns. What it raises is raised here, nothing of it is kept.

        Raises Unavailable when the database takes no writes: then it is not done later either.
        """
        if self._death is None and (trouble := self.trouble) is not None:
            raise Unavailable(f"the database does not take writes now ({trouble}); try again")
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
    def trouble(self) -> str | None:
        """Why nothing is stored now, in one line; None = all is well."""
        if self._death is not None:
            return str(self._death)
        since = self._busy_since
        if self._patience.trouble is None and since is not None and time.monotonic() - since >= HUNG_AFTER_S:
            return f"the database has not answered for {time.monotonic() - since:.0f} s"
        return self._patience.trouble

    @property
    def is_full(self) -> bool:
        """Too much waits: from ``queue_limit`` on, until half of it is committed. Or nothing is stored now."""
        bound = self._queue_limit // 2 if self._is_full else self._queue_limit
        self._is_full = self._unfinished >= max(bound, 1) or self.trouble is not None
        return self._is_full

    def check(self) -> None:
        """Raises Halted when no write will ever be stored again by this process."""
        if self._death is None and not self._thread.is_alive() and not self._closing.is_set():
            self._death = Halted("the writer's thread has ended")
        if self._death is not None:
            raise Halted(str(self._death))
        self._lock.check()

    async def close(self) -> None:
        """Commit what is queued, then end the thread."""
        self._closing.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join)

    # The thread

    def _live(self) -> None:
        try:
            self._serve()
        except GaveUp:
            _log.error("%d writes were not stored before the stop; none of them was confirmed", self._unfinished)
        except Halted as error:
            self._death = error
        except Exception as error:
            _log.exception("the writer's thread died")
            self._death = Halted(f"the writer's thread died: {error!r}")
        finally:
            self._committer.disconnect()
            self._let_go()

    def _serve(self) -> None:
        while self._wait_for_work():
            batch = [self._inbox.popleft() for _ in range(len(self._inbox))]
            if frames := self.journal.take():  # after the writes that follow from them
                batch.insert(0, Write(tuple(frames), None, self._frames_done, self._frames_done))
            if batch:
                self._busy_since = time.monotonic()
                self._committer.store(batch)
                self._busy_since = None
                self._closing.wait(self._spacing_s)

    def _wait_for_work(self) -> bool:
        self._wake.wait(KEPT_WITHIN_S)
        self._wake.clear()
        if self._closing.is_set():
            self._wake.set()
            return bool(self._inbox or self.journal)
        return True

    def _let_go(self) -> None:
        """Whoever still waits is told that it was not done; stations are told nothing, and will say it again."""
        left = [write for write in (*self._committer.unfinished(), *self._inbox) if not write.keep]
        error = self._death or Unavailable("the server stops; this was not done")
        self._report(left, [Outcome(error=error)] * len(left))

    def _report(self, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        loop, self._busy_since = self._loop, time.monotonic()
        if loop is None or not writes:
            return
        try:
            loop.call_soon_threadsafe(self._finish, writes, outcomes)
        except RuntimeError:  # the loop has ended: nobody is left to tell
            _log.warning("%d writes were committed after the event loop had ended", len(writes))

    def _frames_done(self, _outcome: object) -> None:
        self._unfinished += 1  # nobody has put this write

    def _finish(self, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        """``outcomes`` is empty for writes that are neither stored nor kept."""
        self._unfinished -= len(writes)
        for write, outcome in zip(writes, outcomes, strict=bool(outcomes)):
            try:
                if outcome.error is None:
                    write.done(outcome.result)
                else:
                    write.failed(outcome.error)
            except Exception:
                _log.exception("a write was committed, but its callback failed")
