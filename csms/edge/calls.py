"""Our CALLs to one station: one at a time, the most urgent first, each with its time limit. V2G-52, C7."""

import asyncio
from collections.abc import Callable, Mapping
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Any, Final

from csms.domain.commands import CallOutcome, Offline, TimedOut
from csms.domain.record import SentCall
from csms.edge import frames
from csms.edge.rpc import Rpc


class Urgency(IntEnum):
    """What goes out first when several calls wait."""

    STOP = 0
    """Less power, or none: a fuse or a person may wait for it."""
    START = 1
    STATUS = 2
    READ = 3
    """Reading and configuration can wait."""


_URGENT: Final[Mapping[str, Urgency]] = {
    **dict.fromkeys(("RemoteStopTransaction", "RequestStopTransaction"), Urgency.STOP),
    **dict.fromkeys(
        (
            "RemoteStartTransaction",
            "RequestStartTransaction",
            "SetChargingProfile",
            "ClearChargingProfile",
            "UpdateDynamicSchedule",
            "UsePriorityCharging",
            "AFRRSignal",
            "SetDERControl",
            "ClearDERControl",
            "Reset",
            "UnlockConnector",
            "ChangeAvailability",
            "ReserveNow",
            "CancelReservation",
        ),
        Urgency.START,
    ),
    **dict.fromkeys(("TriggerMessage", "ExtendedTriggerMessage", "GetTransactionStatus"), Urgency.STATUS),
}


def urgency_of(action: str) -> Urgency:
    """As far as the action alone tells; a setpoint that lowers the power is more urgent than one that raises it."""
    return _URGENT.get(action, Urgency.READ)


EVIDENCE: Final = frozenset(
    {
        "AFRRSignal",
        "ClearChargingProfile",
        "ClearDERControl",
        "GetCompositeSchedule",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "RequestStartTransaction",
        "RequestStopTransaction",
        "SetChargingProfile",
        "SetDERControl",
        "UpdateDynamicSchedule",
        "UsePriorityCharging",
    }
)
"""What a vehicle draws or gives may follow from these: they and what answers them are kept (M2). None holds a
password."""


def place_of(payload: Mapping[str, Any]) -> int | None:
    """The EVSE that a payload names, in any version's words; None = the whole station, or it does not say."""
    found = payload.get("connectorId", payload.get("evseId"))
    return found if type(found) is int and found > 0 else None


class Outgoing:
    """A CALL of ours, ready to be sent. Whoever asked for it waits on ``future``. ``evse``: whose power it sets;
    ``setpoint``: the one it tells; ``kept``: what is kept of it beside its frame; None = it is not kept."""

    __slots__ = ("action", "evse", "future", "kept", "message_id", "text", "timer", "urgency")

    def __init__(
        self,
        message_id: str,
        action: str,
        payload: Mapping[str, Any],
        urgency: Urgency | None = None,
        evse: int | None = None,
        setpoint: str | None = None,
    ) -> None:
        self.message_id = message_id
        self.action = action
        self.urgency = urgency_of(action) if urgency is None else urgency
        self.evse = evse
        self.text = frames.call(message_id, action, payload)
        place = place_of(payload) if evse is None else evse
        self.kept = SentCall(message_id, action, place, setpoint) if action in EVIDENCE else None
        self.future: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None

    def finish(self, outcome: CallOutcome) -> None:
        """Tell who waits, if anyone still does."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.future.done():
            self.future.set_result(outcome)


Waiting = tuple[Urgency, int, Outgoing]


class Calls:
    """The slot and the queue of one connection. When the connection ends, so do all its calls."""

    __slots__ = ("_count", "_is_over", "_open", "_queue", "_rpc", "_send")

    def __init__(self, rpc: Rpc, send: Callable[[Outgoing], None]) -> None:
        self._rpc = rpc
        self._send = send
        self._open: Outgoing | None = None
        self._queue: list[Waiting] | None = None
        self._count = 0
        self._is_over = False

    @property
    def open_kept(self) -> SentCall | None:
        """What is kept of the CALL that is open."""
        return self._open.kept if self._open else None

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallOutcome:
        """Send when the more urgent ones, and those as urgent before it, are done. The time limit includes the wait:
        nothing is sent late."""
        if self._is_over:
            return Offline()
        outgoing.timer = outgoing.future.get_loop().call_later(timeout_s, self._expire, outgoing)
        if self._open is None:
            self._start(outgoing)
        else:
            self._wait(outgoing)
        return await outgoing.future

    def _wait(self, outgoing: Outgoing) -> None:
        self._count += 1
        queue = self._queue = self._queue or []
        if outgoing.evse is not None:
            self._hurry(queue, outgoing)
        heappush(queue, (outgoing.urgency, self._count, outgoing))

    @staticmethod
    def _hurry(queue: list[Waiting], newest: Outgoing) -> None:
        """What sets the power of one EVSE keeps its order, or an older setpoint would have the last word."""
        for place, (urgency, number, call) in enumerate(queue):
            if call.evse == newest.evse and urgency > newest.urgency:
                queue[place] = newest.urgency, number, call
        heapify(queue)

    def answered(self, outcome: CallOutcome) -> None:
        """The open call is done; the next one goes out."""
        outgoing, self._open = self._open, None
        if outgoing is not None:
            outgoing.finish(outcome)
        while self._queue and self._open is None:
            _, _, following = heappop(self._queue)
            if not following.future.done():
                self._start(following)
        if not self._queue:
            self._queue = None

    def end(self) -> None:
        """The connection is gone: nobody waits any longer (field lesson 7)."""
        self._is_over = True
        outgoing, self._open = self._open, None
        waiting, self._queue = self._queue, None
        for call in ([outgoing] if outgoing else []) + [each for _, _, each in waiting or ()]:
            call.finish(Offline())

    def _start(self, outgoing: Outgoing) -> None:
        self._rpc.open(outgoing.message_id, outgoing.action)
        self._open = outgoing
        self._send(outgoing)

    def _expire(self, outgoing: Outgoing) -> None:
        if self._open is outgoing:
            self._rpc.give_up()
            self.answered(TimedOut())
        else:
            outgoing.finish(TimedOut())
