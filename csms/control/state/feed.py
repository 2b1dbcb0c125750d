"""Tells users' terminals that something changed. What changed they read themselves: coalescing loses nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from csms.domain.ids import UserId


class Wakeups:
    """One terminal's bell: rung any number of times, it wakes once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        """Until something changed since the last wait."""
        await self._rung.wait()
        self._rung.clear()


class Feed:
    """The bells of all terminals that listen now, by user."""

    def __init__(self) -> None:
        self._bells: dict[UserId, set[Wakeups]] = {}

    @contextmanager
    def subscribe(self, user: UserId) -> Iterator[Wakeups]:
        bell = Wakeups()
        self._bells.setdefault(user, set()).add(bell)
        try:
            yield bell
        finally:
            self._bells[user].discard(bell)
            if not self._bells[user]:
                del self._bells[user]

    def changed(self, user: UserId | None) -> None:
        """Ring every bell of a user."""
        if user is not None:
            for bell in self._bells.get(user, ()):
                bell.ring()
