"""A driver with a phone: opens the EVSE's link, registers, and answers the question (requirements P1, P3, P4)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import orjson

from simulators.clock import Clock

Answer = Literal["yes", "no", "never"]
RETRY_S = 1.0
CLAIMS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who comes, and what they say. ``conditions`` goes to the server as it is."""

    name: str
    vehicle: dict[str, Any]
    answer: Answer = "yes"
    answer_after_s: float = 1.0
    language: str = "en"
    conditions: dict[str, Any] = field(default_factory=dict)


class Phone:
    """One phone; it keeps its cookie from visit to visit. Counts what it saw."""

    def __init__(self, clock: Clock, client: httpx.AsyncClient | None = None) -> None:
        self.asked: set[str] = set()
        self.answered: dict[str, bool] = {}
        self.trouble: str | None = None
        """The last thing that went wrong, for people."""
        self._registered = False
        self._clock = clock
        self._client = client or httpx.AsyncClient(timeout=10, trust_env=False, follow_redirects=True)

    async def close(self) -> None:
        await self._client.aclose()

    async def visit(self, link: str, person: Person) -> None:
        """Open an EVSE's link, register there, and answer whatever is asked, until cancelled."""
        base = "{0.scheme}://{0.netloc}".format(urlsplit(link))
        await self._insist(lambda: self._arrive(base, link, person))
        while True:
            await self._insist(lambda: self._listen(base, person))
            await asyncio.sleep(RETRY_S)

    async def _insist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try again until the server does not say no."""
        while True:
            try:
                await attempt()
            except httpx.HTTPError as error:
                self.trouble = f"{type(error).__name__}: {error}".splitlines()[0]
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _arrive(self, base: str, link: str, person: Person) -> None:
        """The first time: one form. Later: the link again; until the server knows that the vehicle is there."""
        if not self._registered:
            (await self._client.get(link)).raise_for_status()
            body = {"link": link, "name": person.name, "language": person.language, "vehicle": person.vehicle}
            await self._post(f"{base}/d/api/register", body)
            self._registered = True
        for _ in range(CLAIMS):
            if (await self._state(base))["plug_in"] is not None:
                return
            await self._post(f"{base}/d/api/claim", {"link": link})
            await asyncio.sleep(RETRY_S)

    async def _post(self, url: str, body: dict[str, Any]) -> None:
        (await self._client.post(url, json=body)).raise_for_status()

    async def _state(self, base: str) -> dict[str, Any]:
        response = await self._client.get(f"{base}/d/api/state")
        response.raise_for_status()
        state: dict[str, Any] = response.json()
        return state

    async def _listen(self, base: str, person: Person) -> None:
        async for state in self._states(base):
            await self._react(base, state, person)

    async def _states(self, base: str) -> AsyncIterator[dict[str, Any]]:
        """The state now, then every state that the server sends."""
        yield await self._state(base)
        async with self._client.stream("GET", f"{base}/d/api/events", timeout=httpx.Timeout(10, read=None)) as stream:
            stream.raise_for_status()
            async for event, data in server_sent_events(stream.aiter_lines()):
                if event == "state":
                    yield orjson.loads(data)

    async def _react(self, base: str, state: dict[str, Any], person: Person) -> None:
        plug_in = state.get("plug_in")
        if plug_in is None or plug_in["permission"]["state"] != "asked":
            return
        self.asked.add(plug_in["id"])
        if person.answer == "never" or plug_in["id"] in self.answered:
            return
        await self._clock.sleep(person.answer_after_s)
        granted = person.answer == "yes"
        body = {"granted": granted, "conditions": person.conditions or None}
        await self._post(f"{base}/d/api/plug-ins/{plug_in['id']}/answer", body)
        self.answered[plug_in["id"]] = granted


async def server_sent_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """(event, data) pairs of a text/event-stream (WHATWG HTML §9.2.6)."""
    event, data = "message", list[str]()
    async for line in lines:
        name, _, value = line.partition(":")
        if not line:
            if data:
                yield event, "\n".join(data)
            event, data = "message", []
        elif name == "event":
            event = value.removeprefix(" ")
        elif name == "data":
            data.append(value.removeprefix(" "))
