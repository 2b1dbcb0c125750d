"""A driver's phone: the page's own requests, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import orjson

DEADLINE_S = 60.0
VEHICLE = {"name": "Leaf", "capacity_wh": 40_000, "max_charge_w": 7360, "max_discharge_w": 6000}


class Driver:
    """One terminal with its cookie."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, timeout=30, trust_env=False)
        self.id = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def register(self, link: str, **vehicle: Any) -> None:
        body = {"link": _path(link), "name": "Aki", "vehicle": VEHICLE | vehicle}
        self.id = (await self._post("/d/api/register", body))["user"]["id"]

    async def claim(self, link: str) -> Any:
        return (await self._post("/d/api/claim", {"link": _path(link)}))["plug_in"]

    async def state(self) -> dict[str, Any]:
        return (await self._http.get("/d/api/state")).raise_for_status().json()

    async def keep(self, **conditions: Any) -> None:
        """PUT the conditions that hold from now on."""
        (await self._http.put("/d/api/conditions", json=conditions)).raise_for_status()

    async def answer(self, *, granted: bool, plug_in: str | None = None, **conditions: Any) -> dict[str, Any]:
        """Yes or no to the question that the page shows."""
        id_ = plug_in or (await self.state())["plug_in"]["id"]
        body = {"granted": granted, "conditions": conditions or None}
        return await self._post(f"/d/api/plug-ins/{id_}/answer", body)

    async def sees(self, holds: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        """Listen to the Server-Sent Events until the page shows it; that state."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                async for state in self._events():
                    if holds(state):
                        return state
        except TimeoutError:
            raise AssertionError(f"the page never showed {what}: {await self.state()}") from None
        raise AssertionError(f"the stream ended before {what}")

    async def sees_permission(self, state: str) -> dict[str, Any]:
        return await self.sees(lambda page: (page["plug_in"] or _NONE)["permission"]["state"] == state, state)

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        async with self._http.stream("GET", "/d/api/events", timeout=httpx.Timeout(10, read=None)) as stream:
            event = ""
            async for line in stream.aiter_lines():
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:") and event == "state":
                    yield orjson.loads(line[5:])

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self._http.post(path, json=body)
        assert answer.is_success, f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json()


_NONE: dict[str, Any] = {"permission": {"state": None}}


def _path(link: str) -> str:
    split = urlsplit(link)
    return f"{split.path}?{split.query}"
