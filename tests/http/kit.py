"""The application on a real control and a real store: tokens, a driver's form, what is stored beside."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI

import handlers
from csms.edge.http.app import build
from csms.edge.hub import Hub
from csms.store import writes
from tests.control.kit import E1, START, S, World

STATION, EVSE = S, E1
HOST = "inn"
NAMES: Mapping[str, str] = {"host": HOST, "driver": "u-1"}
SCOPES = ("operator", "host", "driver", "facility", "shop", "read")
ORIGIN = "http://127.0.0.1:8080"


def application(w: World) -> FastAPI:
    """As the daemon builds it; the edge is there and does not listen."""
    hub = Hub(w.system.rooms.intake, w.system.admission, w.clock, w.settings.ocpp, handlers)
    return build(w.system, hub)


def link(w: World) -> str:
    """What the code at the EVSE says."""
    return w.system.links.of(EVSE)


async def add_token(w: World, token: str, scope: str, name: str) -> None:
    """An API token as `csms token create` makes it."""
    hashed = hashlib.sha256(token.encode()).hexdigest()
    add = partial(writes.add_api_token, token_hash=hashed, scope=scope, name=name, at=START)
    await w.store.writer.run(add)


async def add_tokens(w: World) -> None:
    """One per scope; the host's is the station's host."""
    for scope in SCOPES:
        await add_token(w, f"token-of-{scope}", scope, NAMES.get(scope, scope))


def bearer(name: str = "operator") -> dict[str, str]:
    """The header of the token of a scope; "me" is that of the driver who registered."""
    return {"Authorization": f"Bearer token-of-{name}"}


def registration(of_link: str, **changes: Any) -> dict[str, Any]:
    """The form a new driver sends."""
    vehicle = {"name": "Leaf", "capacity_wh": 40_000, "max_charge_w": 6_000, "max_discharge_w": 6_000}
    return {"link": of_link, "name": "Aiko", "language": "ja", "vehicle": vehicle} | changes
