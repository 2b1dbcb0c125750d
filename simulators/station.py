"""A charging station on a socket: connects, boots, charges and discharges, reconnects; any OCPP version."""

import asyncio
import base64
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from simulators.behaviours import Behaviour, combined
from simulators.cabinet import Bay, Cabinet, advance, open_cabinet
from simulators.clock import Clock, ScaledClock
from simulators.dialect import Speech
from simulators.ev import Ev
from simulators.models import V16, StationSpec
from simulators.outbox import Outgoing
from simulators.rpc import CallError, Frame, Link, LinkLost, Payload, message_ids
from simulators.station_v2 import Speech2
from simulators.station_v16 import Speech16

MESSAGE_ATTEMPTS = 3
RETRY_S = 5.0
KEPT_FRAMES = 5000


class Station:
    """One station. ``url`` is the CSMS's OCPP address without the station's id.

    Use it as an async context manager, or await ``run``. Everything else is called from the same event loop.
    """

    def __init__(
        self,
        spec: StationSpec,
        url: str,
        *,
        password: str | None = None,
        clock: Clock | None = None,
        behaviours: Iterable[str | Behaviour] = (),
        seed: int = 0,
    ) -> None:
        self.spec = spec
        self.clock = clock or ScaledClock()
        self.frames: deque[Frame] = deque(maxlen=KEPT_FRAMES)
        self.boots = 0
        self.refusal: str | None = None
        """Why the last attempt to connect or boot failed."""
        self._address = f"{url.rstrip('/')}/{quote(spec.id)}"
        self._password = password
        self._cabinet = open_cabinet(spec, self.clock, combined(*behaviours), seed)
        self._cabinet.changed = self._changed
        self._speech: Speech = Speech16(self._cabinet) if spec.model.version == V16 else Speech2(self._cabinet)
        self._ids = message_ids(f"{spec.id}-{self._cabinet.random.getrandbits(24):06x}")
        self._wake = asyncio.Event()
        self._watchers: list[asyncio.Future[None]] = []
        self._link: tuple[ClientConnection, Link] | None = None
        self._boot_reason: str | None = "PowerUp"
        self._away_until: datetime | None = None
        self._connected_at = self._heard_at = self.clock.now()
        self._task: asyncio.Task[None] | None = None

    # --- what a test or a scenario does with it

    @property
    def online(self) -> bool:
        """Connected and accepted by the CSMS."""
        return self._cabinet.online

    @property
    def cabinet(self) -> Cabinet:
        """The inside: profiles, configuration, outbox."""
        return self._cabinet

    def bay(self, evse: int = 1) -> Bay:
        """One EVSE: ``meter`` (power_w, import_wh, export_wh), ``ev``, ``session``, ``status``."""
        advance(self._cabinet, self.clock.now())
        return self._cabinet.bays[evse]

    def plug(self, ev: Ev, evse: int = 1) -> None:
        """The cable goes in."""
        bay = self.bay(evse)
        bay.ev, bay.plugged_at = ev, self.clock.now()
        self._speech.plugged(bay)

    def unplug(self, evse: int = 1) -> Ev | None:
        """The cable comes out; returns the vehicle as it leaves."""
        bay = self.bay(evse)
        ev, bay.ev, bay.plugged_at = bay.ev, None, None
        bay.meter = replace(bay.meter, power_w=0.0)
        self._speech.unplugged(bay)
        return ev

    def present(self, token: str, evse: int = 1, token_type: str = "ISO14443") -> None:  # noqa: S107 — a kind
        """Somebody holds a card to the reader."""
        self._speech.present(self.bay(evse), token, token_type)

    def drop_socket(self) -> None:
        """The connection breaks without a close frame."""
        if self._link:
            self._link[0].transport.abort()

    def go_offline(self, seconds: float) -> None:
        """No connection for so long (simulated seconds)."""
        self._away_until = self.clock.now() + timedelta(seconds=seconds)
        self.drop_socket()

    async def until(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait (wall time) until something holds. Raises TimeoutError, or what stopped the station."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                if self._task and self._task.done():
                    self._task.result()
                watcher = asyncio.get_running_loop().create_future()
                self._watchers.append(watcher)
                await watcher

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run())
        self._task.add_done_callback(lambda _: self._changed())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._live())
            both.create_task(self._stay_connected())

    # --- time

    async def _live(self) -> None:
        while True:
            await self.clock.sleep(min(self.spec.tick_s, self._interval_s() / 2 or self.spec.tick_s))
            self.tick()

    def _interval_s(self) -> float:
        return self._cabinet.configuration.interval_s(self.spec.interval_fraction)

    def tick(self) -> None:
        """Energy flows up to now; states and samples are reported."""
        now = self.clock.now()
        advance(self._cabinet, now)
        for bay in self._cabinet.bays.values():
            self._speech.tick(bay)
            self._sample_when_due(bay, now)
        self._misbehave(now)
        self._heartbeat_when_due(now)
        self._changed()

    def _sample_when_due(self, bay: Bay, now: datetime) -> None:
        interval = timedelta(seconds=self._interval_s())
        if bay.session is None or not interval:
            return
        due = bay.next_sample_at or bay.session.started_at + interval
        if now >= due:
            self._speech.sample(bay)
            due = max(due + interval, now)
        bay.next_sample_at = due

    def _heartbeat_when_due(self, now: datetime) -> None:
        if self.online and (now - self._heard_at).total_seconds() >= self._cabinet.configuration.number("heartbeat"):
            self._heard_at = now
            self._cabinet.tell("Heartbeat", {})

    def _misbehave(self, now: datetime) -> None:
        behaviour, age_s = self._cabinet.behaviour, (now - self._cabinet.began_at).total_seconds()
        if behaviour.offline_for_s and self._away_until is None and age_s >= behaviour.offline_at_s:
            self.go_offline(behaviour.offline_for_s)
        if self._link is None:
            return
        frames = behaviour.drop_after_frames
        if frames and self._link[1].sent_frames >= frames:
            self.drop_socket()
        every_s = behaviour.drop_every_s
        if every_s and (now - self._connected_at).total_seconds() >= every_s:
            self.drop_socket()

    # --- the socket

    async def _stay_connected(self) -> None:
        wait_s = self.spec.reconnect_s
        while True:
            await self._sit_out()
            try:
                socket = await self._open()
            except (OSError, TimeoutError, WebSocketException) as error:
                self.refusal = f"{type(error).__name__}: {error}"
                self._changed()
                await self.clock.sleep(wait_s * (1 + self._cabinet.random.random()))
                wait_s = min(wait_s * 2, 8 * self.spec.reconnect_s)
                continue
            wait_s = self.spec.reconnect_s
            await self._serve(socket)
            await self.clock.sleep(wait_s * self._cabinet.random.random())

    async def _sit_out(self) -> None:
        while self._away_until and (left := (self._away_until - self.clock.now()).total_seconds()) > 0:
            await self.clock.sleep(left)

    async def _open(self) -> ClientConnection:
        version = self.spec.model.version
        return await connect(
            self._address,
            subprotocols=[Subprotocol(version)],
            additional_headers=self._credentials(),
            compression=None if version == V16 else "deflate",
            proxy=None,
            ping_interval=30,
            open_timeout=10,
            close_timeout=2,
        )

    def _credentials(self) -> dict[str, str]:
        if self._password is None:
            return {}
        word = base64.b64encode(f"{self.spec.id}:{self._password}".encode()).decode()
        return {"Authorization": f"Basic {word}"}

    async def _serve(self, socket: ClientConnection) -> None:
        """One connection, from the open socket to its end."""
        link = Link(socket, self._speech.handle, self._note, self._ids)
        self._link, self._connected_at = (socket, link), self.clock.now()
        tasks = {asyncio.create_task(link.read(self._hesitate)), asyncio.create_task(self._talk(link))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._offline()
            await socket.close(1001)
            await _ended(tasks)

    async def _hesitate(self) -> None:
        if self._cabinet.behaviour.answer_delay_s:
            await self.clock.sleep(self._cabinet.behaviour.answer_delay_s)

    def _note(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._changed()

    def _offline(self) -> None:
        cabinet, self._link = self._cabinet, None
        cabinet.offline_since = cabinet.offline_since or self.clock.now()
        cabinet.online = False
        cabinet.outbox.lose_live()
        if cabinet.behaviour.loses_profiles:
            cabinet.profiles = ()
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
            answer = await link.call(*self._speech.boot(reason), self.spec.call_timeout_s)
        except (CallError, TimeoutError) as error:
            answer = {"status": str(error), "interval": 0}
        if answer["status"] != "Accepted":
            self.refusal = f"BootNotification: {answer['status']}"
            await self._boot_pause(answer["interval"] or 10)
            return False
        self._boot_reason, self.refusal = None, None
        self.boots += 1
        self._take_heartbeat(answer["interval"])
        return True

    def _take_heartbeat(self, seconds: int) -> None:
        key = "HeartbeatInterval" if self.spec.model.version == V16 else "OCPPCommCtrlr.HeartbeatInterval"
        if seconds > 0:
            self._cabinet.configuration.change(key, str(seconds))

    async def _boot_pause(self, seconds: float) -> None:
        """Wait for the CSMS's interval, or for its TriggerMessage."""
        self._cabinet.boot_asked = False
        pause = asyncio.ensure_future(self.clock.sleep(seconds))
        pause.add_done_callback(lambda _: self._wake.set())
        while not (pause.done() or self._cabinet.boot_asked):
            await self._woken()
        await _ended({pause})

    def _came_online(self) -> None:
        cabinet = self._cabinet
        advance(cabinet, self.clock.now())
        cabinet.online, cabinet.offline_since, self._heard_at = True, None, self.clock.now()
        self._speech.all_statuses()

    def _resets_now(self) -> bool:
        """A reset waits for the outbox; a scheduled one for the transactions too."""
        reason = self._speech.reset_asked
        busy = any(bay.session for bay in self._cabinet.bays.values())
        if not reason or self._cabinet.outbox.items or (reason == "ScheduledReset" and busy):
            return False
        self._boot_reason, self._speech.reset_asked = reason, ""
        return True

    async def _send_next(self, link: Link) -> None:
        items = self._cabinet.outbox.items
        if not items:
            await self._woken()
            return
        item = items[0]
        try:
            result = await link.call(item.action, item.payload(), self.spec.call_timeout_s)
        except (CallError, TimeoutError):
            item.attempts += 1
            if item.kept and item.attempts < MESSAGE_ATTEMPTS:
                await self.clock.sleep(RETRY_S * item.attempts)
                return
            result = None
        self._cabinet.outbox.items.popleft()
        await self._said(link, item, result)

    async def _said(self, link: Link, item: Outgoing, result: Payload | None) -> None:
        if item.done:
            item.done(result)
        for _ in range(item.copies):
            with contextlib.suppress(CallError, TimeoutError):
                await link.call(item.action, item.payload(), self.spec.call_timeout_s)
        self._changed()

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    def _changed(self) -> None:
        self._wake.set()
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)


async def _ended(tasks: "set[asyncio.Task[None]] | set[asyncio.Future[None]]") -> None:
    """Cancel what still runs; raise what really went wrong."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, LinkLost):
            raise result
