"""Who calls: bearer tokens with scopes for the API, the terminal's cookie for the driver's page.

Only the SHA-256 of a token is stored; tokens are long and random, so a slow hash adds nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from csms.domain.people import User
from csms.edge.http.rooms import ClockDep, PeopleDep, ServedDep, StoreDep
from csms.store import reads

_log = logging.getLogger(__name__)

TERMINAL_COOKIE = "tidewatt_terminal"


class Scope(StrEnum):
    """What a token is for. OPERATOR may do everything, READ may see everything, the others see what is theirs."""

    OPERATOR = "operator"
    HOST = "host"
    DRIVER = "driver"
    FACILITY = "facility"
    SHOP = "shop"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Caller:
    """A token's scope and name; the name is the id of the host, driver, facility or shop it speaks for."""

    scope: Scope
    name: str

    @property
    def sees_all(self) -> bool:
        return self.scope in {Scope.OPERATOR, Scope.READ}

    def check_own(self, owner: str | None) -> None:
        """403 unless the caller sees everything or is the owner."""
        if not self.sees_all and owner != self.name:
            raise HTTPException(403, "this belongs to somebody else")


def token_hash(token: str) -> str:
    """What is stored in place of a token: the hex SHA-256 of its UTF-8 text."""
    return sha256(token.encode()).hexdigest()


def address_of(request: Request) -> str:
    """The caller's network address, for rate limits."""
    return request.client.host if request.client else "unknown"


_bearer = HTTPBearer(auto_error=False, description="A token printed by `csms token create`")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def caller_of(request: Request, served: ServedDep, clock: ClockDep, store: StoreDep, bearer: Bearer) -> Caller:
    """The caller by its bearer token. 401 without a valid one, 429 for a wrong one after too many from one address: the
    right one gets in all the same, or anybody behind the same proxy could lock the operator out (E7)."""
    if bearer is None:
        raise _unauthorized("send Authorization: Bearer and a token from `csms token create`")
    hashed = token_hash(bearer.credentials)
    found = await store.look_up(lambda conn: reads.api_token(conn, hashed))
    if found is not None:
        return Caller(Scope(found[0]), found[1])
    failures, now, address = served.auth_failures, clock.now(), address_of(request)
    if failures.is_full(address, now):
        raise HTTPException(429, "too many wrong tokens from here; wait a minute", {"Retry-After": "60"})
    failures.add(address, now)
    _log.warning("a wrong token of the API from %s", address)
    raise _unauthorized("this token is not known; make one with `csms token create`")


def _unauthorized(text: str) -> HTTPException:
    return HTTPException(401, text, {"WWW-Authenticate": "Bearer"})


CallerDep = Annotated[Caller, Depends(caller_of)]


def requires(*scopes: Scope) -> Callable[[Caller], Caller]:
    """A dependency: 403 unless the caller has one of the scopes (OPERATOR always may)."""

    def check(caller: CallerDep) -> Caller:
        if caller.scope is not Scope.OPERATOR and caller.scope not in scopes:
            raise HTTPException(403, f"the scope {caller.scope} may not do this; use a token with scope operator")
        return caller

    return check


Operator = Annotated[Caller, Depends(requires())]
Reader = Annotated[Caller, Depends(requires(Scope.READ))]
HostReader = Annotated[Caller, Depends(requires(Scope.READ, Scope.HOST))]
HostWriter = Annotated[Caller, Depends(requires(Scope.HOST))]
DriverReader = Annotated[Caller, Depends(requires(Scope.READ, Scope.DRIVER))]


async def terminal_user(request: Request, people: PeopleDep) -> User:
    """The user of the terminal that calls. 401 when it is not linked to anybody."""
    token = request.cookies.get(TERMINAL_COOKIE)
    user = await people.of_terminal(token) if token else None
    if user is None:
        raise HTTPException(401, "this phone is not linked to a driver yet; open the link at the charging point")
    return user


UserDep = Annotated[User, Depends(terminal_user)]
