"""What was settled: the ledger and the frames behind it, each user's balance, benefits granted. P13, P19, G9, M2."""

from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from csms.domain.benefit import BenefitGrant
from csms.domain.errors import BadRequest
from csms.domain.ids import DrEventId, PlugInId, VehicleId
from csms.domain.ledger import LedgerEntry, PostedEntry
from csms.domain.record import KeptFrame, MissingFrame
from csms.edge.http.auth import DriverReader, Operator
from csms.edge.http.driver_state import balance_json, balance_of
from csms.edge.http.owners import known_user, own
from csms.edge.http.paging import Paging, PagingDep, number_of, page, slice_of
from csms.edge.http.rooms import ReportsDep, SettingsDep, StoreDep
from csms.edge.http.shapes import Name, Page, When
from csms.store import reads

router = APIRouter(prefix="/api/v1", tags=["ledger"])


class SettledQuery(Paging):
    """[from, to) bounds the start of the settled period."""

    user: Name | None = None
    event: Name | None = None
    start: Annotated[When | None, Field(alias="from")] = None
    end: Annotated[When | None, Field(alias="to")] = None


class LedgerQuery(SettledQuery):
    """One plug-in's, too."""

    plug_in: Name | None = None


@router.get("/ledger")
async def ledger(store: StoreDep, caller: DriverReader, query: Annotated[LedgerQuery, Query()]) -> Page[PostedEntry]:
    """Ledger entries in the order of posting; a driver sees their own."""
    of, after = own(caller, query.user), number_of(query.cursor)
    found = await store.read(
        lambda conn: reads.ledger(
            conn,
            user=of,
            event=DrEventId(query.event) if query.event else None,
            plug_in=PlugInId(query.plug_in) if query.plug_in else None,
            start=query.start,
            end=query.end,
            after=after,
            limit=query.limit + 1,
        )
    )
    numbered = page(found, query.limit, lambda item: str(item[0]))
    return Page(items=[_posted(id_, entry) for id_, entry in numbered.items], next=numbered.next)


def _posted(id_: int, entry: LedgerEntry) -> PostedEntry:
    return PostedEntry(id=id_, **{field.name: getattr(entry, field.name) for field in fields(entry)})


class FramesPage(Page[KeptFrame]):
    """``missing``: of all of the entry, not of this page."""

    missing: list[MissingFrame]


@router.get("/ledger/{entry}/frames")
async def frames(
    reports: ReportsDep, caller: Operator, entry: Annotated[int, Path(ge=1, le=2**63 - 1)], query: PagingDep
) -> FramesPage:
    """The frames that an entry's readings, transaction, permission and setpoints came in, both ways, as they went. M2.

    410: none of them is left, since `[retention]` keeps them no longer.
    """
    found = await reports.frames_of(entry)
    part = slice_of(found.frames, query, lambda frame: frame.id)
    return FramesPage(items=part.items, next=part.next, missing=list(found.missing))


@router.get("/grants")
async def grants(store: StoreDep, caller: DriverReader, query: Annotated[SettledQuery, Query()]) -> Page[BenefitGrant]:
    """Benefits in the order of granting; a driver sees their own. A cause grants the sum of its revisions. G9."""
    of, after = own(caller, query.user), number_of(query.cursor)
    found = await store.read(
        lambda conn: reads.benefit_grants(
            conn,
            user=of,
            event=DrEventId(query.event) if query.event else None,
            start=query.start,
            end=query.end,
            after=after,
            limit=query.limit + 1,
        )
    )
    numbered = page(found, query.limit, lambda item: str(item[0]))
    return Page(items=[grant for _, grant in numbered.items], next=numbered.next)


@router.get("/users/{user}/balance")
async def balance(  # noqa: PLR0913, PLR0917  what it uses, and its query
    store: StoreDep,
    settings: SettingsDep,
    caller: DriverReader,
    user: Name,
    start: Annotated[When | None, Query(alias="from")] = None,
    end: Annotated[When | None, Query(alias="to")] = None,
    vehicle: Annotated[Name | None, Query()] = None,
) -> dict[str, Any]:
    """What was sold, bought, earned and spent in [from, to); absent bounds are open. P13."""
    caller.check_own(user)
    known = await known_user(store, user)
    if start and end and end <= start:
        raise BadRequest("`to` must be later than `from`", field="to")
    car = VehicleId(vehicle) if vehicle else None
    return balance_json(await balance_of(store, settings.settlement.currency, known.id, car, start=start, end=end))
