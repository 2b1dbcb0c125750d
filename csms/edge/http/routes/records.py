"""What was recorded: transactions, plug-ins, the ledger."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from csms.domain.dispatch import TransactionRecord
from csms.domain.errors import BadRequest, NotFound
from csms.domain.ids import DrEventId, PlugInId, StationId, UserId
from csms.domain.ledger import LedgerEntry
from csms.domain.permission import PlugIn
from csms.edge.http.auth import Caller, ControlDep, DriverReader, Reader, Scope
from csms.edge.http.paging import Paging, decoded, number_of, page
from csms.edge.http.shapes import Body, Name, Page, When
from csms.store import reads

router = APIRouter(prefix="/api/v1", tags=["records"])


class TransactionsQuery(Paging):
    """``active`` = running (true) or ended (false)."""

    station: Name | None = None
    id_token: Name | None = None
    active: bool | None = None


class PlugInsQuery(Body):
    """Those with the cable in at some time in [since, until)."""

    user: Name | None = None
    since: When | None = None
    until: When | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class LedgerQuery(Paging):
    """[from, to) bounds the start of the settled period."""

    user: Name | None = None
    event: Name | None = None
    plug_in: Name | None = None
    start: Annotated[When | None, Field(alias="from")] = None
    end: Annotated[When | None, Field(alias="to")] = None


@router.get("/transactions")
async def transactions(
    control: ControlDep, caller: Reader, query: Annotated[TransactionsQuery, Query()]
) -> Page[TransactionRecord]:
    """Transactions in the order they came."""
    after = _pair(query.cursor)
    found = await control.store.read(
        lambda conn: reads.transactions(
            conn,
            station=StationId(query.station) if query.station else None,
            id_token=query.id_token,
            active=query.active,
            after=after,
            limit=query.limit + 1,
        )
    )
    return page(found, query.limit, lambda record: f"{record.station}\n{record.id}")


@router.get("/plug-ins")
async def plug_ins(control: ControlDep, caller: DriverReader, query: Annotated[PlugInsQuery, Query()]) -> Page[PlugIn]:
    """Plug-ins with their permissions, over a period; a driver sees their own."""
    of = _own(caller, query.user)
    found = await control.store.read(
        lambda conn: reads.plug_ins(conn, user=of, since=query.since, until=query.until, limit=query.limit)
    )
    return Page(items=found)


@router.get("/plug-ins/{plug_in}")
async def plug_in(control: ControlDep, caller: DriverReader, plug_in: Name) -> PlugIn:
    """One plug-in."""
    found = await control.store.read(lambda conn: reads.plug_in(conn, PlugInId(plug_in)))
    if found is None:
        raise NotFound(f"there is no plug-in {plug_in}", field="plug_in")
    caller.check_own(found.user)
    return found


@router.get("/ledger")
async def ledger(
    control: ControlDep, caller: DriverReader, query: Annotated[LedgerQuery, Query()]
) -> Page[LedgerEntry]:
    """Ledger entries in the order of posting; a driver sees their own."""
    of, after = _own(caller, query.user), number_of(query.cursor)
    found = await control.store.read(
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


def _own(caller: Caller, user: str | None) -> UserId | None:
    """The user to look for: a driver's token only ever finds its own."""
    if caller.scope is not Scope.DRIVER:
        return UserId(user) if user else None
    if user is not None:
        caller.check_own(user)
    return UserId(caller.name)


def _pair(cursor: str | None) -> tuple[str, str] | None:
    key = decoded(cursor)
    if key is None:
        return None
    station, newline, transaction = key.partition("\n")
    if not newline:
        raise BadRequest("not a cursor from `next`; start again without it", field="cursor")
    return station, transaction
