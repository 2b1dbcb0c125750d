"""What stations told: transactions. Requirements V2G-22, V2G-24."""

from typing import Annotated

from fastapi import APIRouter, Query

from csms.domain.dispatch import TransactionRecord
from csms.domain.errors import BadRequest
from csms.domain.ids import StationId
from csms.edge.http.auth import Reader
from csms.edge.http.paging import Paging, decoded, page
from csms.edge.http.rooms import StoreDep
from csms.edge.http.shapes import Name, Page
from csms.store import reads

router = APIRouter(prefix="/api/v1", tags=["transactions"])


class TransactionsQuery(Paging):
    """``active`` = running (true) or ended (false)."""

    station: Name | None = None
    id_token: Name | None = None
    active: bool | None = None


@router.get("/transactions")
async def transactions(
    store: StoreDep, caller: Reader, query: Annotated[TransactionsQuery, Query()]
) -> Page[TransactionRecord]:
    """Transactions in the order they came."""
    after = _pair(query.cursor)
    found = await store.read(
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


def _pair(cursor: str | None) -> tuple[str, str] | None:
    key = decoded(cursor)
    if key is None:
        return None
    station, newline, transaction = key.partition("\n")
    if not newline:
        raise BadRequest("not a cursor from `next`; start again without it", field="cursor")
    return station, transaction
