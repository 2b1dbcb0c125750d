"""The rooms that routes use, one dependency each. A route asks for what it uses and for nothing else."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from csms.control.intake.intake import Intake
from csms.control.permission.driver_view import DriverView
from csms.control.permission.matching import Matching
from csms.control.permission.people import Links, People
from csms.control.permission.permissions import Permissions
from csms.control.settlement.reports import Reports
from csms.control.state.events import Events
from csms.control.state.feed import Feed
from csms.control.state.id_tokens import IdTokens
from csms.control.state.prices import Prices
from csms.control.stations.registry import Registry
from csms.control.system import System
from csms.domain.ports import Clock, Stations
from csms.edge.http.limits import SlidingWindow
from csms.edge.hub import Hub
from csms.settings import Settings
from csms.store import Store

Room = TypeVar("Room")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """All that requests are served from; complete when the application is built (``app.state.served``).

    ``closing``: set when the server closes, so that endless answers end.
    """

    system: System
    hub: Hub
    auth_failures: SlidingWindow
    registrations: SlidingWindow
    codes: SlidingWindow
    running_posts: set[str] = field(default_factory=set)
    closing: asyncio.Event = field(default_factory=asyncio.Event)


def served(system: System, hub: Hub) -> Served:
    """What a new application starts with."""
    security = system.settings.security
    return Served(
        system=system,
        hub=hub,
        auth_failures=SlidingWindow(security.failures_per_minute),
        registrations=SlidingWindow(security.registrations_per_minute),
        codes=SlidingWindow(security.failures_per_minute),
    )


def _room(pick: Callable[[Served], Room]) -> Callable[[Request], Coroutine[Any, Any, Room]]:
    """A dependency; async, because a plain function would be run in a thread."""

    async def room(request: Request) -> Room:
        return pick(request.app.state.served)

    return room


ServedDep = Annotated[Served, Depends(_room(lambda served: served))]
HubDep = Annotated[Hub, Depends(_room(lambda served: served.hub))]
ClockDep = Annotated[Clock, Depends(_room(lambda served: served.system.clock))]
SettingsDep = Annotated[Settings, Depends(_room(lambda served: served.system.settings))]
StoreDep = Annotated[Store, Depends(_room(lambda served: served.system.store))]

StationsDep = Annotated[Stations, Depends(_room(lambda served: served.system.stations))]
RegistryDep = Annotated[Registry, Depends(_room(lambda served: served.system.registry))]
IntakeDep = Annotated[Intake, Depends(_room(lambda served: served.system.rooms.intake))]
PeopleDep = Annotated[People, Depends(_room(lambda served: served.system.people))]
LinksDep = Annotated[Links, Depends(_room(lambda served: served.system.links))]
MatchingDep = Annotated[Matching, Depends(_room(lambda served: served.system.rooms.matching))]
PermissionsDep = Annotated[Permissions, Depends(_room(lambda served: served.system.rooms.permissions))]
DriverViewDep = Annotated[DriverView, Depends(_room(lambda served: served.system.driver_view))]
TokensDep = Annotated[IdTokens, Depends(_room(lambda served: served.system.tokens))]
FeedDep = Annotated[Feed, Depends(_room(lambda served: served.system.feed))]
EventsDep = Annotated[Events, Depends(_room(lambda served: served.system.events))]
PricesDep = Annotated[Prices, Depends(_room(lambda served: served.system.prices))]
ReportsDep = Annotated[Reports, Depends(_room(lambda served: served.system.reports))]
