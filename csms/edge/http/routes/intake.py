"""What stations told: transactions, and what could not be understood. Requirements V2G-22, V2G-24, V2G-39."""

import json
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from csms.domain.dispatch import TransactionRecord
from csms.domain.errors import BadRequest, NotFound
from csms.domain.ids import StationId, TransactionId
from csms.domain.quarantine import Quarantined
from csms.domain.station import Version
from csms.edge.http.auth import Operator, Reader
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.paging import Paging, decoded, number_of, page
from csms.edge.http.rooms import IntakeDep, StoreDep
from csms.edge.http.shapes import Body, Name, Page, Text
from csms.edge.schemas import Fault, Schemas
from csms.store import Store, reads
from handlers import again

router = APIRouter(prefix="/api/v1", tags=["transactions"])


class TransactionsQuery(Paging):
    """``active`` = running (true) or ended (false)."""

    station: Name | None = None
    id_token: Name | None = None
    active: bool | None = None


class CloseBody(Body):
    """Why a transaction is ended by hand; kept with it."""

    reason: Text


class QuarantineQuery(Paging):
    """Of one station, or of all."""

    station: Name | None = None


class ReplayBody(Body):
    """``payload``: the OCPP payload as it should have been, in the station's version; without it, the one that came."""

    payload: dict[str, Any] | None = None


Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


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


@router.post("/stations/{station}/transactions/{transaction}/close", response_model=TransactionRecord)
async def close(  # noqa: PLR0913, PLR0917  what it uses, by name
    intake: IntakeDep,
    store: StoreDep,
    caller: Operator,
    once: OnceDep,
    station: Name,
    transaction: Name,
    body: CloseBody,
) -> Response:
    """End a transaction that will not end by itself (B6). The station's own stop still replaces this end."""
    of, id_ = StationId(station), TransactionId(transaction)

    async def work() -> TransactionRecord | None:
        await intake.endings.close_transaction(of, id_, caller.name, body.reason)
        return await store.read(lambda conn: reads.transaction(conn, of, id_))

    return await once.run(200, work)


@router.get("/quarantine")
async def quarantine(
    store: StoreDep, caller: Operator, query: Annotated[QuarantineQuery, Query()]
) -> Page[Quarantined]:
    """Messages that were confirmed and could not be understood or stored, as they came. V2G-39."""
    after, of = number_of(query.cursor), StationId(query.station) if query.station else None
    found = await store.read(lambda conn: reads.quarantined(conn, station=of, after=after, limit=query.limit + 1))
    return page(found, query.limit, lambda kept: str(kept.id))


@router.get("/quarantine/{id}")
async def one_in_quarantine(store: StoreDep, caller: Operator, id: Number) -> Quarantined:  # noqa: A002
    """One of them, with who had it taken in again."""
    return await _kept(store, id)


@router.post("/quarantine/{id}/replay", response_model=Quarantined)
async def replay(
    intake: IntakeDep,
    store: StoreDep,
    caller: Operator,
    once: OnceDep,
    id: Number,  # noqa: A002
    body: ReplayBody,
) -> Response:
    """Take a message in as if it came now for the first time, at the times it says. What it changes is settled anew.

    Its raw text stays as it came; who did this and when is kept with it. 409: it cannot be understood, or be stored.
    """

    async def work() -> Quarantined:
        kept = await _kept(store, id)
        raw = None if body.payload is None else _frame(kept, body.payload)
        await intake.reprocess(id, partial(again, _fault_of), caller.name, raw)
        return await _kept(store, id)

    return await once.run(200, work)


def _fault_of(version: Version, action: str, payload: Any) -> Fault | None:
    """Compiled anew each time: a few messages in a year are taken in again."""
    return Schemas(version).request_fault(action, payload)


async def _kept(store: Store, id_: int) -> Quarantined:
    kept = await store.read(lambda conn: reads.one_quarantined(conn, id_))
    if kept is None:
        raise NotFound(f"there is no message {id_} in the quarantine")
    return kept


def _frame(kept: Quarantined, payload: dict[str, Any]) -> str:
    """The CALL as its station should have sent it."""
    return json.dumps([2, kept.message_id, kept.action, payload], separators=(",", ":"))


def _pair(cursor: str | None) -> tuple[str, str] | None:
    key = decoded(cursor)
    if key is None:
        return None
    station, newline, transaction = key.partition("\n")
    if not newline:
        raise BadRequest("not a cursor from `next`; start again without it", field="cursor")
    return station, transaction
