"""DR events: taken, kept, reported. P12; requirement G11."""

import secrets
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import structlog

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.domain.dr import DrEvent
from csms.domain.errors import BadRequest, Conflict, NotFound
from csms.domain.ids import AreaId, DrEventId
from csms.store import reads, writes

log = structlog.get_logger()


class Events:
    """The DR events that have not ended; the rest is in the store."""

    def __init__(self, ground: Ground, areas: Iterable[AreaId]) -> None:
        self._store = ground.store
        self._clock = ground.clock
        self._emit = ground.emit
        self._areas = frozenset(areas)
        self._open: dict[DrEventId, DrEvent] = {}

    def load(self, events: Iterable[DrEvent]) -> None:
        self._open.update((event.id, event) for event in events)

    def open(self) -> list[DrEvent]:
        """Those that run or will run."""
        now = self._clock.now()
        self._open = {id_: event for id_, event in self._open.items() if event.stops_at > now}
        return list(self._open.values())

    async def create(self, event: DrEvent) -> DrEvent:
        """Take an event in; durable when it returns. BadRequest: an area without a tariff, or a beginning in the past:
        nobody can be asked for what is over, nor paid for it (A5)."""
        if unknown := event.areas - self._areas:
            known = ", ".join(sorted(self._areas))
            raise BadRequest(f"there is no area {min(unknown)}; the configuration has {known}", field="areas")
        now = self._clock.now()
        if event.ends_at <= now:
            raise BadRequest("ends_at is in the past; it must be later than now", field="ends_at")
        if event.starts_at < event.created_at:
            text = f"starts_at: {event.starts_at.isoformat()} is in the past; leave it out to start now"
            raise BadRequest(text, field="starts_at")
        event = replace(event, starts_at=max(event.starts_at, now))  # to start now is not to start in the past
        await self._store.writer.run(partial(writes.save_dr_event, event=event))
        self._open[event.id] = event
        log.info("dr.created", dr_event=event.id, direction=event.direction, requested_w=event.requested_w)
        self._emit(changes.EventChanged(event))
        return event

    async def cancel(self, id_: DrEventId) -> DrEvent:
        """End an event now. Raises NotFound; Conflict when it is over."""
        event = await self.get(id_)
        now = self._clock.now()
        if event.stops_at <= now:
            raise Conflict("the event is over already")
        cancelled = replace(event, cancelled_at=now)
        await self._store.writer.run(partial(writes.save_dr_event, event=cancelled))
        self._open.pop(id_, None)
        self._emit(changes.EventChanged(cancelled))
        return cancelled

    async def get(self, id_: DrEventId) -> DrEvent:
        event = self._open.get(id_) or await self._store.read(partial(reads.dr_event, id=id_))
        if event is None:
            raise NotFound(f"there is no DR event {id_}", field="event")
        return event


def new_event_id() -> DrEventId:
    return DrEventId(f"dr-{secrets.token_hex(6)}")
