"""Wakes the control at set times, and decides nothing itself (design §1)."""

from collections.abc import Awaitable, Callable

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

log = structlog.get_logger()

Job = Callable[[], Awaitable[object]]


class Timetable:
    """Periodic jobs. A job that fails is logged and comes again; one that takes long is not started twice."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})

    def every(self, seconds: float, name: str, job: Job) -> None:
        async def guarded() -> None:
            try:
                await job()
            except Exception:
                log.exception("timetable.failed", job=name)

        self._scheduler.add_job(guarded, IntervalTrigger(seconds=seconds), id=name, misfire_grace_time=None)

    def start(self) -> None:
        self._scheduler.start()

    @property
    def is_running(self) -> bool:
        """Between start and stop."""
        return bool(self._scheduler.running)

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
