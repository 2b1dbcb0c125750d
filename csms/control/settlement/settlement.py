"""Turns meter readings into ledger entries, interval by interval, again when late ones come. P13, P19; A9.

How far everything is settled and what is due again is stored before it is worked off: nothing is forgotten, however
long the server was away.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from csms.control.settlement.grid import Grid
from csms.control.settlement.known import Places, at_known_places, flows_beside, known_of
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.prices import Prices
from csms.domain.benefit import BenefitGrant
from csms.domain.ids import AreaId, SiteId
from csms.domain.ledger import OPEN_FOR, LedgerEntry, SettledUntil
from csms.settings import Settings
from csms.store import reads, writes
from policies.benefits import benefit_grants, in_force, settled_intervals
from policies.flows import Flow, Known, Piece, pieces
from policies.plugs import Benefits, Plug
from policies.registers import Span
from policies.settlement import ledger_entries

log = structlog.get_logger()

AGAIN_AT_START = timedelta(days=1)
"""So far back is settled again at a start: an answer or a price may have been stored just before the end. What changes
further back is stored as due when it changes."""

CHUNK = timedelta(days=1)
Benefactors = Sequence[Plug[Benefits]]
FOR_EVER = datetime.max.replace(tzinfo=UTC)


class Settlement:
    """Settles every interval once it is over and its late values had time to come."""

    def __init__(self, ground: Ground, prices: Prices, settings: Settings, benefits: Benefactors = ()) -> None:
        self._store = ground.store
        self._put = ground.put
        self._prices = prices
        self._clock = ground.clock
        self._interval = settings.settlement.interval
        self._grid = Grid(self._interval)
        self._grace = timedelta(seconds=settings.settlement.grace_s)
        self._currency = settings.settlement.currency
        self._areas = {SiteId(site.id): AreaId(site.area) for site in settings.site}
        self._benefits = benefits
        self._known_since: Mapping[str, datetime] = {}
        self._settled: SettledUntil | None = None
        self._has_begun = False
        self._changed: list[tuple[datetime, datetime]] = []

    async def load(self) -> None:
        """How far everything is settled; since when each benefits plug is chosen, a new one is from now on."""
        self._settled = await self._store.read(reads.settled_until)
        learn = partial(writes.learn_benefit_plugs, plugs=[plug.id for plug in self._benefits], at=self._clock.now())
        self._known_since = await self._store.writer.run(learn)

    def note_readings(self, since: datetime, until: datetime) -> None:
        """The energy in this time is known better now: what is settled of it already is settled again.

        Registers bound the energy between two readings: a late one changes every interval from the one before it to the
        one after it, however far they are (``reads.late_spans``).
        """
        if self._settled is None or since < self._settled.until:
            self._changed.append((since, until))

    def learn(self, change: changes.EnergyKnown) -> None:
        """Readings came in."""
        self.note_readings(change.since, change.until)

    def looked_back(self, change: changes.PastKnown) -> None:
        """A transaction's registers are known, of which no reading tells."""
        self.reopen(change.since, change.until)

    def matched(self, change: changes.Matched) -> None:
        """A user has become known."""
        self.reopen(change.plug_in.plugged_at)

    def ended(self, change: changes.Unplugged) -> None:
        """A plug-in has ended. What a vehicle that told nothing could have taken is known only now: where that is heard
        late, all of its stay is settled again (see ``_plugged``)."""
        plug_in = change.plug_in
        end = plug_in.unplugged_at or self._clock.now()
        is_late = self._settled is not None and end < self._settled.until
        self.reopen(plug_in.plugged_at if is_late and plug_in.soc_percent is None else end)

    def priced(self, change: changes.PricesPublished) -> None:
        """Prices are others."""
        self.reopen(change.since)

    def event_changed(self, change: changes.EventChanged) -> None:
        """An event is new, or ended early."""
        self.reopen(change.event.cancelled_at or change.event.starts_at)

    def reopen(self, since: datetime, until: datetime = FOR_EVER) -> None:
        """Settle again from then on: a user has become known, a price was published, an event or a plug-in changed.
        Nothing else may tell of it after a restart: what a start does not settle by itself is stored as due (must hold
        3)."""
        self.note_readings(since, until)
        if self._settled is not None and since < self._settled.until - AGAIN_AT_START:
            self._put(writes.settle_again, starts=self._grid.around(since, until, self._settled.until))

    async def run(self) -> int:
        """Settle what is due; how many entries were posted."""
        settled = self._settled if self._has_begun and self._settled else await self._at_start()
        changed = tuple(self._changed)
        due = await self._due(settled, changed)
        if due != settled:
            await self._save(due, self._changed[len(changed) :])
        del self._changed[: len(changed)]
        self._settled, self._has_begun = due, True
        if not due.due:
            return 0
        places = await self.places()
        outcomes = {start: await self._settle_or_keep(start, places) for start in sorted(due.due)}
        left = frozenset(start for start, posted in outcomes.items() if posted is None)
        self._settled = replace(due, due=left)
        await self._save(self._settled, self._changed)
        return sum(posted or 0 for posted in outcomes.values())

    async def _save(self, settled: SettledUntil, changed: Iterable[tuple[datetime, datetime]]) -> None:
        """How far everything is settled. ``changed``: what came meanwhile, which stays stored as due."""
        again = {start for span in changed for start in self._grid.around(*span, settled.until)}
        await self._store.writer.run(
            partial(writes.save_settled, settled=replace(settled, due=settled.due.union(again)))
        )

    async def _at_start(self) -> SettledUntil:
        """As it was stored; before the first settlement everything since the first plug-in is due."""
        settled = await self._store.read(reads.settled_until)
        first = await self._store.read(reads.first_plug_in)
        if settled is None:
            return SettledUntil(until=self._grid.floor(first or self._clock.now() - self._grace))
        if first is not None:  # before it there is nothing to book
            self.reopen(max(first, settled.until - AGAIN_AT_START))
        if times := await self._store.read(partial(reads.readings_after, reading_id=settled.reading_id)):
            self.note_readings(*times)
        return settled

    async def _due(self, settled: SettledUntil, changed: Sequence[tuple[datetime, datetime]]) -> SettledUntil:
        """With what has changed, and with the intervals that are over now and had a plug-in."""
        reading_id = await self._store.read(reads.newest_reading)
        late = [(since, min(until, settled.until)) for since, until in changed if since < settled.until]
        gaps = await self._store.read(partial(reads.late_spans, reading_id=settled.reading_id, before=settled.until))
        again = {start for span in (*late, *gaps) for start in await self._again(*span, settled)}
        last = max(self._grid.floor(self._clock.now() - self._grace), settled.until)
        fresh = await self._plugged(settled.until, last)
        return SettledUntil(until=last, due=settled.due.union(again, fresh), reading_id=reading_id)

    async def _again(self, since: datetime, until: datetime, settled: SettledUntil) -> list[datetime]:
        """The settled intervals of a time that is known better now, and all of the stay of a vehicle there that has
        left and told no state of charge: what it could have taken follows from each of its readings."""
        found = self._grid.around(since, until, settled.until)
        first = max(since, settled.until - OPEN_FOR) - self._interval
        here = partial(reads.untold_resources, since=first, until=until + self._interval)
        for plug_in in await self._store.read(here):
            found += self._grid.around(plug_in.plugged_at, plug_in.unplugged_at or until, settled.until)
        return found

    async def _plugged(self, since: datetime, until: datetime) -> set[datetime]:
        """The intervals in which something was plugged in; all those of a plug-in that has ended and told no state of
        charge: only now is it known what its vehicle could have taken."""
        found: set[datetime] = set()
        while since < until:
            end = min(since + CHUNK, until)
            for plug_in in await self._store.read(partial(reads.plug_ins, since=since, until=end)):
                found.update(self._grid.starts(max(plug_in.plugged_at, since), min(plug_in.unplugged_at or end, end)))
            for plug_in in await self._store.read(partial(reads.untold_resources, since=since, until=end)):
                if plug_in.unplugged_at is not None and plug_in.unplugged_at <= end:
                    found.update(self._grid.starts(plug_in.plugged_at, plug_in.unplugged_at))
            since = end
        return found

    async def _settle_or_keep(self, start: datetime, places: Places) -> int | None:
        """An interval that cannot be settled now does not hold up the others, and is tried again (None)."""
        try:
            return await self.settle(start, min(start + self._interval, self._clock.now()), places)
        except Exception:
            log.exception("settlement.failed", start=start.isoformat())
            return None

    async def settle(self, start: datetime, end: datetime, places: Places) -> int:
        """Settle one market interval over all EVSEs: a second run posts only what has changed."""
        known = await self._known(start, end, places)
        flows = [flow for _, flow in await self._flows_of(known, start, end)]
        booked = await self._booked(start, places)
        entries = await asyncio.to_thread(ledger_entries, flows, booked, self._currency, self._clock.now())
        grants = await self._grants(flows, start, places)
        if not entries and not grants:
            return 0
        areas = {of_it.plug_in.id: area for area, of_it in known}
        return await self._store.writer.run(partial(writes.post_entries, entries=entries, areas=areas, grants=grants))

    async def _grants(self, flows: Sequence[Flow], start: datetime, places: Places) -> Sequence[BenefitGrant]:
        """What the benefits plugs give for an interval, or take back of it (G6)."""
        interval = Span(start, start + self._interval)
        found = await self._store.read(partial(reads.benefit_grants_within, start=start, end=interval.end))
        granted = await at_known_places(self._store, places, found)
        plugs = in_force(self._benefits, self._known_since, start)
        settled = settled_intervals(flows, interval, self._currency) if plugs or granted else ()
        grants, failed = benefit_grants(settled, granted, plugs, self._clock.now())
        for first in {each.plug: each for each in reversed(failed)}.values():
            log.warning(
                "benefits.failed",
                plug=first.plug,
                plug_in=first.settled.plug_in,
                start=start.isoformat(),
                why=first.why,
            )
        return grants

    async def _booked(self, start: datetime, places: Places) -> Mapping[str, Sequence[LedgerEntry]]:
        """What is booked of an interval."""
        booked = await self._store.read(partial(reads.entries_within, start=start, end=start + self._interval))
        return await at_known_places(self._store, places, booked)

    async def flows(self, start: datetime, end: datetime) -> list[tuple[Piece, Flow]]:
        """Metered energy of every plug-in with a user in [start, end), in pieces of one price, answer and command."""
        return await self._flows_of(await self._known(start, end, await self.places()), start, end)

    async def _known(self, start: datetime, end: datetime, places: Places) -> list[tuple[AreaId, Known]]:
        if start >= end:
            return []
        around = (self._grid.floor(start), self._grid.floor(end - timedelta(microseconds=1)) + self._interval)
        return await known_of(self._store, places, start, end, around)

    async def _flows_of(
        self, known: Sequence[tuple[AreaId, Known]], start: datetime, end: datetime
    ) -> list[tuple[Piece, Flow]]:
        local = {area: self._pieces(area, start, end) for area in {area for area, _ in known}}
        return await flows_beside(known, local)

    def _pieces(self, area: AreaId, start: datetime, end: datetime) -> tuple[Piece, ...]:
        """A tariff begins with a step of its own, so that no piece has two currencies."""
        found = pieces((start, end), self._interval, self._prices.series(area, start, end))
        return tuple(replace(piece, currency=self._prices.currency(area, piece.start)) for piece in found)

    async def places(self) -> Places:
        """Where energy is settled."""
        stations = await self._store.read(reads.stations)
        return Places.of(stations, self._areas)
