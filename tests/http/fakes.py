"""A control that remembers what it was told, beside a real store; and the things tests of the HTTP side need."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from csms.control.permission.driver_view import DriverState
from csms.control.permission.people import Registered
from csms.control.settlement.audit import Audit
from csms.control.settlement.performance import DrReport, IntervalReport
from csms.control.stations.views import EvseView, StationView
from csms.domain.commands import CallOutcome, CallResult
from csms.domain.conditions import Conditions, Pattern
from csms.domain.dr import DrEvent
from csms.domain.errors import Conflict, NotFound
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, SiteId, StationId, UserId, VehicleId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.station import Evse, ProbeState, SetpointDriver, Station, Version
from csms.domain.tariff import PriceStep
from csms.settings import Settings
from csms.store import Store, writes

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
STATION = StationId("ST-1")
EVSE = EvseRef(STATION, 1)
SIGNATURE = "good"
LINK = f"http://tidewatt.example/d/e/{STATION}/1?s={SIGNATURE}"
TOKENS = {scope: f"token-of-{scope}" for scope in ("operator", "host", "driver", "facility", "shop", "read")}


@dataclass
class StoppedClock:
    """Time moves only when a test says so."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


@dataclass
class FakeStations:
    """Every station gives the same answer; calls are kept with their keys in order."""

    answer: CallOutcome = CallResult({"status": "Accepted"})
    calls: list[tuple[str, str, list[str], float]] = field(default_factory=list)

    def version_of(self, station: StationId) -> Version | None:
        return Version.V16

    async def send(self, command: Any) -> Any:
        raise NotImplementedError

    async def call(self, station: StationId, action: str, payload: Mapping[str, Any], timeout_s: float) -> CallOutcome:
        self.calls.append((station, action, list(payload), timeout_s))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Bell:
    """One subscriber's wakeups."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    async def wait(self) -> None:
        await self.rung.wait()
        self.rung.clear()


class FakeControl:
    """Meets ``csms.edge.http.ports.Control``: live state in dictionaries, what is kept in the real store."""

    def __init__(self, store: Store, settings: Settings | None = None) -> None:
        self.store, self.settings, self.clock = store, settings or Settings(), StoppedClock()
        self.stations = FakeStations()
        self.is_ready = True
        self.views = {STATION: station_view(STATION)}
        self.users: dict[str, User] = {}
        self.plug_ins: dict[UserId, PlugIn] = {}
        self.live: dict[str, Any] = {"power_w": 0, "soc_percent": 62.0, "event_active": False}
        self.events: dict[DrEventId, DrEvent] = {}
        self.told: list[tuple[str, Any]] = []
        self.bells: dict[UserId, set[Bell]] = {}

    def station_view(self, station: StationId) -> StationView | None:
        return self.views.get(station)

    def station_views(self) -> Sequence[StationView]:
        return list(self.views.values())

    async def add_station(self, station: Station, password: str) -> None:
        if station.id in self.views:
            raise Conflict(f"station {station.id} exists already", field="id")
        self.told.append(("add_station", station))
        self.views[station.id] = station_view(station.id, station)

    async def register_driver(self, evse: EvseRef, name: str, vehicle: Mapping[str, Any], language: str) -> Registered:
        number = len(self.users) + 1
        user = User(id=UserId(f"u-{number}"), name=name, language=language, created_at=self.clock.now())
        owned = Vehicle(id=VehicleId(f"v-{number}"), user=user.id, **vehicle)
        token = f"terminal-{number}"
        self.users[token] = user

        def write(conn: Any) -> None:
            writes.add_user(conn, user)
            writes.add_vehicle(conn, owned)

        await self.store.writer.run(write)
        await self.claim(user.id, evse)
        return Registered(user=user, vehicle=owned, terminal_token=token)

    async def user_of_terminal(self, token: str) -> User | None:
        return self.users.get(token)

    async def claim(self, user: UserId, evse: EvseRef) -> PlugIn | None:
        self.told.append(("claim", (user, evse)))
        return self.plug_ins.get(user)

    async def answer(
        self, plug_in: PlugInId, user: UserId, granted: bool, conditions: Conditions | None, channel: Channel
    ) -> PlugIn:
        known = self.plug_ins.get(user)
        if known is None or known.id != plug_in:
            raise NotFound(f"there is no plug-in {plug_in} of yours", field="plug_in")
        self.told.append(("answer", (plug_in, granted, conditions, channel)))
        state = PermissionState.GRANTED if granted else PermissionState.REFUSED
        permission = replace(known.permission, state=state, conditions=conditions, answered_at=self.clock.now())
        self.plug_in(user, replace(known, permission=permission))
        return self.plug_ins[user]

    async def save_pattern(self, user: UserId, pattern: Pattern) -> None:
        await self.store.writer.run(lambda conn: writes.save_pattern(conn, user, pattern))
        self.ring(user)

    async def create_event(self, event: DrEvent) -> DrEvent:
        await self.store.writer.run(lambda conn: writes.save_dr_event(conn, event))
        self.events[event.id] = event
        return event

    async def cancel_event(self, event: DrEventId) -> DrEvent:
        known = (await self.event_report(event)).event
        return await self.create_event(replace(known, cancelled_at=self.clock.now()))

    async def event_report(self, event: DrEventId) -> DrReport:
        if event not in self.events:
            raise NotFound(f"there is no DR event {event}", field="event")
        return dr_report(self.events[event])

    async def audit(self) -> Audit:
        return Audit(discharged_without_permission_wh=0, below_required_charge=0)

    async def put_prices(self, area: AreaId, steps: Sequence[PriceStep], until: datetime | None) -> None:
        now = self.clock.now()
        await self.store.writer.run(lambda conn: writes.save_prices(conn, area, steps, until, now))

    def price_now(self, area: AreaId) -> tuple[Decimal, str]:
        return Decimal(30), "JPY"

    async def put_id_token(self, record: IdTokenRecord) -> None:
        await self.store.writer.run(lambda conn: writes.upsert_id_token(conn, record))

    def driver_state(self, user: UserId) -> DriverState:
        plug_in = self.plug_ins.get(user)
        return DriverState(
            plug_in=plug_in,
            station_name=plug_in.evse.station if plug_in else None,
            setpoint_w=None,
            reasons=(),
            price_per_kwh=Decimal("31.5"),
            sell_per_kwh=None,
            currency="JPY",
            **self.live,
        )

    @asynccontextmanager
    async def subscribe(self, user: UserId) -> AsyncIterator[Bell]:
        bell = Bell()
        self.bells.setdefault(user, set()).add(bell)
        try:
            yield bell
        finally:
            self.bells[user].discard(bell)

    def frames(self, station: StationId) -> Sequence[tuple[datetime, str, str]]:
        return [(NOON, "in", '[2,"1","Heartbeat",{}]')]

    def links(self, evse: EvseRef) -> str:
        return f"http://tidewatt.example/d/e/{evse.station}/{evse.evse}?s={SIGNATURE}"

    def evse_of_link(self, station: str, evse: int, signature: str) -> EvseRef | None:
        known = signature == SIGNATURE and station in self.views
        return EvseRef(StationId(station), evse) if known else None

    def plug_in(self, user: UserId, plug_in: PlugIn) -> None:
        """The control noticed something; the user's pages hear of it."""
        self.plug_ins[user] = plug_in
        self.ring(user)

    def ring(self, user: UserId) -> None:
        for bell in self.bells.get(user, ()):
            bell.rung.set()


def station_view(id_: StationId, station: Station | None = None) -> StationView:
    """A station that is online with idle EVSEs."""
    known = station or Station(
        id=id_, site=SiteId("default"), evses=(Evse(ref=EVSE, site=SiteId("default")),), host="inn"
    )
    return StationView(
        station=known,
        online=True,
        version=Version.V16,
        boot_state=known.boot_state,
        last_heard_at=NOON,
        evses=tuple(evse_view(evse) for evse in known.evses),
        counters={},
    )


def evse_view(evse: Evse) -> EvseView:
    """An EVSE with nothing plugged in."""
    return EvseView(
        evse=evse,
        statuses=(),
        power_w=None,
        soc_percent=None,
        plug_in=None,
        driver=SetpointDriver.CHARGE_ONLY,
        probe=ProbeState.UNTRIED,
        level="full",
        setpoint_w=None,
    )


def dr_report(event: DrEvent) -> DrReport:
    """A report of an event of which half came."""
    interval = IntervalReport(
        start=event.starts_at,
        end=event.ends_at,
        requested_wh=1000,
        allotted_wh=800,
        delivered_wh=500,
        quality="measured",
    )
    return DrReport(
        event=event,
        capacity_w=4000,
        requested_wh=1000,
        allotted_wh=800,
        delivered_wh=500,
        achievement=0.5,
        intervals=(interval,),
        evses=(),
    )


def asked(user: str, now: datetime = NOON, plug_in: str = "p-1") -> PlugIn:
    """A plug-in whose question is open."""
    permission = Permission(state=PermissionState.ASKED, asked_at=now, expires_at=now + timedelta(minutes=5))
    return PlugIn(id=PlugInId(plug_in), evse=EVSE, plugged_at=now, user=UserId(user), permission=permission)


async def add_tokens(store: Store) -> None:
    """One API token per scope; the host is "inn", the driver "u-1"."""
    names = {"host": "inn", "driver": "u-1"}
    for scope, token in TOKENS.items():
        hashed, name = hashlib.sha256(token.encode()).hexdigest(), names.get(scope, scope)
        await store.writer.run(lambda conn, h=hashed, s=scope, n=name: writes.add_api_token(conn, h, s, n, NOON))


def bearer(scope: str = "operator") -> dict[str, str]:
    """The header of a token with a scope."""
    return {"Authorization": f"Bearer {TOKENS[scope]}"}


def registration(**changes: Any) -> dict[str, Any]:
    """The form a new driver sends."""
    vehicle = {"name": "Leaf", "capacity_wh": 40_000, "max_charge_w": 6_000, "max_discharge_w": 6_000}
    return {"link": LINK, "name": "Aiko", "language": "ja", "vehicle": vehicle} | changes
