"""Turns meter readings into ledger entries, interval by interval, again when late ones come. P13, P19; A9.

How far everything is settled and what is due again is stored before it is worked off: nothing is forgotten, however
long the server was away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from csms.control.settlement.known import Places, is_untold_resource, known_of
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.prices import Prices
from csms.domain.ids import AreaId, SiteId
from csms.domain.ledger import SettledUntil
from csms.settings import Settings
from csms.store import reads, writes
from policies.flows import Flow, Piece, flows_of, pieces
from policies.settlement import ledger_entries

log = structlog.get_logger()

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
AGAIN_AT_START = timedelta(days=1)
"""So far back is settled again at a start: an answer or a price may have been stored just before the end."""

OPEN_FOR = timedelta(days=31)
"""What lies further back is not settled anew by something late: that month's accounts are closed."""

CHUNK = timedelta(days=1)
FOR_EVER = datetime.max.replace(tzinfo=UTC)


class Settlement:
    """Settles every interval once it is over and its late values had time to come."""

    def __init__(self, ground: Ground, prices: Prices, settings: Settings) -> None:
        self._store = ground.store
        self._prices = prices
        self._clock = ground.clock
        self._interval = settings.settlement.interval
        self._grace = timedelta(seconds=settings.settlement.grace_s)
        self._currency = settings.settlement.currency
        self._areas = {SiteId(site.id): AreaId(site.area) for site in settings.site}
        self._settled: SettledUntil | None = None
        self._changed: list[tuple[datetime, datetime]] = []

    def note_readings(self, since: datetime, until: datetime) -> None:
        """The energy in this time is known better now: what is settled of it already is settled again.

        Registers bound the energy between two readings, so that a late reading changes every interval back to the one
        before it, which may lie one interval back.
        """
        if self._settled is None or since < self._settled.until:
            self._changed.append((since, until))

    def learn(self, change: changes.EnergyKnown) -> None:
        """Readings came in."""
        self.note_readings(change.since, change.until)

    def matched(self, change: changes.Matched) -> None:
        """A user has become known."""
        self.reopen(change.plug_in.plugged_at)

    def ended(self, change: changes.Unplugged) -> None:
        """A plug-in has ended."""
        self.reopen(change.plug_in.unplugged_at or self._clock.now())

    def priced(self, change: changes.PricesPublished) -> None:
        """Prices are others."""
        self.reopen(change.since)

    def event_changed(self, change: changes.EventChanged) -> None:
        """An event is new, or ended early."""
        self.reopen(change.event.cancelled_at or change.event.starts_at)

    def reopen(self, since: datetime) -> None:
        """Settle again from then on: a user has become known, a price was published, an event or a plug-in changed."""
        if self._settled is None or since < self._settled.until:
            self._changed.append((since, FOR_EVER))

    async def run(self) -> int:
        """Settle what is due. Returns the number of entries posted."""
        settled = self._settled or await self._at_start()
        due = await self._due(settled)
        if due != settled:
            await self._store.writer.run(partial(writes.save_settled, settled=due))
        self._settled = due
        if not due.due:
            return 0
        places = await self._places()
        outcomes = {start: await self._settle_or_keep(start, places) for start in sorted(due.due)}
        left = frozenset(start for start, posted in outcomes.items() if posted is None)
        self._settled = replace(due, due=left)
        await self._store.writer.run(partial(writes.save_settled, settled=self._settled))
        return sum(posted or 0 for posted in outcomes.values())

    async def _at_start(self) -> SettledUntil:
        """As it was stored; before the first settlement everything since the first plug-in is due."""
        settled = await self._store.read(reads.settled_until)
        first = await self._store.read(reads.first_plug_in)
        if settled is None:
            return SettledUntil(until=self._floor(first or self._clock.now() - self._grace))
        if first is not None:  # before it there is nothing to book
            self.reopen(max(first, settled.until - AGAIN_AT_START))
        if times := await self._store.read(partial(reads.readings_after, reading_id=settled.reading_id)):
            self.note_readings(*times)
        return settled

    async def _due(self, settled: SettledUntil) -> SettledUntil:
        """With what has changed, and with the intervals that are over now and had a plug-in."""
        changed, self._changed = self._changed, []
        reading_id = await self._store.read(reads.newest_reading)
        again = {
            start for since, until in changed if since < settled.until for start in self._around(since, until, settled)
        }
        last = max(self._floor(self._clock.now() - self._grace), settled.until)
        fresh = await self._plugged(settled.until, last)
        return SettledUntil(until=last, due=settled.due.union(again, fresh), reading_id=reading_id)

    def _around(self, since: datetime, until: datetime, settled: SettledUntil) -> list[datetime]:
        """The settled intervals of a time, and of one interval on either side of it."""
        oldest = max(since, settled.until - OPEN_FOR) - self._interval
        return self._starts(oldest, min(until, settled.until - self._interval) + self._interval)

    async def _plugged(self, since: datetime, until: datetime) -> set[datetime]:
        """The intervals in which something was plugged in; all those of a plug-in that has ended and told no state of
        charge: only now is it known what its vehicle could have taken."""
        found: set[datetime] = set()
        while since < until:
            end = min(since + CHUNK, until)
            for plug_in in await self._store.read(partial(reads.plug_ins, since=since, until=end)):
                has_ended = plug_in.unplugged_at is not None and since <= plug_in.unplugged_at < end
                is_learnt = has_ended and await is_untold_resource(self._store, plug_in)
                first = plug_in.plugged_at if is_learnt else max(plug_in.plugged_at, since)
                found.update(self._starts(first, min(plug_in.unplugged_at or end, end)))
            since = end
        return found

    def _starts(self, since: datetime, until: datetime) -> list[datetime]:
        first = self._floor(since)
        return [first + n * self._interval for n in range(max(0, -((first - until) // self._interval)))]

    def _floor(self, at: datetime) -> datetime:
        return EPOCH + (at - EPOCH) // self._interval * self._interval

    async def _settle_or_keep(self, start: datetime, places: Places) -> int | None:
        """An interval that cannot be settled now does not hold up the others, and is tried again (None)."""
        try:
            return await self.settle(start, min(start + self._interval, self._clock.now()), places)
        except Exception:
            log.exception("settlement.failed", start=start.isoformat())
            return None

    async def settle(self, start: datetime, end: datetime, places: Places) -> int:
        """Settle one market interval over all EVSEs. Idempotent: a second run posts only what has changed."""
        flows = [flow for _, flow in await self._flows(start, end, places)]
        booked = await self._store.read(partial(reads.entries_within, start=start, end=start + self._interval))
        entries = ledger_entries(flows, booked, self._currency, self._clock.now())
        if not entries:
            return 0
        return await self._store.writer.run(partial(writes.post_entries, entries=entries))

    async def flows(self, start: datetime, end: datetime) -> list[tuple[Piece, Flow]]:
        """Metered energy of every plug-in with a user in [start, end), in pieces of one price, answer and command."""
        return await self._flows(start, end, await self._places())

    async def _flows(self, start: datetime, end: datetime, places: Places) -> list[tuple[Piece, Flow]]:
        if start >= end:
            return []
        around = (self._floor(start), self._floor(end - timedelta(microseconds=1)) + self._interval)
        known = await known_of(self._store, places, start, end, around)
        local = self._pieces(frozenset(places.areas.values()), start, end)
        return [pair for each in known for pair in flows_of(each, local[places.areas[each.plug_in.evse.station]])]

    def _pieces(self, areas: Iterable[AreaId], start: datetime, end: datetime) -> Mapping[AreaId, tuple[Piece, ...]]:
        return {area: pieces((start, end), self._interval, self._prices.series(area, start)) for area in areas}

    async def _places(self) -> Places:
        stations = await self._store.read(reads.stations)
        return Places.of(stations, self._areas)
