"""What a station has to say, in order. Transaction messages wait for the CSMS; the rest is for now or never."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Payload = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """One CALL to come. ``payload`` is asked when it is sent: a 1.6 transaction id may come late.

    ``kept``: a transaction message, sent again until it is answered (1.6 §4.7, 2.x E04). ``done`` gets the answer, or
    None when there is none. ``copies``: how often more a misbehaving station sends it.
    """

    action: str
    payload: Callable[[], Payload]
    kept: bool = False
    done: Callable[[Payload | None], None] | None = None
    attempts: int = 0
    copies: int = 0


@dataclass(slots=True)
class MessageQueue:
    """First in, first out."""

    items: deque[Outgoing] = field(default_factory=deque)

    def put(self, item: Outgoing) -> None:
        self.items.append(item)

    def settled(self, item: Outgoing) -> bool:
        """Take the first message out after its answer; False when it was dropped in the meantime."""
        if not self.items or self.items[0] is not item:
            return False
        self.items.popleft()
        return True

    def lose_live(self) -> None:
        """Offline: whatever is not about a transaction is dropped, and whoever waits for it is told."""
        live = [item for item in self.items if not item.kept]
        self.items = deque(item for item in self.items if item.kept)
        for item in live:
            if item.done:
                item.done(None)
