"""The driver's page: its JSON under /d/api, its static files under /d. P1, P3-P10, P13; V2G-27."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import Field
from sse_starlette import EventSourceResponse

from csms import edge
from csms.control.permission.answers import Said
from csms.control.permission.people import Links
from csms.control.permission.sign_up import sign_up
from csms.domain.conditions import Pattern
from csms.domain.errors import BadRequest, CsmsError
from csms.domain.ids import PlugInId, VehicleId
from csms.edge.http import links, shapes
from csms.edge.http.auth import TERMINAL_COOKIE, UserDep, address_of
from csms.edge.http.driver_people import VehicleBody, same_site_json, set_terminal
from csms.edge.http.driver_state import DriverPageDep, balance_json, balance_of, default_period, plug_in_json
from csms.edge.http.history import history_json
from csms.edge.http.patterns import MINE
from csms.edge.http.rooms import (
    ClockDep,
    FeedDep,
    LinksDep,
    MatchingDep,
    PeopleDep,
    PermissionsDep,
    RegistryDep,
    ServedDep,
    SettingsDep,
    StoreDep,
)
from csms.edge.http.streams import stream_of
from csms.store import reads

FILES = Path(edge.__file__).parent / "driver" / "static"
COOKIE_AGE_S = 400 * 24 * 3600
HISTORY_LIMIT = 500
HISTORY_ENTRIES = 5_000


async def registration_limit(request: Request, served: ServedDep, clock: ClockDep) -> None:
    """429 when one address registers too many drivers."""
    window, now, address = served.registrations, clock.now(), address_of(request)
    if window.is_full(address, now):
        raise HTTPException(429, "too many registrations from here; wait a minute", {"Retry-After": "60"})
    window.add(address, now)


async def period_of(
    clock: ClockDep,
    start: Annotated[shapes.When | None, Query(alias="from")] = None,
    end: Annotated[shapes.When | None, Query(alias="to")] = None,
) -> tuple[datetime, datetime]:
    """[from, to) of the query. BadRequest when it is upside down."""
    period = default_period(clock.now(), start, end)
    if period[1] <= period[0]:
        raise BadRequest("`to` must be later than `from`", field="to")
    return period


PeriodDep = Annotated[tuple[datetime, datetime], Depends(period_of)]


api = APIRouter(prefix="/d/api", tags=["driver's page"], dependencies=[Depends(same_site_json)])
pages = APIRouter(include_in_schema=False)


Percent = Annotated[float, Field(ge=0, le=100)]


class LinkBody(shapes.Body):
    """The link behind the EVSE's QR code, full or as path and query."""

    link: Annotated[str, Field(max_length=500)]


class RegisterBody(LinkBody):
    """The one form a new driver fills in."""

    name: shapes.Text
    language: Annotated[str, Field(pattern=r"^(en|ja)$")] = "en"
    vehicle: VehicleBody


class AnswerBody(shapes.Body):
    """Yes or no for one plug-in; what is left out stays. ``pattern``: own or prepared, for this plug-in only."""

    granted: bool
    conditions: shapes.ConditionsBody | None = None
    pattern: shapes.Text | None = None
    vehicle: shapes.Name | None = None
    stated_soc_percent: Percent | None = None

    def said(self) -> Said:
        return Said(
            granted=self.granted,
            conditions=self.conditions.domain() if self.conditions else None,
            pattern=self.pattern,
            vehicle=VehicleId(self.vehicle) if self.vehicle else None,
            stated_soc_percent=self.stated_soc_percent,
        )


class SocBody(shapes.Body):
    """The state of charge at the plug-in."""

    percent: Percent


@api.get("/evse")
async def show_evse(
    signed: LinksDep, registry: RegistryDep, link: Annotated[str, Query(max_length=500)]
) -> dict[str, Any]:
    """What anybody with the link may know: which EVSE it is and, at a public one, whether a vehicle is plugged in."""
    evse = links.evse_of(signed, link)
    view = registry.view(evse.station)
    found = next((item for item in view.evses if item.evse.ref == evse), None)
    is_public = found is not None and found.evse.public
    plug_in = found.plug_in if found is not None and is_public else None
    return {
        "station": evse.station,
        "evse": evse.evse,
        "online": view.online,
        "private": not is_public,
        "plugged": plug_in is not None,
        "waiting": plug_in is not None and plug_in.user is None,
    }


@api.post("/register", dependencies=[Depends(registration_limit)], status_code=201)
async def register(
    signed: LinksDep,
    people: PeopleDep,
    matching: MatchingDep,
    settings: SettingsDep,
    body: RegisterBody,
    response: Response,
) -> dict[str, Any]:
    """A new driver in one form; the terminal is linked by its cookie. P1."""
    evse = links.evse_of(signed, body.link)
    new = await sign_up(people, matching, evse, body.name, body.vehicle.domain(), body.language)
    set_terminal(response, new.terminal_token, settings)
    return {"user": {"id": new.user.id, "name": new.user.name}, "vehicle": {"id": new.vehicle.id}}


@api.post("/claim")
async def claim(signed: LinksDep, matching: MatchingDep, user: UserDep, body: LinkBody) -> dict[str, Any]:
    """A known driver scans the link of the EVSE where the vehicle is; `plug_in` is null when none waits there."""
    plug_in = await matching.claim(user.id, links.evse_of(signed, body.link))
    return {"plug_in": plug_in_json(plug_in) if plug_in else None}


@api.get("/state")
async def state(page: DriverPageDep, user: UserDep) -> dict[str, Any]:
    """Everything the page shows now."""
    return await page.state(user)


@api.get("/events", response_class=EventSourceResponse)
async def events(
    request: Request, page: DriverPageDep, feed: FeedDep, people: PeopleDep, served: ServedDep, user: UserDep
) -> EventSourceResponse:
    """Server-Sent Events: `state` at once and at every change. P3."""
    token = request.cookies.get(TERMINAL_COOKIE, "")

    async def is_linked() -> bool:
        return await people.of_terminal(token) is not None

    return stream_of(page, feed, is_linked, user, served.closing)


@api.post("/plug-ins/{plug_in}/answer")
async def answer(permissions: PermissionsDep, user: UserDep, plug_in: shapes.Name, body: AnswerBody) -> dict[str, Any]:
    """The driver's yes or no (P4). Conditions given with a yes are kept and used again (P10)."""
    return plug_in_json(await permissions.answer(PlugInId(plug_in), user.id, body.said()))


@api.put("/plug-ins/{plug_in}/soc")
async def state_soc(permissions: PermissionsDep, user: UserDep, plug_in: shapes.Name, body: SocBody) -> dict[str, Any]:
    """The state of charge at the plug-in, where the station tells none. P20."""
    return plug_in_json(await permissions.state_soc(PlugInId(plug_in), user.id, body.percent))


@api.get("/conditions")
async def get_conditions(page: DriverPageDep, user: UserDep) -> dict[str, Any]:
    """The user's stored conditions, or the defaults."""
    stored: dict[str, Any] = (await page.state(user))["conditions"]
    return stored


@api.put("/conditions")
async def put_conditions(permissions: PermissionsDep, user: UserDep, body: shapes.ConditionsBody) -> dict[str, Any]:
    """Keep conditions for this and the next plug-ins: the one that runs now is bound by them at once."""
    await permissions.keep(user.id, Pattern(name=MINE, conditions=body.domain(), chosen=True))
    return shapes.conditions_json(body.domain())


@api.get("/history")
async def history(store: StoreDep, settings: SettingsDep, user: UserDep, period: PeriodDep) -> dict[str, Any]:
    """Past plug-ins with energy and amounts over a period (30 days by default), and its newest lines of the ledger."""
    (start, end), currency = period, settings.settlement.currency
    found = await store.read(
        lambda conn: reads.plug_ins(conn, user=user.id, since=start, until=end, limit=HISTORY_LIMIT)
    )
    sums = await store.read(lambda conn: reads.balance_by_plug_in(conn, user.id, start, end, currency))
    lines = await store.read(
        lambda conn: reads.ledger(conn, user=user.id, start=start, end=end, limit=HISTORY_ENTRIES, newest=True)
    )
    return history_json(found, sums, [entry for _, entry in reversed(lines)])


@api.get("/balance")
async def balance(store: StoreDep, settings: SettingsDep, user: UserDep, period: PeriodDep) -> dict[str, Any]:
    """What was sold, bought, earned and spent over any period (P13)."""
    start, end = period
    return balance_json(await balance_of(store, settings.settlement.currency, user.id, start=start, end=end))


@pages.get("/")
async def root() -> RedirectResponse:
    """People who type the address alone are drivers."""
    return RedirectResponse("/d/")


@pages.get("/d")
@pages.get("/d/")
async def home() -> FileResponse:
    """The page itself."""
    return FileResponse(FILES / "index.html")


@pages.get("/d/e/{station}/{evse}")
async def evse_page(request: Request, signed: LinksDep) -> FileResponse:
    """The same page, opened from an EVSE's link; 404 when the link does not fit, and the page says so."""
    return FileResponse(FILES / "index.html", 200 if _is_known(signed, str(request.url)) else 404)


def _is_known(signed: Links, link: str) -> bool:
    try:
        return links.evse_of(signed, link) is not None
    except CsmsError:
        return False
