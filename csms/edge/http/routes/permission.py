"""People and what is theirs: users, their plug-ins with the answers they gave, id tokens. Requirements P1, P4."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from csms.domain.answers import TokenStatus
from csms.domain.errors import NotFound
from csms.domain.facts import IdToken, TokenType
from csms.domain.ids import PlugInId, UserId, VehicleId
from csms.domain.people import IdTokenRecord, User, Vehicle
from csms.domain.permission import PlugIn
from csms.edge.http.auth import DriverReader, Operator, Reader
from csms.edge.http.idempotency import OnceDep
from csms.edge.http.owners import known_user, own
from csms.edge.http.paging import Paging, PagingDep, decoded, page, slice_of
from csms.edge.http.rooms import StoreDep, TokensDep
from csms.edge.http.shapes import Body, Ident, Name, Page, When, pattern_json
from csms.store import reads

router = APIRouter(prefix="/api/v1", tags=["people"])


class UserOut(BaseModel):
    """A user with vehicles and named conditions."""

    user: User
    vehicles: list[Vehicle]
    patterns: list[dict[str, Any]]


@router.get("/users")
async def users(store: StoreDep, caller: Reader, query: Annotated[Paging, Query()]) -> Page[User]:
    """All users by id."""
    key = decoded(query.cursor)
    after = UserId(key) if key else None
    found = await store.read(lambda conn: reads.users(conn, after=after, limit=query.limit + 1))
    return page(found, query.limit, lambda user: user.id)


@router.get("/users/{user}")
async def user(store: StoreDep, caller: DriverReader, user: Name) -> UserOut:
    """One user; a driver sees themself."""
    caller.check_own(user)
    known = await known_user(store, user)
    vehicles = await store.read(lambda conn: reads.vehicles(conn, known.id))
    patterns = await store.read(lambda conn: reads.patterns(conn, known.id))
    return UserOut(user=known, vehicles=vehicles, patterns=[pattern_json(pattern) for pattern in patterns])


class PlugInsQuery(Body):
    """Those with the cable in at some time in [since, until)."""

    user: Name | None = None
    since: When | None = None
    until: When | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@router.get("/plug-ins")
async def plug_ins(store: StoreDep, caller: DriverReader, query: Annotated[PlugInsQuery, Query()]) -> Page[PlugIn]:
    """Plug-ins with their permissions, over a period; a driver sees their own."""
    of = own(caller, query.user)
    found = await store.read(
        lambda conn: reads.plug_ins(conn, user=of, since=query.since, until=query.until, limit=query.limit)
    )
    return Page(items=found)


@router.get("/plug-ins/{plug_in}")
async def plug_in(store: StoreDep, caller: DriverReader, plug_in: Name) -> PlugIn:
    """One plug-in."""
    found = await store.read(lambda conn: reads.plug_in(conn, PlugInId(plug_in)))
    if found is None:
        raise NotFound(f"there is no plug-in {plug_in}", field="plug_in")
    caller.check_own(found.user)
    return found


class TokenBody(Body):
    """An id token; the same token again replaces what is known of it. Compared without case."""

    token: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[ -~]+$")]
    type: TokenType = TokenType.RFID
    status: TokenStatus = TokenStatus.ACCEPTED
    expires_at: When | None = None
    group: Annotated[str, StringConstraints(min_length=1, max_length=36, pattern=r"^[ -~]+$")] | None = None
    user: Ident | None = None
    vehicle: Ident | None = None


@router.post("/id-tokens", status_code=201, response_model=IdTokenRecord)
async def put_token(tokens: TokensDep, store: StoreDep, caller: Operator, once: OnceDep, body: TokenBody) -> Response:
    """Add or replace an id token."""
    user = (await known_user(store, body.user)).id if body.user else None
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
        await tokens.keep(store, record)
        return record

    return await once.run(201, work)


@router.get("/id-tokens")
async def id_tokens(store: StoreDep, caller: Reader, paging: PagingDep) -> Page[IdTokenRecord]:
    """All id tokens."""
    found = await store.read(reads.id_tokens)
    return slice_of(found, paging, lambda record: IdToken(record.token).key)
