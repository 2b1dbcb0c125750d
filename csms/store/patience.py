"""Waiting for a database that takes no writes, and saying so."""

import logging
import threading
import time
from typing import Final

from csms.store.faults import line_of

_log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 0.02
LONGEST_WAIT_S: Final = 2.0
STALLED_AFTER_S: Final = 1.0
"""From then on it is no hiccup: sockets are not read, who waits for a write is told that it failed, the log alarms."""
ALARM_EVERY_S: Final = 60.0
CLOSING_PATIENCE_S: Final = 10.0
"""How long a closing writer keeps trying a database that does not answer."""


class GaveUp(Exception):
    """The server stops, and its database takes nothing more."""


class Patience:
    """Waits between tries, longer each time; no end while the server runs, a limit when it closes.

    Written by the writer's thread; ``trouble`` is read by all.
    """

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing
        self._wait_s = FIRST_WAIT_S
        self._since: float | None = None
        self._alarm_at = 0.0
        self._deadline: float | None = None
        self.trouble: str | None = None
        """What the database says, once it has taken no writes for ``STALLED_AFTER_S``."""

    def wait(self, error: Exception) -> None:
        """Before the next try. Raises GaveUp when there is none."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            _log.warning(
                "the database does not take writes now; nothing is confirmed until it does: %s", line_of(error)
            )
        if now - self._since >= STALLED_AFTER_S:
            self._alarm(now, line_of(error))
        if self._closing.is_set():
            self._deadline = self._deadline or now + CLOSING_PATIENCE_S
            if now >= self._deadline:
                raise GaveUp
            time.sleep(self._wait_s)
        else:
            self._closing.wait(self._wait_s)
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    def _alarm(self, now: float, line: str) -> None:
        if self.trouble is None or now >= self._alarm_at:
            self._alarm_at = now + ALARM_EVERY_S
            _log.error(
                "ALARM: the database has taken no writes for %.0f s; stations are not read, nothing is confirmed: %s",
                now - (self._since or now),
                line,
            )
        self.trouble = line

    def over(self) -> None:
        """A write was stored."""
        if self._since is not None:
            _log.warning("the database takes writes again, after %.1f s", time.monotonic() - self._since)
        self._since = self.trouble = self._deadline = None
        self._wait_s = FIRST_WAIT_S
