"""Stations in the form in which they are shown."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel

from csms.control.permission.people import Links
from csms.control.stations.views import EvseView, StationView
from csms.domain.permission import PermissionState, StartFailure
from csms.domain.station import BootState, Current, Ratings
from csms.edge.http.rooms import HubDep, LinksDep
from csms.edge.hub import Hub


class ConnectorOut(BaseModel):
    connector: int
    status: str
    at: datetime


class EvseOut(BaseModel):
    """One EVSE now. ``power_w`` is metered, + into the vehicle; ``link`` is what its QR code holds; ``approved``: false
    for one that its station showed unasked and that nobody has approved yet; ``start_failed``: why a permitted vehicle
    does not run after the last try."""

    evse: int
    current: Current
    phases: int
    max_charge_w: int
    max_discharge_w: int
    public: bool
    approved: bool
    on_refusal: str | None
    on_no_answer: str | None
    allowed: list[str]
    connectors: list[ConnectorOut]
    power_w: int | None
    setpoint_w: int | None
    soc_percent: float | None
    plug_in: str | None
    permission: PermissionState | None
    start_failed: StartFailure | None
    driver: str
    probe: str
    level: str
    can_discharge: bool
    link: str


class StationOut(BaseModel):
    """One station now. ``version`` is that of the live connection, else of the last one; ``quirks``: its operator's own
    record of its ways, ``learnt``: what it has shown itself."""

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
    quirks: dict[str, Any]
    learnt: dict[str, Any]
    evses: list[EvseOut]
    counters: dict[str, int]


class Showing:
    """Puts together what the rooms know of a station, what the edge counted of it, and its links."""

    def __init__(self, hub: Hub, links: Links) -> None:
        self._hub = hub
        self._links = links

    def __call__(self, view: StationView) -> StationOut:
        return station_out(view, flat(asdict(self._hub.counters(view.station.id))), self._links)


async def _showing(hub: HubDep, links: LinksDep) -> Showing:
    return Showing(hub, links)


ShowDep = Annotated[Showing, Depends(_showing)]


def flat(counters: Mapping[str, Any]) -> dict[str, int]:
    """The edge's counters with the named ones beside the others, as "coercions.name"."""
    plain = {name: value for name, value in counters.items() if isinstance(value, int)}
    nested = ((name, value) for name, value in counters.items() if not isinstance(value, int))
    return plain | {f"{name}.{key}": count for name, inner in nested for key, count in inner.items()}


def station_out(view: StationView, counters: Mapping[str, int], links: Links) -> StationOut:
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
        quirks=dict(station.quirks),
        learnt=dict(station.learnt),
        evses=[_evse_out(item, links) for item in view.evses],
        counters=dict(counters),
    )


def _evse_out(view: EvseView, links: Links) -> EvseOut:
    return EvseOut(
        evse=view.evse.ref.evse,
        public=view.evse.public,
        approved=view.evse.approved,
        on_refusal=view.evse.on_refusal,
        on_no_answer=view.evse.on_no_answer,
        allowed=list(view.evse.allowed),
        **_ratings(view.evse.ratings),
        connectors=[ConnectorOut(connector=s.connector, status=s.status, at=s.at) for s in view.statuses],
        power_w=view.power_w,
        setpoint_w=view.setpoint_w,
        soc_percent=view.soc_percent,
        plug_in=view.plug_in.id if view.plug_in else None,
        permission=view.plug_in.permission.state if view.plug_in else None,
        start_failed=view.start_failed,
        driver=view.driver,
        probe=view.probe,
        level=view.level,
        can_discharge=view.driver.can_discharge and view.evse.ratings.max_discharge_w > 0,
        link=links.of(view.evse.ref),
    )


def _ratings(ratings: Ratings) -> dict[str, Any]:
    return {
        "current": ratings.current,
        "phases": ratings.phases,
        "max_charge_w": ratings.max_charge_w,
        "max_discharge_w": ratings.max_discharge_w,
    }
