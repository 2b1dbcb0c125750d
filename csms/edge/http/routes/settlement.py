"""What was settled: the ledger, each user's balance, the benefits granted. Requirements P13, P19, G9."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from csms.domain.benefit import BenefitGrant
from csms.domain.errors import BadRequest
from csms.domain.ids import DrEventId, PlugInId, VehicleId
from csms.domain.ledger import LedgerEntry
from csms.edge.http.auth import DriverReader
from csms.edge.http.driver_state import balance_json, balance_of
from csms.edge.http.owners import known_user, own
from csms.edge.http.paging import Paging, number_of, page
from csms.edge.http.rooms import SettingsDep, StoreDep
from csms.edge.http.shapes import Name, Page, When
from csms.store import reads

router = APIRouter(prefix="/api/v1", tags=["ledger"])


class LedgerQuery(Paging):
    """[from, to) bounds the start of the settled period."""

    user: Name | None = None
    event: Name | None = None
    plug_in: Name | None = None
    start: Annotated[When | None, Field(alias="from")] = None
    end: Annotated[When | None, Field(alias="to")] = None


@router.get("/ledger")
async def ledger(store: StoreDep, caller: DriverReader, query: Annotated[LedgerQuery, Query()]) -> Page[LedgerEntry]:
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
    return Page(items=[entry for _, entry in numbered.items], next=numbered.next)


class GrantsQuery(Paging):
    """[from, to) bounds the start of the settled interval."""

    user: Name | None = None
    event: Name | None = None
    start: Annotated[When | None, Field(alias="from")] = None
    end: Annotated[When | None, Field(alias="to")] = None


@router.get("/grants")
async def grants(store: StoreDep, caller: DriverReader, query: Annotated[GrantsQuery, Query()]) -> Page[BenefitGrant]:
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
