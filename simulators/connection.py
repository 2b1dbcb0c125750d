"""A station's connection: open, boot, send what waits, lose it, back off, try again."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from simulators.dialect import Dialect
from simulators.handshake import open_socket
from simulators.hardware import Hardware, advance
from simulators.message_queue import Outgoing
from simulators.models import V16
from simulators.rpc import CallError, Frame, Heed, Link, LinkLost, Payload, message_ids

MESSAGE_ATTEMPTS = 3
RETRY_S = 5.0
KEPT_FRAMES = 5000
UNSAID_INTERVAL_S = 10.0
PING_S = 30.0


class Connection:
    """One socket at a time to the CSMS at ``url`` (without the station's id)."""

    def __init__(
        self, hardware: Hardware, dialect: Dialect, url: str, password: str | None, changed: Callable[[], None]
    ) -> None:
        self.spec, self.clock = hardware.spec, hardware.clock
        self.frames: deque[Frame] = deque(maxlen=KEPT_FRAMES)
        self.boots = 0
        self.refusal: str | None = None
        self.link: Link | None = None
        self.connected_at = self.clock.now()
        self.away_until: datetime | None = None
        self._hardware = hardware
        self._dialect = dialect
        self._changed = changed
        self._url = url
        self._password = password
        self._ids = message_ids(f"{hardware.spec.id}-{hardware.random.getrandbits(24):06x}")
        self._wake = asyncio.Event()
        self._leave = asyncio.Event()
        self._abandoned: list[ClientConnection] = []
        self._socket: ClientConnection | None = None
        self._boot_reason: str | None = "PowerUp"

    def wake(self) -> None:
        """Something may be there to send."""
        self._wake.set()

    def drop(self) -> None:
        """Break the connection without a close frame."""
        if self._socket:
            self._socket.transport.abort()

    def go_offline(self, seconds: float) -> None:
        """Break it, and stay away for so long (simulated seconds)."""
        self.away_until = self.clock.now() + timedelta(seconds=seconds)
        self.drop()

    def abandon(self) -> None:
        """Leave the socket half-open: nothing is read, said or closed, and a new one is opened."""
        if self._socket:
            self._socket.transport.pause_reading()
            self._abandoned.append(self._socket)
            self._leave.set()

    async def run(self) -> None:
        """Stay connected until cancelled; the back-off grows until a connection comes to something."""
        wait_s = self.spec.reconnect_s
        try:
            while True:
                await self._sit_out()
                wait_s = self.spec.reconnect_s if await self._once() else min(wait_s * 2, 8 * self.spec.reconnect_s)
                await self.clock.sleep(wait_s * self._hardware.random.random())
        finally:
            for socket in self._abandoned:
                socket.transport.abort()

    async def _once(self) -> bool:
        """One connection; whether the CSMS accepted the station on it."""
        try:
            ping_s = None if self._hardware.behaviour.half_open_every_s else PING_S
            socket = await open_socket(self.spec, self._url, self._password, ping_s)
        except (OSError, TimeoutError, WebSocketException) as error:
            self.refusal = f"{type(error).__name__}: {error}"
            self._changed()
            return False
        if socket.subprotocol is None:
            self.refusal = f"the server does not speak {self.spec.model.version}"
            self._changed()
            await socket.close(1002)
            return False
        return await self._serve(socket)

    async def _sit_out(self) -> None:
        while self.away_until and (left := (self.away_until - self.clock.now()).total_seconds()) > 0:
            await self.clock.sleep(left)

    async def _serve(self, socket: ClientConnection) -> bool:
        """One open socket, until its end."""
        link = Link(socket, self._dialect.handle, self._note, self._ids)
        self._socket, self.link, self.connected_at = socket, link, self.clock.now()
        self._leave.clear()
        ways_out = (link.read(self._hesitate), self._talk(link), self._left())
        tasks = {asyncio.create_task(way) for way in ways_out}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return self._hardware.online
        finally:
            self._offline()
            if socket not in self._abandoned:
                await socket.close(1001)
            await _ended(tasks)

    async def _left(self) -> None:
        await self._leave.wait()

    async def _hesitate(self) -> None:
        if self._hardware.behaviour.answer_delay_s:
            await self.clock.sleep(self._hardware.behaviour.answer_delay_s)

    def _note(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._changed()

    def _offline(self) -> None:
        hardware = self._hardware
        self._socket = self.link = None
        hardware.offline_since = hardware.offline_since or self.clock.now()
        hardware.online = False
        hardware.queue.lose_live()
        if hardware.behaviour.loses_profiles:
            hardware.profiles = ()
        self._changed()

    # --- what is said on it

    async def _talk(self, link: Link) -> None:
        """Boot if need be, then send whatever waits, until a reset."""
        with contextlib.suppress(LinkLost):
            while self._boot_reason and not await self._boot(link, self._boot_reason):
                pass
            self._came_online()
            while not self._resets_now():
                await self._send_next(link)

    async def _boot(self, link: Link, reason: str) -> bool:
        try:
            answer = await link.call(*self._dialect.boot(reason), self.spec.call_timeout_s)
        except (CallError, TimeoutError) as error:
            answer = {"status": str(error), "interval": 0}
        status, interval = answer.get("status"), answer.get("interval", 0)
        if status != "Accepted":
            self.refusal = f"BootNotification: {status}"
            self._changed()
            await self._boot_pause(interval or UNSAID_INTERVAL_S)
            return False
        self._boot_reason, self.refusal = None, None
        self.boots += 1
        self._take_heartbeat(interval)
        return True

    def _take_heartbeat(self, seconds: int) -> None:
        key = "HeartbeatInterval" if self.spec.model.version == V16 else "OCPPCommCtrlr.HeartbeatInterval"
        if seconds > 0:
            self._hardware.configuration.change(key, str(seconds))

    async def _boot_pause(self, seconds: float) -> None:
        """Wait for the CSMS's interval, or for its TriggerMessage."""
        self._hardware.boot_asked = False
        pause = asyncio.ensure_future(self.clock.sleep(seconds))
        pause.add_done_callback(lambda _: self._wake.set())
        while not (pause.done() or self._hardware.boot_asked):
            await self._woken()
        await _ended({pause})

    def _came_online(self) -> None:
        hardware = self._hardware
        advance(hardware, self.clock.now())
        hardware.online, hardware.offline_since = True, None
        self._dialect.all_statuses()

    def _resets_now(self) -> bool:
        """A reset waits for the queue; a scheduled one for the transactions too."""
        reason = self._dialect.reset_asked
        busy = any(evse.session for evse in self._hardware.evses.values())
        if not reason or self._hardware.queue.items or (reason == "ScheduledReset" and busy):
            return False
        self._boot_reason, self._dialect.reset_asked = reason, ""
        return True

    async def _send_next(self, link: Link) -> None:
        items = self._hardware.queue.items
        if not items:
            await self._woken()
            return
        item = items[0]
        try:
            await self._call(link, item, lambda result: self._answered(item, result))
        except (CallError, TimeoutError):
            item.attempts += 1
            if item.kept and item.attempts < MESSAGE_ATTEMPTS:
                await self.clock.sleep(RETRY_S * item.attempts)
                return
            self._answered(item, None)
        for _ in range(item.copies):
            with contextlib.suppress(CallError, TimeoutError):
                await self._call(link, item)

    async def _call(self, link: Link, item: Outgoing, heed: Heed | None = None) -> None:
        await link.call(item.action, item.payload(), self.spec.call_timeout_s, heed)

    def _answered(self, item: Outgoing, result: Payload | None) -> None:
        if not self._hardware.queue.settled(item):
            return
        try:
            if item.done:
                item.done(result)
        except (KeyError, TypeError, ValueError) as error:  # a server that answers nonsense
            self.refusal = f"{item.action}: the answer is not understood ({type(error).__name__}: {error})"
        self._changed()

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()


async def _ended(tasks: "set[asyncio.Task[None]] | set[asyncio.Future[None]]") -> None:
    """Cancel what still runs; raise what really went wrong."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, LinkLost):
            raise result
