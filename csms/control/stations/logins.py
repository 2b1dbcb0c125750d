"""Failed logins by where they come from, and how many slow checks may run for one source. V2G-43, C4.

A check counts as failed from before it is awaited until it succeeds: guesses made at once are no cheaper than one after
another. The name that is tried is never limited, or a stranger could lock its station out.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Final

from csms.domain.ids import StationId
from csms.domain.ports import Clock

WINDOW: Final = timedelta(minutes=1)
MOST_SOURCES: Final = 10_000
"""Sources come from outside; the one heard longest ago is forgotten first."""

STILL_CHECKED_EVERY: Final = timedelta(seconds=1)
"""From a limited source one slow check for each station within this: a neighbour's guesses delay it, no more."""

STILL_CHECKED_AT_ONCE: Final = 4


def source_of(address: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 that one IPv6 host has for itself."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip) if ip.version == 4 else str(IPv6Address(int(ip) >> 64 << 64))


@dataclass(slots=True)
class _Source:
    failed_at: deque[datetime] = field(default_factory=deque)
    running: int = 0
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)
    late_at: dict[StationId, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """A slow check that may run. ``is_late``: its source is limited."""

    source: str
    is_late: bool = False


class Logins:
    """``limit`` failures a minute for each source."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._late = 0

    def is_limited(self, source: str) -> bool:
        """Its failures of the last minute have used up the limit."""
        known = self._sources.get(source)
        return known is not None and self._is_limited(known)

    def failed(self, source: str) -> None:
        """A wrong try that cost nothing to find out."""
        self._fail(self._of(source))

    async def enter(self, source: str, station: StationId) -> Turn | None:
        """A slow check may run now: ``leave`` must follow. Waits while so many run that their failures would use up the
        limit. None: the source is limited."""
        known = self._of(source)
        if self._is_limited(known):
            return self._enter_late(source, known, station)
        if self._has_room(known):
            known.running += 1
            return Turn(source)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        known.waiting.append(turn)
        try:
            return Turn(source) if await turn else None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave(Turn(source), failed=False)
            raise

    def leave(self, turn: Turn, *, failed: bool) -> None:
        """The check is over."""
        known = self._of(turn.source)
        if turn.is_late:
            self._late -= 1
        else:
            known.running -= 1
        if failed:
            self._fail(known)
        while known.waiting and (self._is_limited(known) or self._has_room(known)):
            waiting = known.waiting.popleft()
            if not waiting.done():
                may_run = not self._is_limited(known)
                known.running += may_run
                waiting.set_result(may_run)

    def _enter_late(self, source: str, known: _Source, station: StationId) -> Turn | None:
        now = self._clock.now()
        last_at = known.late_at.get(station)
        is_early = last_at is not None and now - last_at < STILL_CHECKED_EVERY
        if is_early or self._late >= STILL_CHECKED_AT_ONCE:
            return None
        known.late_at[station] = now
        self._late += 1
        return Turn(source, is_late=True)

    def _has_room(self, known: _Source) -> bool:
        return len(known.failed_at) + known.running < self._limit

    def _is_limited(self, known: _Source) -> bool:
        failed_at, now = known.failed_at, self._clock.now()
        while failed_at and failed_at[0] <= now - WINDOW:
            failed_at.popleft()
        if len(failed_at) < self._limit:
            known.late_at.clear()
        return len(failed_at) >= self._limit

    def _fail(self, known: _Source) -> None:
        if len(known.failed_at) < self._limit:
            known.failed_at.append(self._clock.now())

    def _of(self, source: str) -> _Source:
        known = self._sources.setdefault(source, _Source())
        self._sources.move_to_end(source)
        if len(self._sources) > MOST_SOURCES:
            self._forget_one()
        return known

    def _forget_one(self) -> None:
        idle = next((name for name, known in self._sources.items() if not known.running and not known.waiting), None)
        if idle is not None:
            del self._sources[idle]
