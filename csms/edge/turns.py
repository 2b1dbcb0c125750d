"""Who has sent more than a slice waits for its turn: one station's flood never holds the others up (C3).

What is behind is done in rounds, one slice of each connection after another, and half of the loop's time at most: the
other half is for those that send one message and wait, as stations should.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

SLICE_BYTES: Final = 4096
"""Some sixty of the smallest messages, or thirty of the usual samples: about 2 ms."""

ROUND_S: Final = 0.005
"""So long may a round take; what is left over is for the next one. A single message is never cut in two."""


class Waiting(Protocol):
    """A connection that is behind."""

    def take_turn(self) -> bool:
        """Handle one slice. Whether there is more."""
        ...


class Turns:
    """The queue of the connections that are behind. ``later`` is the loop's timer, ``now`` a clock in s."""

    def __init__(
        self, later: Callable[[float, Callable[[], None]], object], now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._later = later
        self._now = now
        self._waiting: deque[Waiting] = deque()
        self._is_under_way = False

    def join(self, connection: Waiting) -> None:
        """To the end of the queue. Must not be in it."""
        self._waiting.append(connection)
        if not self._is_under_way:
            self._is_under_way = True
            self._later(0.0, self._round)

    def _round(self) -> None:
        start = self._now()
        spent_s = 0.0
        while self._waiting and spent_s < ROUND_S:
            connection = self._waiting.popleft()
            if connection.take_turn():
                self._waiting.append(connection)
            spent_s = self._now() - start
        self._is_under_way = bool(self._waiting)
        if self._waiting:
            self._later(spent_s, self._round)
