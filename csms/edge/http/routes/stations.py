"""Stations: provision, see, print an EVSE's link. Requirements G4, P1."""

import io
from datetime import datetime
from typing import Annotated, Literal

import segno
from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from csms.control.stations.credentials import new_password
from csms.domain.errors import BadRequest, Forbidden, NotFound
from csms.domain.ids import EvseRef, SiteId, StationId, UserId
from csms.domain.station import (
    BootState,
    Current,
    Evse,
    HoldMethod,
    RateUnit,
    Ratings,
    SetpointDriver,
    Station,
    Version,
)
from csms.edge.http.auth import HostReader, HostWriter, Operator
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.paging import PagingDep, slice_of
from csms.edge.http.rooms import HubDep, LinksDep, RegistryDep
from csms.edge.http.shapes import Body, Ident, Name, Page, Watts
from csms.edge.http.stations_out import ShowDep, StationOut

router = APIRouter(prefix="/api/v1/stations", tags=["stations"])


Given = Literal["charge", "nothing"]
Allowed = Annotated[tuple[Ident, ...], Field(max_length=100)]


class EvseBody(Body):
    """One EVSE's ratings at its AC connection point."""

    evse: Annotated[int, Field(ge=1, le=999)]
    current: Current = Current.AC
    phases: Annotated[int, Field(ge=1, le=3)] = 1
    max_charge_w: Watts = 7_360
    max_discharge_w: Watts = 0
    connectors: Annotated[int, Field(ge=1, le=10)] = 1
    public: bool = True
    on_refusal: Given | None = None
    on_no_answer: Given | None = None
    allowed: Allowed = ()


class EvseChangeBody(Body):
    """What of an EVSE is to be different; what is left out stays. ``null`` = the server's setting (P4). ``approved``:
    it is there, and counts where limits are shared; by the operator only."""

    approved: bool = True
    public: bool = True
    on_refusal: Given | None = None
    on_no_answer: Given | None = None
    allowed: Allowed = ()


def _encodable(password: SecretStr) -> SecretStr:
    try:
        password.get_secret_value().encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half a character, which no station can send") from error
    return password


Password = Annotated[SecretStr, Field(min_length=1, max_length=128), AfterValidator(_encodable)]
Registration = Literal[BootState.ACCEPTED, BootState.PENDING, BootState.REJECTED]


class ChangeBody(Body):
    """What of a station is to be different; what is left out stays. A new registration holds from its next boot."""

    registration: Registration | None = None
    password: Password | None = None


class QuirksBody(Body):
    """How this one differs from what is known of its model; what is left out is as for the model.

    ``driver``: a way to discharge is used only after the supervised probe has seen it. ``assume_version``: of a
    connection that offers no subprotocol.
    """

    driver: SetpointDriver | None = None
    hold: HoldMethod | None = None
    rate_unit: RateUnit | None = None
    stack_level: Annotated[int, Field(ge=1, le=99)] | None = None
    zero_ends_transaction: bool | None = None
    assume_version: Version | None = None
    signed_power: bool | None = None


class StationBody(Body):
    """A station to provision; without EVSEs it gets one with the default ratings. Without ``password`` it gets a made
    one, which is best: 128 random bits, checked in microseconds."""

    id: Ident
    password: Password | None = None
    site: Ident = "default"
    host: Ident | None = None
    registration: Registration = BootState.ACCEPTED
    evses: Annotated[tuple[EvseBody, ...], Field(min_length=1, max_length=100)] = (EvseBody(evse=1),)


class MadeOut(BaseModel):
    """A made password. It is shown this once: only a keyed hash is kept."""

    id: str
    password: str


class AddedOut(StationOut):
    """``password``: the made one, shown this once; null when one was given, or when the answer is a repeated one."""

    password: str | None = None


class FrameOut(BaseModel):
    at: datetime
    direction: str
    text: str


@router.post("", status_code=201, response_model=AddedOut)
async def add(registry: RegistryDep, show: ShowDep, caller: Operator, once: OnceDep, body: StationBody) -> Response:
    """Provision a station; it connects with its id and password (Basic auth)."""
    station = _station(body)
    chosen = body.password.get_secret_value() if body.password else None
    made = new_password()
    told: list[AddedOut] = []

    async def work() -> AddedOut:
        view = AddedOut(**dict(show(await registry.add(station, chosen or made, is_made=chosen is None))))
        told.append(view.model_copy(update={"password": None if chosen else made}))
        return view

    answer = await once.run(201, work)  # what it keeps holds no password
    return Response(told[0].model_dump_json(), 201, media_type="application/json") if told else answer


@router.get("")
async def index(registry: RegistryDep, show: ShowDep, caller: HostReader, paging: PagingDep) -> Page[StationOut]:
    """All stations by id; a host sees its own."""
    seen = [view for view in registry.views() if caller.sees_all or view.station.host == caller.name]
    found = slice_of(seen, paging, lambda view: view.station.id)
    return Page(items=[show(view) for view in found.items], next=found.next)


@router.get("/{station}")
async def one(registry: RegistryDep, show: ShowDep, caller: HostReader, station: Name) -> StationOut:
    """One station as it stands now."""
    view = registry.view(StationId(station))
    caller.check_own(view.station.host)
    return show(view)


@router.patch("/{station}")
async def change(registry: RegistryDep, show: ShowDep, caller: Operator, station: Name, body: ChangeBody) -> StationOut:
    """Accept, hold back or reject a station, or give it another password."""
    password = body.password.get_secret_value() if body.password else None
    return show(await registry.change(StationId(station), body.registration, password))


@router.put("/{station}/quirks")
async def quirks(registry: RegistryDep, show: ShowDep, caller: Operator, station: Name, body: QuirksBody) -> StationOut:
    """The operator's own record of this station's ways, beside the packaged ones; an empty one takes it back. F13."""
    given = body.model_dump(mode="json", exclude_none=True)
    return show(await registry.change_quirks(StationId(station), given))


@router.post("/{station}/password")
async def renew_password(registry: RegistryDep, caller: Operator, station: Name) -> MadeOut:
    """Give the station a made password; the one it had no longer lets it in. Each call makes another."""
    return MadeOut(id=station, password=await registry.renew_password(StationId(station)))


@router.patch("/{station}/evses/{evse}")
async def change_evse(
    registry: RegistryDep, show: ShowDep, caller: HostWriter, station: Name, evse: int, body: EvseChangeBody
) -> StationOut:
    """What its host gives without a permission, and who may use a private one: by the host or the operator. P4, G5."""
    caller.check_own(registry.view(StationId(station)).station.host)
    if "approved" in body.model_fields_set and not caller.sees_all:
        raise Forbidden("an EVSE is approved by the operator, whose fuse it shares")
    changed = body.model_dump(exclude_unset=True)
    return show(await registry.change_evse(EvseRef(StationId(station), evse), changed))


@router.get(
    "/{station}/evses/{evse}/qr.svg", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}}
)
async def qr(registry: RegistryDep, links: LinksDep, caller: HostReader, station: Name, evse: int) -> Response:
    """The EVSE's link as a QR code to print. V2G-27."""
    view = registry.view(StationId(station))
    caller.check_own(view.station.host)
    ref = EvseRef(StationId(station), evse)
    if ref not in {item.ref for item in view.station.evses}:
        raise NotFound(f"station {station} has no EVSE {evse}", field="evse")
    out = io.BytesIO()
    segno.make(links.of(ref), error="m").save(out, kind="svg", scale=6)
    return Response(out.getvalue(), media_type="image/svg+xml")


@router.get("/{station}/frames")
async def frames(registry: RegistryDep, hub: HubDep, caller: Operator, station: Name) -> list[FrameOut]:
    """The last frames of the station's socket, oldest first."""
    id_ = registry.view(StationId(station)).station.id
    return [FrameOut(at=at, direction=way, text=text) for at, way, text in hub.frames(id_)]


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
    return Evse(
        ref=ref,
        site=site,
        ratings=ratings,
        connectors=body.connectors,
        public=body.public,
        on_refusal=body.on_refusal,
        on_no_answer=body.on_no_answer,
        allowed=tuple(UserId(user) for user in body.allowed),
    )
