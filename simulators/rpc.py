"""OCPP-J from the station's side of one socket: one CALL at a time in each direction (part 4 §4.1.1)."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

Payload = dict[str, Any]
CALL, RESULT, ERROR = 2, 3, 4


class CallError(Exception):
    """The other side answered, or is to be answered, with CALLERROR."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


class LinkLost(Exception):
    """The socket went away before the answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a CALL, and what the station does once the answer has left."""

    payload: Payload
    then: Callable[[], None] | None = None


Handle = Callable[[str, Payload], Reply]
Heed = Callable[[Payload], None]


@dataclass(frozen=True, slots=True)
class Frame:
    """One text frame as it went over the socket; ``sent`` by the station."""

    sent: bool
    text: str


class Link:
    """One open socket."""

    def __init__(
        self, socket: ClientConnection, handle: Handle, note: Callable[[Frame], None], ids: Callable[[], str]
    ) -> None:
        self._socket = socket
        self._handle = handle
        self._note = note
        self._ids = ids
        self._turn = asyncio.Lock()
        self._waiting: tuple[str, asyncio.Future[Payload], Heed | None] | None = None
        self.sent_frames = 0

    async def call(self, action: str, payload: Payload, timeout_s: float, heed: Heed | None = None) -> Payload:
        """Send a CALL and wait. Raises CallError, TimeoutError, LinkLost.

        ``heed`` takes the result before the next frame is read: what the CSMS sends right behind it may build on it.
        """
        async with self._turn:
            message_id = self._ids()
            answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
            self._waiting = (message_id, answer, heed)
            try:
                await self._send([CALL, message_id, action, payload])
                async with asyncio.timeout(timeout_s):
                    return await answer
            finally:
                self._waiting = None

    async def read(self, answer_delay: Callable[[], Awaitable[None]]) -> None:
        """Serve the socket until it closes; then a waiting call fails with LinkLost."""
        try:
            async for text in self._socket:
                await self._received(text if isinstance(text, str) else text.decode(), answer_delay)
        except ConnectionClosed:
            pass
        finally:
            if self._waiting and not self._waiting[1].done():
                self._waiting[1].set_exception(LinkLost())

    async def _received(self, text: str, answer_delay: Callable[[], Awaitable[None]]) -> None:
        self._note(Frame(sent=False, text=text))
        message = _parsed(text)
        if message and message[0] == CALL:
            await answer_delay()
            await self._answer(message[1], message[2], message[3])
        elif message and self._waiting and self._waiting[0] == message[1] and not self._waiting[1].done():
            if message[0] == RESULT and self._waiting[2]:
                self._waiting[2](message[2])
            _settle(self._waiting[1], message)

    async def _answer(self, message_id: str, action: str, payload: Payload) -> None:
        try:
            reply = self._handle(action, payload)
        except CallError as error:
            await self._send([ERROR, message_id, error.code, error.description, {}])
            return
        await self._send([RESULT, message_id, reply.payload])
        if reply.then:
            reply.then()

    async def _send(self, message: list[Any]) -> None:
        text = orjson.dumps(message).decode()
        self._note(Frame(sent=True, text=text))
        self.sent_frames += 1
        try:
            await self._socket.send(text)
        except ConnectionClosed as error:
            raise LinkLost from error


def _parsed(text: str) -> list[Any] | None:
    """An OCPP-J frame, or None for what is none; a station ignores it."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    shapes = ((CALL, 4), (RESULT, 3), (ERROR, 5))
    return message if isinstance(message, list) and (*message[:1], len(message)) in shapes else None


def _settle(answer: "asyncio.Future[Payload]", message: list[Any]) -> None:
    if message[0] == RESULT:
        answer.set_result(message[2])
    elif message[0] == ERROR:
        answer.set_exception(CallError(message[2], message[3]))


def message_ids(prefix: str) -> Callable[[], str]:
    """Message ids that are unique over the sockets of one station (36 characters at most)."""
    count = itertools.count(1)
    return lambda: f"{prefix[:26]}-{next(count)}"
