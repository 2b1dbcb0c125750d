"""Simulated time. Stations take a clock, so that physics can run faster than the wall, or step by step in a test."""

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the simulators know of time."""

    def now(self) -> datetime:
        """The simulated instant, aware, UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait for simulated seconds."""


class ScaledClock:
    """Starts at the wall's time and runs ``scale`` times as fast."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._began = time.monotonic()
        self._start = datetime.fromtimestamp(time.time(), UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._began) * self._scale)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._scale)


class ManualClock:
    """Stands still until ``advance``; whoever sleeps is woken in the order of time."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._count = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._count), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, and everybody due run."""
        end = self._now + timedelta(seconds=seconds)
        await _let_run()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not woken.done():
                woken.set_result(None)
            await _let_run()
        self._now = end


async def _let_run() -> None:
    for _ in range(5):  # a woken task needs a few turns of the loop until it sleeps again
        await asyncio.sleep(0)
