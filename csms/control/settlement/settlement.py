"""Turns meter readings into ledger entries, interval by interval, again when late ones come. P13, P19."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.prices import Prices
from csms.domain.ids import AreaId, EvseRef, SiteId
from csms.domain.metering import StoredReading
from csms.domain.permission import PlugIn
from csms.settings import Settings
from csms.store import Store, reads, writes
from policies.flows import Flow, Piece, flows_of, pieces
from policies.settlement import ledger_entries

log = structlog.get_logger()

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
LOOK_BACK = timedelta(days=1)
"""After a start, intervals this far back are settled again; what was booked already adds nothing."""

LONGEST_GAP = timedelta(days=7)
"""Readings further apart settle nothing anew by themselves."""

OPEN_FOR = timedelta(days=31)
"""What lies further back is not settled anew because of a price or an event: that month's accounts are closed."""

UNRATED_W = 400_000
"""For an EVSE whose rating nobody gave: above every one there is."""


async def ratings(store: Store) -> dict[EvseRef, int]:
    """The most power that each provisioned EVSE can pass, W: registers that move faster have jumped."""
    stations = await store.read(reads.stations)
    return {
        evse.ref: max(evse.ratings.max_charge_w, evse.ratings.max_discharge_w)
        for station in stations
        for evse in station.evses
    }


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
        self._settled_until = self._floor(ground.clock.now() - LOOK_BACK)
        self._late: set[datetime] = set()
        self._began = False

    def note_readings(self, since: datetime, until: datetime) -> None:
        """The energy in this time is known better now: what is settled of it already is settled again.

        Registers bound the energy between two readings, so that a late reading changes every interval back to the one
        before it, which may lie one interval back.
        """
        if since < self._settled_until:
            oldest = max(since - self._interval, self._settled_until - LONGEST_GAP)
            self._late.update(self._starts(oldest, min(until + self._interval, self._settled_until)))

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
        self._late.update(self._starts(max(since, self._settled_until - OPEN_FOR), self._settled_until))

    def _starts(self, since: datetime, until: datetime) -> list[datetime]:
        first = self._floor(since)
        return [first + n * self._interval for n in range(max(0, -((first - until) // self._interval)))]

    async def run(self) -> int:
        """Settle what is due. Returns the number of entries posted."""
        last = self._floor(self._clock.now() - self._grace)
        if not self._began:
            await self._skip_empty(last)
        while self._settled_until < last:
            self._late.add(self._settled_until)
            self._settled_until += self._interval
        due, self._late = sorted(self._late), set()
        return sum([await self._settle_or_keep(start) for start in due])

    async def _skip_empty(self, last: datetime) -> None:
        """At the start: nothing can be settled before the first plug-in."""
        plug_ins = await self._store.read(partial(reads.plug_ins, since=self._settled_until, until=last))
        first = min((plug_in.plugged_at for plug_in in plug_ins), default=last)
        self._settled_until = max(self._settled_until, self._floor(first))
        self._began = True

    async def _settle_or_keep(self, start: datetime) -> int:
        """An interval that cannot be settled now does not hold up the others, and is tried again."""
        try:
            return await self.settle(start, min(start + self._interval, self._clock.now()))
        except Exception:
            self._late.add(start)
            log.exception("settlement.failed", start=start.isoformat())
            return 0

    def _floor(self, at: datetime) -> datetime:
        return EPOCH + (at - EPOCH) // self._interval * self._interval

    async def settle(self, start: datetime, end: datetime) -> int:
        """Settle one market interval over all EVSEs. Idempotent: a second run posts only what has changed."""
        flows = [flow for _, flow in await self.flows(start, end)]
        booked = await self._store.read(partial(reads.entries_within, start=start, end=end))
        entries = ledger_entries(flows, booked, self._currency, self._clock.now())
        if not entries:
            return 0
        return await self._store.writer.run(partial(writes.post_entries, entries=entries))

    async def flows(self, start: datetime, end: datetime) -> list[tuple[Piece, Flow]]:
        """Metered energy of every plug-in with a user in [start, end), in pieces of one price and one answer."""
        plug_ins = await self._store.read(partial(reads.plug_ins, since=start, until=end)) if start < end else []
        owned = [plug_in for plug_in in plug_ins if plug_in.user is not None]
        if not owned:
            return []
        histories = await self._store.read(partial(reads.permission_histories, plug_ins=[each.id for each in owned]))
        areas = await self._areas_of_stations()
        local = await self._pieces(frozenset(areas.values()), start, end)
        rated = await ratings(self._store)
        found: list[tuple[Piece, Flow]] = []
        for plug_in in owned:
            if (area := areas.get(plug_in.evse.station)) is not None:
                stored = await self._readings(plug_in, start, end)
                max_w = rated.get(plug_in.evse, UNRATED_W)
                found += flows_of(plug_in, histories[plug_in.id], stored, local[area], max_w)
        return found

    async def _areas_of_stations(self) -> dict[str, AreaId]:
        stations = await self._store.read(reads.stations)
        return {station.id: self._areas[station.site] for station in stations if station.site in self._areas}

    async def _pieces(self, areas: Iterable[AreaId], start: datetime, end: datetime) -> dict[AreaId, tuple[Piece, ...]]:
        events = await self._store.read(partial(reads.dr_events, since=start, until=end))
        span = (start, end)
        return {area: pieces(span, self._interval, area, events, self._prices.series(area, start)) for area in areas}

    async def _readings(self, plug_in: PlugIn, start: datetime, end: datetime) -> list[StoredReading]:
        first, last = max(start, plug_in.plugged_at), min(end, plug_in.unplugged_at or end)
        return await self._store.read(partial(reads.readings, evse=plug_in.evse, start=first, end=last))
