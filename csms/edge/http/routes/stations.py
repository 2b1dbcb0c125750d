"""Stations: provision, see, print an EVSE's link. Requirements G4, P1."""

import io
from datetime import datetime
from typing import Annotated, Any, Literal

import segno
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, SecretStr

from csms.control.stations.views import EvseView, StationView
from csms.domain.errors import BadRequest, NotFound
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.permission import PermissionState
from csms.domain.station import BootState, Current, Evse, Ratings, Station
from csms.edge.http.auth import ControlDep, HostReader, Operator
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.paging import PagingDep, slice_of
from csms.edge.http.ports import Control
from csms.edge.http.shapes import Body, Ident, Name, Page, Watts

router = APIRouter(prefix="/api/v1/stations", tags=["stations"])


class EvseBody(Body):
    """One EVSE's ratings at its AC connection point."""

    evse: Annotated[int, Field(ge=1, le=999)]
    current: Current = Current.AC
    phases: Annotated[int, Field(ge=1, le=3)] = 1
    max_charge_w: Watts = 7_360
    max_discharge_w: Watts = 0
    connectors: Annotated[int, Field(ge=1, le=10)] = 1
    public: bool = True


Registration = Literal[BootState.ACCEPTED, BootState.PENDING, BootState.REJECTED]


class ChangeBody(Body):
    """What of a station is to be different; what is left out stays. A new registration holds from its next boot."""

    registration: Registration | None = None
    password: Annotated[SecretStr, Field(min_length=1, max_length=128)] | None = None


class StationBody(Body):
    """A station to provision; without EVSEs it gets one with the default ratings."""

    id: Ident
    password: Annotated[SecretStr, Field(min_length=1, max_length=128)]
    site: Ident = "default"
    host: Ident | None = None
    registration: Registration = BootState.ACCEPTED
    evses: Annotated[tuple[EvseBody, ...], Field(min_length=1, max_length=100)] = (EvseBody(evse=1),)


class ConnectorOut(BaseModel):
    connector: int
    status: str
    at: datetime


class EvseOut(BaseModel):
    """One EVSE now. ``power_w`` is metered, + into the vehicle; ``link`` is what its QR code holds."""

    evse: int
    current: Current
    phases: int
    max_charge_w: int
    max_discharge_w: int
    public: bool
    connectors: list[ConnectorOut]
    power_w: int | None
    setpoint_w: int | None
    soc_percent: float | None
    plug_in: str | None
    permission: PermissionState | None
    driver: str
    probe: str
    level: str
    can_discharge: bool
    link: str


class StationOut(BaseModel):
    """One station now. ``version`` is that of the live connection, else of the last one."""

    id: str
    site: str
    host: str | None
    online: bool
    version: str | None
    registration: BootState
    boot_state: BootState
    last_heard_at: datetime | None
    vendor: str
    model: str
    serial: str
    firmware: str
    evses: list[EvseOut]
    counters: dict[str, int]


class FrameOut(BaseModel):
    at: datetime
    direction: str
    text: str


@router.post("", status_code=201, response_model=StationOut)
async def add(control: ControlDep, caller: Operator, once: OnceDep, body: StationBody) -> Response:
    """Provision a station; it connects with its id and password (Basic auth)."""
    _check_site(control, body.site)
    station = _station(body)

    async def work() -> StationOut:
        await control.add_station(station, body.password.get_secret_value())
        return station_out(control, _view(control, body.id))

    return await once.run(201, work)


@router.get("")
async def index(control: ControlDep, caller: HostReader, paging: PagingDep) -> Page[StationOut]:
    """All stations by id; a host sees its own."""
    seen = [view for view in control.station_views() if caller.sees_all or view.station.host == caller.name]
    found = slice_of(seen, paging, lambda view: view.station.id)
    return Page(items=[station_out(control, view) for view in found.items], next=found.next)


@router.get("/{station}")
async def one(control: ControlDep, caller: HostReader, station: Name) -> StationOut:
    """One station as it stands now."""
    view = _view(control, station)
    caller.check_own(view.station.host)
    return station_out(control, view)


@router.patch("/{station}")
async def change(control: ControlDep, caller: Operator, station: Name, body: ChangeBody) -> StationOut:
    """Accept, hold back or reject a station, or give it another password."""
    _view(control, station)
    password = body.password.get_secret_value() if body.password else None
    await control.change_station(StationId(station), body.registration, password)
    return station_out(control, _view(control, station))


@router.get(
    "/{station}/evses/{evse}/qr.svg", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}}
)
async def qr(control: ControlDep, caller: HostReader, station: Name, evse: int) -> Response:
    """The EVSE's link as a QR code to print. V2G-27."""
    view = _view(control, station)
    caller.check_own(view.station.host)
    ref = EvseRef(StationId(station), evse)
    if ref not in {item.ref for item in view.station.evses}:
        raise NotFound(f"station {station} has no EVSE {evse}", field="evse")
    out = io.BytesIO()
    segno.make(control.links(ref), error="m").save(out, kind="svg", scale=6)
    return Response(out.getvalue(), media_type="image/svg+xml")


@router.get("/{station}/frames")
async def frames(control: ControlDep, caller: Operator, station: Name) -> list[FrameOut]:
    """The last frames of the station's socket, oldest first."""
    _view(control, station)
    return [FrameOut(at=at, direction=way, text=text) for at, way, text in control.frames(StationId(station))]


def _view(control: Control, station: str) -> StationView:
    view = control.station_view(StationId(station))
    if view is None:
        raise NotFound(f"there is no station {station}; add it with POST /api/v1/stations", field="station")
    return view


def _check_site(control: Control, site: str) -> None:
    known = [item.id for item in control.settings.site]
    if site not in known:
        raise BadRequest(f"there is no site {site}; the configuration has {', '.join(known)}", field="site")


def _station(body: StationBody) -> Station:
    numbers = [item.evse for item in body.evses]
    if len(set(numbers)) != len(numbers):
        raise BadRequest("two entries have the same number", field="evses")
    site, station = SiteId(body.site), StationId(body.id)
    evses = tuple(_evse(station, site, item) for item in body.evses)
    return Station(id=station, site=site, evses=evses, host=body.host, registration=body.registration)


def _evse(station: StationId, site: SiteId, body: EvseBody) -> Evse:
    ratings = Ratings(
        current=body.current,
        phases=body.phases,
        max_charge_w=body.max_charge_w,
        min_charge_w=min(Ratings().min_charge_w * body.phases, body.max_charge_w),
        max_discharge_w=body.max_discharge_w,
    )
    ref = EvseRef(station, body.evse)
    return Evse(ref=ref, site=site, ratings=ratings, connectors=body.connectors, public=body.public)


def station_out(control: Control, view: StationView) -> StationOut:
    """A station in the form in which it is shown."""
    station = view.station
    return StationOut(
        id=station.id,
        site=station.site,
        host=station.host,
        online=view.online,
        version=view.version.number if view.version else None,
        registration=station.registration,
        boot_state=view.boot_state,
        last_heard_at=view.last_heard_at,
        vendor=station.vendor,
        model=station.model,
        serial=station.serial,
        firmware=station.firmware,
        evses=[_evse_out(control, item) for item in view.evses],
        counters=dict(view.counters),
    )


def _evse_out(control: Control, view: EvseView) -> EvseOut:
    return EvseOut(
        evse=view.evse.ref.evse,
        public=view.evse.public,
        **_ratings(view.evse.ratings),
        connectors=[ConnectorOut(connector=s.connector, status=s.status, at=s.at) for s in view.statuses],
        power_w=view.power_w,
        setpoint_w=view.setpoint_w,
        soc_percent=view.soc_percent,
        plug_in=view.plug_in.id if view.plug_in else None,
        permission=view.plug_in.permission.state if view.plug_in else None,
        driver=view.driver,
        probe=view.probe,
        level=view.level,
        can_discharge=view.driver.can_discharge and view.evse.ratings.max_discharge_w > 0,
        link=control.links(view.evse.ref),
    )


def _ratings(ratings: Ratings) -> dict[str, Any]:
    return {
        "current": ratings.current,
        "phases": ratings.phases,
        "max_charge_w": ratings.max_charge_w,
        "max_discharge_w": ratings.max_discharge_w,
    }
