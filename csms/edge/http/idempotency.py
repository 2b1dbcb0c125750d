"""Idempotency-Key on POST: the same request again gets the first one's answer and changes nothing."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic_core import to_json

from csms.domain.errors import BadRequest, Conflict
from csms.domain.ports import Clock
from csms.edge.http.auth import CallerDep
from csms.edge.http.rooms import ClockDep, ServedDep, StoreDep
from csms.store import Store, reads, writes

Work = Callable[[], Awaitable[Any]]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="Repeating a POST with the same key and body gives the first answer again.",
    ),
]


class Once:
    """One POST. Keys are the caller's own; only answers that succeeded are kept, an error may be tried again."""

    def __init__(self, store: Store, clock: Clock, running: set[str], key: str | None, fingerprint: str) -> None:
        self._store, self._clock = store, clock
        self._running, self._key, self._fingerprint = running, key, fingerprint

    async def run(self, status: int, work: Work) -> Response:
        """The JSON answer of ``work`` with ``status``, or that of its first run.

        Raises BadRequest when the key was used for another request, Conflict while the first is still running.
        """
        if self._key is None:
            return _json(status, to_json(await work()))
        if self._key in self._running:
            raise Conflict("the first request with this Idempotency-Key is still running; try again later")
        self._running.add(self._key)
        try:
            return await self._first_or_again(self._key, status, work)
        finally:
            self._running.discard(self._key)

    async def _first_or_again(self, key: str, status: int, work: Work) -> Response:
        kept = await self._store.look_up(lambda conn: reads.idempotency(conn, key))
        if kept is not None:
            return _again(kept, self._fingerprint)
        body = to_json(await work())
        text, at = body.decode(), self._clock.now()
        await self._store.writer.run(
            lambda conn: writes.save_idempotency(conn, key, self._fingerprint, status, text, at)
        )
        return _json(status, body)


def _again(kept: tuple[str, int, str], fingerprint: str) -> Response:
    if kept[0] != fingerprint:
        raise BadRequest("this key was used for another request; use a new one", field="Idempotency-Key")
    return _json(kept[1], kept[2].encode())


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, media_type="application/json")


async def once_of(
    request: Request, served: ServedDep, store: StoreDep, clock: ClockDep, caller: CallerDep, key: Key = None
) -> Once:
    """The dependency of every POST."""
    own_key = None if key is None else f"{caller.scope}:{caller.name}:{key}"
    about = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return Once(store, clock, served.running_posts, own_key, sha256(about).hexdigest())


OnceDep = Annotated[Once, Depends(once_of)]
