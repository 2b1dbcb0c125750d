"""A charging station on a socket: connects, boots, charges and discharges, reconnects; any OCPP version."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from simulators.behaviours import Behaviour, combined
from simulators.clock import Clock, ScaledClock
from simulators.connection import Connection
from simulators.dialect import Dialect
from simulators.ev import Ev
from simulators.hardware import Evse, Hardware, advance, new_hardware
from simulators.models import V16, StationSpec
from simulators.rpc import Frame
from simulators.station_v2 import Dialect2
from simulators.station_v16 import Dialect16


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
        self._hardware = new_hardware(spec, self.clock, combined(*behaviours), seed)
        self._hardware.changed = self._changed
        self._dialect: Dialect = Dialect16(self._hardware) if spec.model.version == V16 else Dialect2(self._hardware)
        self._connection = Connection(self._hardware, self._dialect, url, password, self._changed)
        self._watchers: list[asyncio.Future[None]] = []
        self._heard_at = self.clock.now()
        self._task: asyncio.Task[None] | None = None

    # --- what a test or a scenario does with it

    @property
    def online(self) -> bool:
        """Connected and accepted by the CSMS."""
        return self._hardware.online

    @property
    def frames(self) -> Sequence[Frame]:
        """The newest frames, both ways."""
        return self._connection.frames

    @property
    def boots(self) -> int:
        """How many BootNotifications were accepted."""
        return self._connection.boots

    @property
    def refusal(self) -> str | None:
        """Why the last attempt to connect or boot failed; None after a success."""
        return self._connection.refusal

    @property
    def hardware(self) -> Hardware:
        """The inside: profiles, configuration, queue."""
        return self._hardware

    def evse(self, number: int = 1) -> Evse:
        """One EVSE: ``meter`` (power_w, import_wh, export_wh), ``ev``, ``session``, ``status``."""
        advance(self._hardware, self.clock.now())
        return self._hardware.evses[number]

    def plug(self, ev: Ev, number: int = 1) -> None:
        """The cable goes in."""
        evse = self.evse(number)
        evse.ev, evse.plugged_at = ev, self.clock.now()
        self._dialect.plugged(evse)

    def unplug(self, number: int = 1) -> Ev | None:
        """The cable comes out; returns the vehicle as it leaves."""
        evse = self.evse(number)
        ev, evse.ev, evse.plugged_at = evse.ev, None, None
        evse.meter = replace(evse.meter, power_w=0.0)
        self._dialect.unplugged(evse)
        return ev

    def present(self, token: str, number: int = 1, token_type: str = "ISO14443") -> None:  # noqa: S107 — a kind
        """Somebody holds a card to the reader."""
        self._dialect.present(self.evse(number), token, token_type)

    def drop_socket(self) -> None:
        """The connection breaks without a close frame."""
        self._connection.drop()

    def go_offline(self, seconds: float) -> None:
        """No connection for so long (simulated seconds)."""
        self._connection.go_offline(seconds)

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
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
            both.create_task(self._connection.run())

    # --- time

    async def _live(self) -> None:
        while True:
            await self.clock.sleep(min(self.spec.tick_s, self._interval_s() / 2 or self.spec.tick_s))
            self.tick()

    def _interval_s(self) -> float:
        return self._hardware.configuration.interval_s(self.spec.interval_fraction)

    def tick(self) -> None:
        """Energy flows up to now; states and samples are reported."""
        now = self.clock.now()
        advance(self._hardware, now)
        for evse in self._hardware.evses.values():
            self._dialect.tick(evse)
            self._sample_when_due(evse, now)
        self._misbehave(now)
        self._heartbeat_when_due(now)
        self._changed()

    def _sample_when_due(self, evse: Evse, now: datetime) -> None:
        interval = timedelta(seconds=self._interval_s())
        if evse.session is None or not interval:
            return
        due = evse.next_sample_at or evse.session.started_at + interval
        if now >= due:
            self._dialect.sample(evse)
            due = max(due + interval, now)
        evse.next_sample_at = due

    def _heartbeat_when_due(self, now: datetime) -> None:
        if self.online and (now - self._heard_at).total_seconds() >= self._hardware.configuration.number("heartbeat"):
            self._heard_at = now
            self._hardware.tell("Heartbeat", {})

    def _misbehave(self, now: datetime) -> None:
        behaviour, age_s = self._hardware.behaviour, (now - self._hardware.began_at).total_seconds()
        if behaviour.offline_for_s and self._connection.away_until is None and age_s >= behaviour.offline_at_s:
            self.go_offline(behaviour.offline_for_s)
        link, connected_s = self._connection.link, (now - self._connection.connected_at).total_seconds()
        spoke_enough = link and 0 < behaviour.drop_after_frames <= link.sent_frames
        if spoke_enough or 0 < behaviour.drop_every_s <= connected_s:
            self.drop_socket()
        if 0 < behaviour.half_open_every_s <= connected_s:
            self._connection.abandon()

    def _changed(self) -> None:
        self._connection.wake()
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)
