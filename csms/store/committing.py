"""How batches are stored, whatever the database says: nothing is given up that could be stored, or kept raw (C1).

A batch is stored in one transaction; when that fails, with a savepoint for each write; when that fails for no reason of
a write's own, in ever smaller batches on new connections; a write that fails alone goes to the quarantine. When the
quarantine takes it, the database takes writes, and it was the write. When it does not, it is the database: all waits.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from csms.domain.errors import Halted, Unavailable
from csms.store.batch import Outcome, Write, commit_batch, commit_singly, quarantine, quarantine_row, rejection
from csms.store.faults import Blame, blame_for
from csms.store.patience import Patience
from csms.store.server_lock import ServerLock

_log = logging.getLogger(__name__)

TRIES_WHOLE: Final = 4
"""A batch that the database refused so often is tried in halves: less may fit, or be done in time."""

Report = Callable[[Sequence[Write], Sequence[Outcome]], None]


class Part(NamedTuple):
    """Writes that are stored in one transaction. ``raw``: the quarantine's row of one that cannot be, and why."""

    writes: list[Write]
    is_singly: bool = False
    raw: tuple[dict[str, Any], Exception] | None = None
    tries: int = 0

    def halves(self) -> list["Part"]:
        """Two of it where there are two writes. One without any stays: it tells when the database is back."""
        middle = len(self.writes) // 2
        halves = [self._replace(writes=self.writes[:middle]), self._replace(writes=self.writes[middle:])]
        return halves if middle else [self]


class Committer:
    """The connection that writes. Used by the writer's thread only.

    ``inbox``: what waits behind; only those that somebody waits for are taken out of it, when the database is down.
    """

    def __init__(self, lock: ServerLock, patience: Patience, inbox: deque[Write], report: Report) -> None:
        self._lock = lock
        self._patience = patience
        self._inbox = inbox
        self._report = report
        self._parts: deque[Part] = deque()
        self._conn: Connection | None = None

    def store(self, writes: list[Write]) -> None:
        """Store them all, in order, and tell what became of them.

        Raises GaveUp when a closing server's database takes nothing, Halted when the lock is lost: what was not
        reported then is neither stored nor confirmed.
        """
        self._parts.append(Part(writes))
        while self._parts:
            part = self._parts.popleft()
            try:
                outcomes = self._try(part)
            except Halted:
                self._parts.appendleft(part)
                raise
            except Exception as error:
                again = self._after(part, error)
                self._parts.extendleft(reversed(again))
            else:
                self._patience.over()
                self._report(part.writes, outcomes)

    def unfinished(self) -> list[Write]:
        """What was given to ``store`` and is not reported."""
        return [write for part in self._parts for write in part.writes]

    def _try(self, part: Part) -> list[Outcome]:
        conn = self._connection()
        if not part.is_singly:
            return commit_batch(conn, part.writes)
        if part.raw is None:
            return commit_singly(conn, part.writes)
        row, error = part.raw
        quarantine(conn, row)
        return [rejection(error)]

    def _after(self, part: Part, error: Exception) -> list[Part]:
        """What is tried next in its place."""
        blame = blame_for(error)
        if blame is Blame.DATABASE or part.raw is not None:
            return self._later(part, error)
        if blame is Blame.UNKNOWN:
            self.disconnect()
        if not part.is_singly:
            return [part._replace(is_singly=True)]
        return part.halves() if len(part.writes) > 1 else self._culprit(part, error)

    def _culprit(self, part: Part, error: Exception) -> list[Part]:
        (write,), outcome = part.writes, rejection(error)
        if not write.keep:
            self._report(part.writes, [outcome])
            return []
        try:
            row = quarantine_row(write, error)
        except Exception:
            _log.critical("a write can be neither stored nor kept raw: it is not confirmed", exc_info=True)
            self._report(part.writes, [])
            return []
        _log.error("a write cannot be stored and goes to the quarantine: %s", outcome.error)
        return [part._replace(raw=(row, error))]

    def _later(self, part: Part, error: Exception) -> list[Part]:
        """The database takes nothing now."""
        self.disconnect()
        self._parts.appendleft(part)
        self._patience.wait(error)
        if self._patience.trouble is not None:
            self._refuse(Unavailable(f"the database does not take writes now ({self._patience.trouble}); try again"))
        part = self._parts.popleft()
        again = part._replace(raw=None, tries=part.tries + 1)
        return again.halves() if again.tries >= TRIES_WHOLE else [again]

    def _refuse(self, error: Unavailable) -> None:
        """Whoever waits for a write learns now that it was not done, and it is not done later (E7)."""
        refused = [write for write in self.unfinished() if not write.keep]
        self._parts = deque(part._replace(writes=[w for w in part.writes if w.keep]) for part in self._parts)
        queued = [self._inbox.popleft() for _ in range(len(self._inbox))]
        self._inbox.extendleft(write for write in reversed(queued) if write.keep)
        refused += [write for write in queued if not write.keep]
        self._report(refused, [Outcome(error=error)] * len(refused))

    def _connection(self) -> Connection:
        self._lock.check()
        if self._conn is None:
            self._conn = self._lock.connect()
        return self._conn

    def disconnect(self) -> None:
        """Let go of the connection; the next write opens another."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            conn.close()
        except Exception as error:  # so broken that it is gone all the same
            _log.warning("a broken connection could not be closed: %r", error)
            with suppress(Exception):
                conn.invalidate()
