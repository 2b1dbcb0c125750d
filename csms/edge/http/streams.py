"""The driver's event stream: the whole state at once, and again at every change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
from sse_starlette import EventSourceResponse, ServerSentEvent

from csms.control.state.feed import Feed
from csms.domain.people import User
from csms.edge.http.driver_state import DriverPage

PING_S = 15


IsLinked = Callable[[], Awaitable[bool]]
"""Whether the terminal that listens is still linked to its user."""


def stream_of(
    page: DriverPage, feed: Feed, is_linked: IsLinked, user: User, closing: asyncio.Event
) -> EventSourceResponse:
    """A response that ends when the server closes, or the terminal is revoked."""
    return EventSourceResponse(states(page, feed, is_linked, user, closing), ping=PING_S)


async def states(
    page: DriverPage, feed: Feed, is_linked: IsLinked, user: User, closing: asyncio.Event
) -> AsyncIterator[ServerSentEvent]:
    """One `state` event now and one per change. Subscribed before the first is read, so no change is missed."""
    with feed.subscribe(user.id) as wakeups:
        while not closing.is_set() and await is_linked():
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
