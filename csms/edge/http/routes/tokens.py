"""Id tokens: who may charge with which card, vehicle or app."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import StringConstraints

from csms.domain.answers import TokenStatus
from csms.domain.errors import NotFound
from csms.domain.facts import IdToken, TokenType
from csms.domain.ids import UserId, VehicleId
from csms.domain.people import IdTokenRecord
from csms.edge.http.auth import ControlDep, Operator, Reader
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.paging import PagingDep, slice_of
from csms.edge.http.shapes import Body, Ident, Page, When
from csms.store import reads

router = APIRouter(prefix="/api/v1/id-tokens", tags=["id tokens"])


class TokenBody(Body):
    """An id token; the same token again replaces what is known of it. Compared without case."""

    token: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[ -~]+$")]
    type: TokenType = TokenType.RFID
    status: TokenStatus = TokenStatus.ACCEPTED
    expires_at: When | None = None
    group: Annotated[str, StringConstraints(min_length=1, max_length=36, pattern=r"^[ -~]+$")] | None = None
    user: Ident | None = None
    vehicle: Ident | None = None


@router.post("", status_code=201, response_model=IdTokenRecord)
async def put(control: ControlDep, caller: Operator, once: OnceDep, body: TokenBody) -> Response:
    """Add or replace an id token."""
    user = UserId(body.user) if body.user else None
    if user and await control.store.read(lambda conn: reads.user(conn, user)) is None:
        raise NotFound(f"there is no user {user}", field="user")
    record = IdTokenRecord(
        token=body.token,
        type=body.type,
        status=body.status,
        expires_at=body.expires_at,
        group=body.group,
        user=user,
        vehicle=VehicleId(body.vehicle) if body.vehicle else None,
    )

    async def work() -> IdTokenRecord:
        await control.put_id_token(record)
        return record

    return await once.run(201, work)


@router.get("")
async def index(control: ControlDep, caller: Reader, paging: PagingDep) -> Page[IdTokenRecord]:
    """All id tokens."""
    found = await control.store.read(reads.id_tokens)
    return slice_of(found, paging, lambda record: IdToken(record.token).key)
