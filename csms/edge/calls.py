"""Our CALLs to one station: one at a time, first come first served, each with its time limit. V2G-52."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from csms.domain.commands import CallOutcome, Offline, TimedOut
from csms.edge import frames
from csms.edge.rpc import Rpc


class Outgoing:
    """A CALL of ours, ready to be sent. Whoever asked for it waits on ``future``."""

    __slots__ = ("action", "future", "message_id", "text", "timer")

    def __init__(self, message_id: str, action: str, payload: Mapping[str, Any]) -> None:
        self.message_id = message_id
        self.action = action
        self.text = frames.call(message_id, action, payload)
        self.future: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None

    def finish(self, outcome: CallOutcome) -> None:
        """Tell who waits, if anyone still does."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.future.done():
            self.future.set_result(outcome)


class Calls:
    """The slot and the queue of one connection. When the connection ends, so do all its calls."""

    __slots__ = ("_is_over", "_open", "_queue", "_rpc", "_send")

    def __init__(self, rpc: Rpc, send: Callable[[bytes], None]) -> None:
        self._rpc = rpc
        self._send = send
        self._open: Outgoing | None = None
        self._queue: deque[Outgoing] | None = None
        self._is_over = False

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallOutcome:
        """Send when those before it are done. The time limit includes the wait: nothing is sent late."""
        if self._is_over:
            return Offline()
        outgoing.timer = outgoing.future.get_loop().call_later(timeout_s, self._expire, outgoing)
        if self._open is None:
            self._start(outgoing)
        else:
            self._queue = self._queue or deque()
            self._queue.append(outgoing)
        return await outgoing.future

    def answered(self, outcome: CallOutcome) -> None:
        """The open call is done; the next one goes out."""
        outgoing, self._open = self._open, None
        if outgoing is not None:
            outgoing.finish(outcome)
        while self._queue and self._open is None:
            compliance = self._queue.popleft()
            if not compliance.future.done():
                self._start(compliance)
        if not self._queue:
            self._queue = None

    def end(self) -> None:
        """The connection is gone: nobody waits any longer (field lesson 7)."""
        self._is_over = True
        outgoing, self._open = self._open, None
        waiting, self._queue = self._queue, None
        for call in ([outgoing] if outgoing else []) + list(waiting or ()):
            call.finish(Offline())

    def _start(self, outgoing: Outgoing) -> None:
        self._rpc.open(outgoing.message_id, outgoing.action)
        self._open = outgoing
        self._send(outgoing.text)

    def _expire(self, outgoing: Outgoing) -> None:
        if self._open is outgoing:
            self._rpc.give_up()
            self.answered(TimedOut())
        else:
            outgoing.finish(TimedOut())
