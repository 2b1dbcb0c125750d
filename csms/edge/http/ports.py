"""What the HTTP side needs from the control, as Protocols; the composition root gives the real one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from csms.control.permission.driver_view import DriverState
from csms.control.permission.people import Registered
from csms.control.settlement.audit import Audit
from csms.control.settlement.performance import DrReport
from csms.control.stations.views import StationView
from csms.domain.conditions import Conditions, Pattern
from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, StationId, UserId
from csms.domain.people import IdTokenRecord, User
from csms.domain.permission import Channel, PlugIn
from csms.domain.ports import Clock, Stations
from csms.domain.station import BootState, Station
from csms.domain.tariff import PriceStep
from csms.settings import Settings

T = TypeVar("T")


class Writer(Protocol):
    """The store's one writer."""

    async def run(self, work: Callable[[Any], T]) -> T:
        """Run ``work`` in the next commit; durable when it returns."""
        ...


class Store(Protocol):
    """The store: queries run in a reader thread on a connection that only ``csms.store`` looks into."""

    @property
    def writer(self) -> Writer: ...

    async def read(self, query: Callable[[Any], T]) -> T: ...


class Wakeups(Protocol):
    """Tells that a user's state changed."""

    async def wait(self) -> object:
        """Returns at the next change, at once when one was missed; several changes are one."""
        ...


class Control(Protocol):
    """Everything that waits and decides, as the HTTP side sees it. Errors are those of ``csms.domain.errors``."""

    @property
    def clock(self) -> Clock: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def stations(self) -> Stations: ...
    @property
    def is_ready(self) -> bool: ...

    def station_view(self, station: StationId) -> StationView | None: ...
    def station_views(self) -> Sequence[StationView]: ...
    async def add_station(self, station: Station, password: str) -> None: ...
    async def change_station(
        self, station: StationId, registration: BootState | None, password: str | None
    ) -> None: ...
    async def register_driver(
        self, evse: EvseRef, name: str, vehicle: Mapping[str, Any], language: str
    ) -> Registered: ...
    async def user_of_terminal(self, token: str) -> User | None: ...
    async def claim(self, user: UserId, evse: EvseRef) -> PlugIn | None: ...
    async def answer(
        self,
        plug_in: PlugInId,
        user: UserId,
        granted: bool,  # noqa: FBT001 (the user's yes or no)
        conditions: Conditions | None,
        channel: Channel,
    ) -> PlugIn: ...
    async def save_pattern(self, user: UserId, pattern: Pattern) -> None: ...
    async def create_event(self, event: DrEvent) -> DrEvent: ...
    async def cancel_event(self, event: DrEventId) -> DrEvent: ...
    async def event_report(self, event: DrEventId) -> DrReport: ...
    async def audit(self) -> Audit: ...
    async def put_prices(self, area: AreaId, steps: Sequence[PriceStep], until: datetime | None) -> None: ...
    def price_now(self, area: AreaId) -> tuple[Decimal, str]: ...
    async def put_id_token(self, record: IdTokenRecord) -> None: ...
    def driver_state(self, user: UserId) -> DriverState: ...
    def subscribe(self, user: UserId) -> AbstractAsyncContextManager[Wakeups]: ...
    def links(self, evse: EvseRef) -> str: ...
    def evse_of_link(self, station: str, evse: int, signature: str) -> EvseRef | None: ...

    def frames(self, station: StationId) -> Sequence[tuple[datetime, str, str]]:
        """The last frames of a station as (at, "in" or "out", text), oldest first."""
        ...
