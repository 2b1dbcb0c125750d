"""The driver's event stream: the whole state at once, and again at every change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import orjson
from sse_starlette import EventSourceResponse, ServerSentEvent

from csms.control.state.feed import Feed
from csms.domain.people import User
from csms.edge.http.driver_state import DriverPage

PING_S = 15


def stream_of(page: DriverPage, feed: Feed, user: User, closing: asyncio.Event) -> EventSourceResponse:
    """An endless response that ends when the server closes."""
    return EventSourceResponse(states(page, feed, user, closing), ping=PING_S)


async def states(page: DriverPage, feed: Feed, user: User, closing: asyncio.Event) -> AsyncIterator[ServerSentEvent]:
    """One `state` event now and one per change. Subscribed before the first is read, so no change is missed."""
    with feed.subscribe(user.id) as wakeups:
        while not closing.is_set():
            data = orjson.dumps(await page.state(user)).decode()
            yield ServerSentEvent(data, event="state", retry=3000)
            await _first_of(wakeups.wait(), closing.wait())


async def _first_of(*waits: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
