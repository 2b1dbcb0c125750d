"""Limits on what one caller may do: a sliding window of counts, and a bound on request bodies."""

from collections import OrderedDict, deque
from datetime import datetime, timedelta

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from csms.edge.http.problems import problem

MAX_BODY_BYTES = 1024 * 1024


class SlidingWindow:
    """Counts per key over the last ``span``. Bounded: the key used longest ago is forgotten first."""

    def __init__(self, limit: int, span: timedelta = timedelta(minutes=1), keys: int = 10_000) -> None:
        self._limit, self._span, self._keys = limit, span, keys
        self._times: OrderedDict[str, deque[datetime]] = OrderedDict()

    def is_full(self, key: str, now: datetime) -> bool:
        """Whether ``key`` has used up its limit."""
        times = self._times.get(key)
        while times and times[0] <= now - self._span:
            times.popleft()
        return times is not None and len(times) >= self._limit

    def add(self, key: str, now: datetime) -> None:
        """Count one more for ``key``."""
        self._times.setdefault(key, deque(maxlen=self._limit)).append(now)
        self._times.move_to_end(key)
        if len(self._times) > self._keys:
            self._times.popitem(last=False)


class BodyLimit:
    """ASGI middleware: 413 for bodies over the limit, by their declared length or as they come in."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared_bytes(scope) > self._max_bytes:
            await problem(413, _too_large(self._max_bytes))(scope, receive, send)
        else:
            await self._app(scope, _counting(receive, self._max_bytes), send)


def _too_large(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes} bytes; send less at a time"


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0


def _counting(receive: Receive, max_bytes: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > max_bytes:
            raise HTTPException(413, _too_large(max_bytes))
        return message

    return counted
