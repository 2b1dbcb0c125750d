"""What is no longer needed goes, in slices so small that nobody's message waits for them (design §3)."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from csms.domain.ports import Clock
from csms.settings import Retention as Days
from csms.store import Store
from csms.store.needed import Needed, needed
from csms.store.pruning import KINDS, MOST_ROWS, Kind, Slice, prunable, prune

log = structlog.get_logger()

SLICE_S: Final = 0.003
"""A slice aims at this; the next one takes fewer rows, or more."""
REST: Final = 9
"""Between slices the writer is left alone so many times as long as one took."""
FEWEST_ROWS: Final = 10
FIRST_ROWS: Final = 50

WHATEVER_IS_SETTLED: Final = frozenset({"quarantine", "requests"})
"""No energy is computed from these."""


class Part(NamedTuple):
    """What of one kind is older than its setting says. ``cut``: whole days, in UTC."""

    name: str
    kind: Kind
    cut: datetime
    needed: Needed


class Outcome(NamedTuple):
    """Rows of a table that went, or would go."""

    name: str
    table: str
    cut: datetime
    rows: int


class Retention:
    """Lets go, day by day, of what is older than ``[retention]`` says."""

    def __init__(self, store: Store, clock: Clock, days: Days) -> None:
        self._store = store
        self._clock = clock
        self._days = days
        self._done: dict[str, datetime] = {}

    async def run(self) -> list[Outcome]:
        """Let go of what has become old enough since the last time; what went."""
        outcomes = [await self._let_go(part) for part in await self._parts()]
        self._done = self._cuts()
        went = {outcome.table: outcome.rows for outcome in outcomes if outcome.rows}
        if went:
            log.info("retention.pruned", **went)
        return outcomes

    async def look(self) -> list[Outcome]:
        """What ``run`` would let go of."""
        found = []
        for part in await self._parts():
            count = partial(prunable, kind=part.kind, cut=part.cut, needed=part.needed)
            found.append(Outcome(part.name, part.kind.table.name, part.cut, await self._store.read(count)))
        return found

    def _cuts(self) -> dict[str, datetime]:
        """From when on each kind is kept, whatever is still needed of what is older."""
        today = self._clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return {name: today - timedelta(days=getattr(self._days, f"{name}_days")) for name in KINDS}

    async def _parts(self) -> list[Part]:
        """A day that was worked off is not looked at again."""
        cuts = self._cuts()
        if cuts == self._done:
            return []
        look = partial(needed, now=self._clock.now(), frames_cut=cuts["frames"])
        what = await self._store.read(look)
        return list(_parts_of(cuts, what))

    async def _let_go(self, part: Part) -> Outcome:
        gone, last, limit = 0, None, FIRST_ROWS
        while True:
            took_s, done = await self._store.writer.run(partial(_timed, part=part, after=last, limit=limit))
            gone, last = gone + done.gone, done.last
            if last is None:
                return Outcome(part.name, part.kind.table.name, part.cut, gone)
            limit = _next_limit(limit, took_s)
            await asyncio.sleep(REST * took_s)


def _parts_of(cuts: dict[str, datetime], what: Needed) -> Iterator[Part]:
    for name, kinds in KINDS.items():
        cut = cuts[name] if name in WHATEVER_IS_SETTLED else min(cuts[name], what.since)
        yield from (Part(name, kind, cut, what) for kind in kinds)


def _timed(conn: Any, part: Part, after: tuple[Any, ...] | None, limit: int) -> tuple[float, Slice]:
    begun = time.perf_counter()
    done = prune(conn, part.kind, part.cut, part.needed, after, limit)
    return time.perf_counter() - begun, done


def _next_limit(limit: int, took_s: float) -> int:
    """Half as many, or a half more; a slice that took about as long as it should says nothing."""
    if took_s > SLICE_S:
        return max(limit // 2, FEWEST_ROWS)
    return min(limit * 3 // 2, MOST_ROWS) if took_s < SLICE_S / 2 else limit
