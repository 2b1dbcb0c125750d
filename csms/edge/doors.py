"""How many connections may stand before the door: those that nobody has authenticated yet cost memory and time. C4.

Over a bound the oldest handshake goes, not the newest: who holds sockets open without a word makes room for those who
come to speak.
"""

from collections import Counter
from typing import Protocol


class Caller(Protocol):
    """A connection, as far as it can be turned away."""

    @property
    def source(self) -> str:
        """The address it calls from."""
        ...

    def drop(self) -> None: ...


class Doors:
    """``per_source`` and ``in_all``: handshakes under way; ``connections``: open ones of one source, let in or not."""

    def __init__(self, per_source: int, in_all: int, connections: int) -> None:
        self._per_source, self._in_all, self._connections = per_source, in_all, connections
        self._open: Counter[str] = Counter()
        self._waiting: dict[str, dict[Caller, None]] = {}
        self._waiting_in_all = 0

    def arrived(self, caller: Caller) -> None:
        """A TCP connection. Whoever is over a bound is dropped."""
        self._open[caller.source] += 1
        waiting = self._waiting.setdefault(caller.source, {})
        waiting[caller] = None
        self._waiting_in_all += 1
        if self._open[caller.source] > self._connections:
            self._turn_away(caller)
        elif len(waiting) > self._per_source:
            self._turn_away(next(iter(waiting)))
        elif self._waiting_in_all > self._in_all:
            crowd = max(self._waiting.values(), key=len)
            self._turn_away(next(iter(crowd)))

    def let_in(self, caller: Caller) -> None:
        """It is authenticated."""
        waiting = self._waiting.get(caller.source)
        if waiting is not None and caller in waiting:
            del waiting[caller]
            self._waiting_in_all -= 1
            if not waiting:
                del self._waiting[caller.source]

    def left(self, caller: Caller) -> None:
        """The TCP connection is gone."""
        self.let_in(caller)
        self._open[caller.source] -= 1
        if self._open[caller.source] <= 0:
            del self._open[caller.source]

    def _turn_away(self, caller: Caller) -> None:
        self.let_in(caller)
        caller.drop()
