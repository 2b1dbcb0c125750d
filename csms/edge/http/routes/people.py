"""Users, their vehicles and balances. Requirements P1, P13."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from csms.domain.errors import BadRequest, NotFound
from csms.domain.ids import UserId, VehicleId
from csms.domain.people import User, Vehicle
from csms.edge.http.auth import ControlDep, DriverReader, Reader
from csms.edge.http.driver_state import balance_json, balance_of
from csms.edge.http.paging import Paging, decoded, page
from csms.edge.http.ports import Control
from csms.edge.http.shapes import Name, Page, When, pattern_json
from csms.store import reads

router = APIRouter(prefix="/api/v1/users", tags=["users"])


class UserOut(BaseModel):
    """A user with vehicles and named conditions."""

    user: User
    vehicles: list[Vehicle]
    patterns: list[dict[str, Any]]


@router.get("")
async def several(control: ControlDep, caller: Reader, query: Annotated[Paging, Query()]) -> Page[User]:
    """All users by id."""
    key = decoded(query.cursor)
    after = UserId(key) if key else None
    found = await control.store.read(lambda conn: reads.users(conn, after=after, limit=query.limit + 1))
    return page(found, query.limit, lambda user: user.id)


@router.get("/{user}")
async def one(control: ControlDep, caller: DriverReader, user: Name) -> UserOut:
    """One user; a driver sees themself."""
    caller.check_own(user)
    known = await _known(control, user)
    vehicles = await control.store.read(lambda conn: reads.vehicles(conn, known.id))
    patterns = await control.store.read(lambda conn: reads.patterns(conn, known.id))
    return UserOut(user=known, vehicles=vehicles, patterns=[pattern_json(pattern) for pattern in patterns])


@router.get("/{user}/balance")
async def balance(
    control: ControlDep,
    caller: DriverReader,
    user: Name,
    start: Annotated[When | None, Query(alias="from")] = None,
    end: Annotated[When | None, Query(alias="to")] = None,
    vehicle: Annotated[Name | None, Query()] = None,
) -> dict[str, Any]:
    """What was sold, bought, earned and spent in [from, to); absent bounds are open. P13."""
    caller.check_own(user)
    known = await _known(control, user)
    if start and end and end <= start:
        raise BadRequest("`to` must be later than `from`", field="to")
    car = VehicleId(vehicle) if vehicle else None
    return balance_json(await balance_of(control, known.id, car, start, end))


async def _known(control: Control, user: str) -> User:
    found = await control.store.read(lambda conn: reads.user(conn, UserId(user)))
    if found is None:
        raise NotFound(f"there is no user {user}", field="user")
    return found
