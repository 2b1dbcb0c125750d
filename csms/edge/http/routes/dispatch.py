"""DR events: ask for a change of demand, see what came of it. Requirements P11, P12, G1, G11."""

from datetime import datetime
from typing import Annotated, Self
from uuid import uuid4

from fastapi import APIRouter, Response
from pydantic import Field, model_validator

from csms.control.settlement.performance import DrReport
from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import BadRequest
from csms.domain.ids import AreaId, DrEventId
from csms.edge.http.auth import Operator, Reader
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.paging import PagingDep, slice_of
from csms.edge.http.rooms import ClockDep, EventsDep, ReportsDep, StoreDep
from csms.edge.http.shapes import Body, Ident, Name, Page, Price, When
from csms.store import reads

router = APIRouter(prefix="/api/v1/dr-events", tags=["DR events"])

PaidPrice = Annotated[Price, Field(ge=0)]


class EventBody(Body):
    """A change of demand by ``requested_w``. ``region`` is one area, ``areas`` several; neither = everywhere.

    Without ``starts_at`` it starts now. ``priority``: 0 is served first.
    """

    direction: Direction
    starts_at: When | None = None
    ends_at: When
    priority: Annotated[int, Field(ge=0, le=1_000)] = 0
    requested_w: Annotated[int, Field(gt=0, le=10_000_000_000)]
    areas: Annotated[tuple[Ident, ...], Field(max_length=100)] = ()
    region: Ident | None = None
    price_per_kwh: PaidPrice | None = None
    incentive_per_kwh: PaidPrice | None = None

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if (self.price_per_kwh is None) == (self.incentive_per_kwh is None):
            raise ValueError("give one of price_per_kwh and incentive_per_kwh")
        return self


@router.post("", status_code=201, response_model=DrEvent)
async def create(events: EventsDep, clock: ClockDep, caller: Operator, once: OnceDep, body: EventBody) -> Response:
    """Start (or plan) a DR event."""
    event = _event(body, clock.now())
    return await once.run(201, lambda: events.create(event))


@router.get("")
async def index(store: StoreDep, caller: Reader, paging: PagingDep) -> Page[DrEvent]:
    """All DR events, in the order of their ids."""
    found = await store.read(reads.dr_events)
    return slice_of(found, paging, lambda event: event.id)


@router.get("/{event}")
async def one(reports: ReportsDep, caller: Reader, event: Name) -> DrReport:
    """Requested, allotted and observed, per interval and per EVSE, with the reasons."""
    return await reports.of_event(DrEventId(event))


@router.delete("/{event}")
async def cancel(events: EventsDep, caller: Operator, event: Name) -> DrEvent:
    """Cancel an event: it ends now, what was delivered stays delivered and paid."""
    return await events.cancel(DrEventId(event))


def _event(body: EventBody, now: datetime) -> DrEvent:
    starts_at = body.starts_at or now
    if body.ends_at <= starts_at:
        raise BadRequest("ends_at must be later than starts_at, and than now", field="ends_at")
    areas = frozenset(AreaId(area) for area in (*body.areas, *([body.region] if body.region else [])))
    return DrEvent(
        id=DrEventId(uuid4().hex),
        direction=body.direction,
        requested_w=body.requested_w,
        starts_at=starts_at,
        ends_at=body.ends_at,
        areas=areas,
        incentive_per_kwh=body.incentive_per_kwh,
        price_per_kwh=body.price_per_kwh,
        priority=body.priority,
        created_at=now,
    )
