"""What runs beside: tasks that are begun and not waited for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

Spawn = Callable[[Coroutine[Any, Any, None]], object]


def nothing(_result: Any) -> None:
    """Nobody waits for this write."""


class Tasks:
    """The tasks of one control. A failure is logged, never lost and never fatal."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task.failed", error=repr(error), exc_info=error)

    @property
    def running(self) -> tuple[asyncio.Task[None], ...]:
        """Those that have not ended."""
        return tuple(self._running)

    async def stop(self) -> None:
        """Cancel every task and wait for it."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
