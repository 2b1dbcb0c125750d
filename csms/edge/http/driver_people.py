"""A driver's vehicles, terminals and named conditions: JSON under /d/api. P1, P10."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import Field

from csms.control.permission.people import LinkCode, hash_token
from csms.control.permission.sharing import change, delete, take_back, unshare
from csms.domain.conditions import Pattern
from csms.domain.ids import UserId, VehicleId
from csms.domain.people import Vehicle
from csms.edge.http import shapes
from csms.edge.http.auth import TERMINAL_COOKIE, UserDep, address_of
from csms.edge.http.patterns import offered
from csms.edge.http.rooms import ClockDep, PeopleDep, PermissionsDep, ServedDep, SettingsDep, StoreDep
from csms.settings import Settings
from csms.store import reads

COOKIE_AGE_S = 400 * 24 * 3600
PRINTED = r"^[^\x00-\x1f\x7f]*$"


async def same_site_json(request: Request) -> None:
    """Against forged requests: only JSON, which no form of another site can send, and only from this site."""
    if request.headers.get("sec-fetch-site", "same-origin") == "cross-site":
        raise HTTPException(403, "this request came from another site")
    is_json = request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"
    if request.method in {"POST", "PUT"} and not is_json:
        raise HTTPException(415, "send Content-Type: application/json")


def set_terminal(response: Response, token: str, settings: Settings) -> None:
    """The cookie by which a terminal is known: out of reach of scripts and of other sites."""
    response.set_cookie(
        TERMINAL_COOKIE,
        token,
        max_age=COOKIE_AGE_S,
        path="/d",
        httponly=True,
        samesite="strict",
        secure=(settings.http.public_url or "").startswith("https:"),
    )


async def code_limit(request: Request, served: ServedDep, clock: ClockDep) -> None:
    """429 when one address tries too many codes."""
    now, address = clock.now(), address_of(request)
    if served.codes.is_full(address, now):
        raise HTTPException(429, "too many codes from here; wait a minute", {"Retry-After": "60"})
    served.codes.add(address, now)


api = APIRouter(prefix="/d/api", tags=["driver's page"], dependencies=[Depends(same_site_json)])


class VehicleBody(shapes.Body):
    """A vehicle as its driver knows it."""

    name: shapes.Text
    capacity_wh: Annotated[int, Field(ge=1_000, le=1_000_000)] = 40_000
    max_charge_w: Annotated[int, Field(ge=100, le=1_000_000)] = 7_360
    max_discharge_w: Annotated[int, Field(ge=0, le=1_000_000)] = 6_000
    plate: Annotated[str, Field(max_length=20, pattern=PRINTED)] = ""
    vin: Annotated[str, Field(max_length=17, pattern=PRINTED)] = ""

    def domain(self) -> Vehicle:
        """Without its ids: it has none yet."""
        return Vehicle(id=VehicleId(""), user=UserId(""), **self.model_dump())


class CodeBody(shapes.Body):
    """A short code, as it was typed."""

    code: Annotated[str, Field(min_length=8, max_length=20, pattern=r"^[0-9A-Za-z -]+$")]


class TerminalBody(CodeBody):
    """A further terminal; ``name`` is what its user calls it."""

    name: Annotated[str, Field(max_length=80, pattern=PRINTED)] = ""


class PatternBody(shapes.Body):
    """Conditions to be kept under a name, for one vehicle or for all; ``chosen``: used from now on."""

    conditions: shapes.ConditionsBody
    vehicle: shapes.Name | None = None
    chosen: bool = False


class ChoiceBody(shapes.Body):
    """For one vehicle, or for all."""

    vehicle: shapes.Name | None = None


VehicleQuery = Annotated[shapes.Name | None, Query()]


@api.get("/vehicles")
async def vehicles(people: PeopleDep, user: UserDep) -> list[dict[str, Any]]:
    """The user's own and those that are shared with them."""
    return [shapes.vehicle_json(vehicle, user.id) for vehicle in await people.vehicles(user.id)]


@api.post("/vehicles", status_code=201)
async def add_vehicle(people: PeopleDep, user: UserDep, body: VehicleBody) -> dict[str, Any]:
    """A further vehicle."""
    return shapes.vehicle_json(await people.add_vehicle(user.id, body.domain()), user.id)


@api.post("/vehicles/join", dependencies=[Depends(code_limit)])
async def join_vehicle(people: PeopleDep, user: UserDep, body: CodeBody) -> dict[str, Any]:
    """Share the vehicle whose owner made this code."""
    return shapes.vehicle_json(await people.join_vehicle(user.id, body.code), user.id)


@api.put("/vehicles/{vehicle}")
async def change_vehicle(
    people: PeopleDep, permissions: PermissionsDep, user: UserDep, vehicle: shapes.Name, body: VehicleBody
) -> dict[str, Any]:
    """Other particulars; they hold for a running plug-in too. What is left out stays."""
    said = body.model_dump(exclude_unset=True)
    changed = await change(people, permissions, user.id, VehicleId(vehicle), said)
    return shapes.vehicle_json(changed, user.id)


@api.delete("/vehicles/{vehicle}", status_code=204)
async def delete_vehicle(people: PeopleDep, permissions: PermissionsDep, user: UserDep, vehicle: shapes.Name) -> None:
    """It is no longer theirs; a shared one is left."""
    if await people.owns(user.id, VehicleId(vehicle)):
        await delete(people, permissions, user.id, VehicleId(vehicle))
    else:
        await unshare(people, permissions, VehicleId(vehicle), user.id)


@api.get("/vehicles/{vehicle}/users")
async def vehicle_users(people: PeopleDep, user: UserDep, vehicle: shapes.Name) -> list[dict[str, Any]]:
    """Those whom the owner shares it with."""
    return [{"id": each.id, "name": each.name} for each in await people.sharers(user.id, VehicleId(vehicle))]


@api.delete("/vehicles/{vehicle}/users/{sharer}", status_code=204)
async def take_vehicle_back(
    people: PeopleDep, permissions: PermissionsDep, user: UserDep, vehicle: shapes.Name, sharer: shapes.Name
) -> None:
    """The owner shares it with this user no more; a plug-in of theirs goes on without the vehicle."""
    await take_back(people, permissions, user.id, VehicleId(vehicle), UserId(sharer))


@api.post("/vehicles/{vehicle}/code", status_code=201)
async def share_vehicle(people: PeopleDep, user: UserDep, vehicle: shapes.Name) -> dict[str, Any]:
    """A code for another user of this vehicle: one use, ten minutes."""
    return _code_json(await people.new_code(user.id, VehicleId(vehicle)))


@api.get("/terminals")
async def terminals(people: PeopleDep, user: UserDep, request: Request) -> list[dict[str, Any]]:
    """Those linked to the user; ``current`` is the one that asks."""
    own = hash_token(request.cookies.get(TERMINAL_COOKIE, ""))
    return [
        {
            "id": terminal.id,
            "name": terminal.name,
            "created_at": shapes.instant(terminal.created_at),
            "current": terminal.token_hash == own,
        }
        for terminal in await people.terminals(user.id)
    ]


@api.post("/terminals/code", status_code=201)
async def terminal_code(people: PeopleDep, user: UserDep) -> dict[str, Any]:
    """A code for another phone, to be typed there: one use, ten minutes."""
    return _code_json(await people.new_code(user.id))


@api.post("/terminals", status_code=201, dependencies=[Depends(code_limit)])
async def link_terminal(
    people: PeopleDep, settings: SettingsDep, body: TerminalBody, response: Response
) -> dict[str, Any]:
    """Link this terminal by a code that another one shows."""
    linked = await people.link_terminal(body.code, body.name)
    set_terminal(response, linked.terminal_token, settings)
    return {"user": {"id": linked.user.id, "name": linked.user.name}}


@api.delete("/terminals/{terminal}", status_code=204)
async def revoke_terminal(people: PeopleDep, user: UserDep, terminal: shapes.Name) -> None:
    """Unlink one; what it shows ends at once."""
    await people.revoke_terminal(user.id, terminal)


@api.get("/patterns")
async def patterns(store: StoreDep, user: UserDep) -> list[dict[str, Any]]:
    """The user's own and the prepared ones."""
    own = await store.read(lambda conn: reads.patterns(conn, user.id))
    return [shapes.pattern_json(pattern) for pattern in offered(own)]


@api.put("/patterns/{name}")
async def put_pattern(
    permissions: PermissionsDep, people: PeopleDep, user: UserDep, name: shapes.Text, body: PatternBody
) -> dict[str, Any]:
    """Keep conditions under a name. A plug-in that runs under that name is bound by them at once."""
    vehicle = await _own_vehicle(people, user.id, body.vehicle)
    pattern = Pattern(name=name, conditions=body.conditions.domain(), vehicle=vehicle, chosen=body.chosen)
    await permissions.keep(user.id, pattern)
    return shapes.pattern_json(pattern)


@api.post("/patterns/{name}/choose")
async def choose_pattern(
    permissions: PermissionsDep, people: PeopleDep, user: UserDep, name: shapes.Text, body: ChoiceBody
) -> dict[str, Any]:
    """Use a pattern, own or prepared, from now on, for the running plug-in too."""
    vehicle = await _own_vehicle(people, user.id, body.vehicle)
    return shapes.pattern_json(await permissions.choose(user.id, name, vehicle))


@api.delete("/patterns/{name}", status_code=204)
async def delete_pattern(
    permissions: PermissionsDep, user: UserDep, name: shapes.Text, vehicle: VehicleQuery = None
) -> None:
    """A running plug-in keeps its conditions."""
    await permissions.forget(user.id, name, VehicleId(vehicle) if vehicle else None)


async def _own_vehicle(people: PeopleDep, user: UserId, vehicle: str | None) -> VehicleId | None:
    return None if vehicle is None else await people.check_vehicle(user, VehicleId(vehicle))


def _code_json(code: LinkCode) -> dict[str, Any]:
    return {"code": code.code, "expires_at": shapes.instant(code.expires_at)}
