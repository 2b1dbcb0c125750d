"""What every room stands on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from csms.control.state.changes import Emit
from csms.control.state.live import Live
from csms.control.state.tasks import Spawn, nothing
from csms.domain.ports import Clock
from csms.store import Store, Write

Later = Callable[[float, Callable[[], None]], object]
"""A timer: call this after so many seconds."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The store, live state, the time, tasks beside, and the one way to say that something changed."""

    store: Store
    live: Live
    clock: Clock
    spawn: Spawn
    later: Later
    emit: Emit

    def put(self, work: Callable[..., Any], **values: Any) -> None:
        """Write beside; nobody waits. A write that fails is quarantined by the store."""
        self.store.writer.put(Write((), partial(work, **values), nothing))
