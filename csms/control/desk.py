"""What the outside (API, driver's page, command line) may ask of the control. Errors are those of domain.errors."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import structlog

from csms.control.permission import driver_view
from csms.control.permission.answers import Said
from csms.control.permission.driver_view import DriverState
from csms.control.permission.people import Registered
from csms.control.settlement import audit, performance
from csms.control.settlement.performance import DrReport
from csms.control.state import changes
from csms.control.state.feed import Wakeups
from csms.control.stations import views
from csms.control.stations.admission import hash_password
from csms.control.stations.views import StationView
from csms.control.system import System
from csms.domain.commands import Command, Trigger, TriggerKind
from csms.domain.conditions import Conditions, Pattern
from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import Conflict, NotFound
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, StationId, UserId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.domain.permission import Channel, PlugIn
from csms.domain.ports import Clock, Stations
from csms.domain.station import BootState, Station
from csms.domain.tariff import PriceStep
from csms.settings import Settings
from csms.store import Store, writes

Frames = Callable[[StationId], Sequence[tuple[datetime, str, str]]]
Counters = Callable[[StationId], Mapping[str, int]]


log = structlog.get_logger()


class Desk:
    """The front of the control. ``frames`` and ``counters`` are the edge's, per station."""

    def __init__(self, system: System, frames: Frames, counters: Counters) -> None:
        self._system = system
        self.frames = frames
        self._counters = counters

    @property
    def clock(self) -> Clock:
        return self._system.clock

    @property
    def settings(self) -> Settings:
        return self._system.settings

    @property
    def store(self) -> Store:
        return self._system.store

    @property
    def stations(self) -> Stations:
        return self._system.stations

    @property
    def is_ready(self) -> bool:
        return self._system.is_ready

    def station_view(self, station: StationId) -> StationView | None:
        live = self._system.live.station(station)
        return None if live is None else views.station_view(live, self._counters(station))

    def station_views(self) -> list[StationView]:
        return [views.station_view(live, self._counters(id_)) for id_, live in self._system.live.stations.items()]

    async def add_station(self, station: Station, password: str) -> None:
        """Provision a station. Conflict: it exists; NotFound: unknown site; BadRequest: the password."""
        if station.id in self._system.live.stations:
            raise Conflict(f"station {station.id} exists already", field="id")
        if station.site not in {site.id for site in self._system.settings.site}:
            raise NotFound(f"site: there is no [[site]] {station.site}", field="site")
        hashed = hash_password(password)
        await self._system.store.writer.run(partial(writes.upsert_station, station=station, password_hash=hashed))
        added = self._system.live.add(station, self._system.quirks_for(None, station))
        self._system.rooms.setup.level(changes.FleetChanged(added))

    async def change_station(self, station: StationId, registration: BootState | None, password: str | None) -> None:
        """Change what is given. A station whose registration changed is asked to boot, so that it hears of it."""
        live = self._system.live.station(station)
        if live is None:
            raise NotFound(f"there is no station {station}")
        changed = replace(live.station, registration=registration or live.station.registration)
        hashed = hash_password(password) if password else None
        await self.store.writer.run(partial(writes.upsert_station, station=changed, password_hash=hashed))
        is_new = changed.registration is not live.station.registration
        live.station = replace(live.station, registration=changed.registration)
        if hashed:
            self._system.admission.forget(station)
        if is_new:
            boot = Trigger(evse=EvseRef(station, 0), kind=TriggerKind.BOOT)
            self._system.tasks.spawn(self._ask(boot))

    async def _ask(self, command: Command) -> None:
        """Send a command whose outcome shows in what the station says next."""
        log.info("station.asked", outcome=repr(await self.stations.send(command)))

    async def register_driver(self, evse: EvseRef, name: str, vehicle: Any, language: str) -> Registered:
        """P1: a driver at this EVSE signs up in one form; a plug-in that waits there becomes theirs."""
        wanted = Vehicle(id=vehicle.get("id", ""), user=UserId(""), **{k: v for k, v in vehicle.items() if k != "id"})
        registered = await self._system.people.register(name, wanted, language)
        await self._system.rooms.permissions.claim(registered.user.id, evse)
        return registered

    async def user_of_terminal(self, token: str) -> User | None:
        return await self._system.people.of_terminal(token)

    async def claim(self, user: UserId, evse: EvseRef) -> PlugIn | None:
        return await self._system.rooms.permissions.claim(user, evse)

    async def answer(
        self,
        plug_in: PlugInId,
        user: UserId,
        granted: bool,  # noqa: FBT001  the user's yes or no
        conditions: Conditions | None,
        channel: Channel,
    ) -> PlugIn:
        said = Said(granted=granted, conditions=conditions, channel=channel)
        return await self._system.rooms.permissions.answer(plug_in, user, said)

    async def save_pattern(self, user: UserId, pattern: Pattern) -> None:
        await self._system.rooms.permissions.keep(user, pattern)

    async def create_event(self, event: DrEvent) -> DrEvent:
        return await self._system.events.create(event)

    async def cancel_event(self, event: DrEventId) -> DrEvent:
        return await self._system.events.cancel(event)

    async def event_report(self, event: DrEventId) -> DrReport:
        return await performance.event_report(
            self._system.store,
            self._system.rooms.settlement,
            await self._system.events.get(event),
            self._system.clock.now(),
        )

    async def audit(self) -> audit.Audit:
        """What must be zero, from the store."""
        return await audit.audit(self._system.store, self._system.clock)

    async def put_prices(self, area: AreaId, steps: Sequence[PriceStep], until: datetime | None) -> None:
        await self._system.prices.put(area, steps, until)

    def price_now(self, area: AreaId) -> tuple[Decimal, str]:
        """Tariff per kWh in force, and its currency."""
        now = self._system.clock.now()
        series = self._system.prices.series(area, now)
        return series.at(now), series.currency

    async def put_id_token(self, record: IdTokenRecord) -> None:
        await self._system.store.writer.run(partial(writes.upsert_id_token, record=record))
        self._system.tokens.put(record)

    def driver_state(self, user: UserId) -> DriverState:
        """What a user's terminal shows now."""
        evse = self._system.live.of_user(user)
        now = self._system.clock.now()
        site = evse.evse.site if evse else None
        area = AreaId(next((s.area for s in self._system.settings.site if s.id == site), "default"))
        tariff, currency = self.price_now(area) if evse else (None, self._system.settings.settlement.currency)
        active = [e for e in self._system.events.open() if e.is_active(now) and e.covers(area)]
        down = next((e for e in active if e.direction is Direction.DOWN), None)
        return driver_view.driver_state(evse, tariff, down, currency, event_active=bool(active))

    @asynccontextmanager
    async def subscribe(self, user: UserId) -> AsyncIterator[Wakeups]:
        with self._system.feed.subscribe(user) as wakeups:
            yield wakeups

    def links(self, evse: EvseRef) -> str:
        return self._system.links.of(evse)

    def evse_of_link(self, station: str, evse: int, signature: str) -> EvseRef | None:
        return self._system.links.evse(station, evse, signature)
