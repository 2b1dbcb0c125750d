"""Wakes the control at set times, and decides nothing itself (design §1)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from csms.domain.errors import Unavailable

log = structlog.get_logger()

Job = Callable[[], Awaitable[object]]


LASTS_PERIODS = 3
"""A run that is still under way when it is due again for the so-manyth time is worth a line in the log."""


class Timetable:
    """Periodic jobs. A job that fails is logged and comes again; one that takes long is not started twice: what comes
    due meanwhile is left out."""

    def __init__(self) -> None:
        # a second instance is let in to leave at once: the scheduler itself warns of each one that it keeps out
        self._scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 2})

    def every(self, seconds: float, name: str, job: Job) -> None:
        guarded = partial(self._guarded, _Periodic(seconds, name, job))
        self._scheduler.add_job(guarded, IntervalTrigger(seconds=seconds), id=name, misfire_grace_time=None)

    async def _guarded(self, periodic: "_Periodic") -> None:
        try:
            await periodic.run()
        except asyncio.CancelledError:
            if self.is_running:  # else it is the stop that ends it, as it should
                raise
        except Unavailable as error:  # the store has raised the alarm
            log.warning("timetable.failed", job=periodic.name, error=str(error))
        except Exception:
            log.exception("timetable.failed", job=periodic.name)

    def start(self) -> None:
        self._scheduler.start()

    @property
    def is_running(self) -> bool:
        """Between start and stop."""
        return bool(self._scheduler.running)

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


@dataclass(slots=True)
class _Periodic:
    """A job, whether it runs, and how often it came due meanwhile."""

    seconds: float
    name: str
    job: Job
    is_under_way: bool = False
    left_out: int = 0

    async def run(self) -> None:
        if self.is_under_way:
            self._leave_out()
            return
        self.is_under_way, self.left_out = True, 0
        try:
            await self.job()
        finally:
            self.is_under_way = False

    def _leave_out(self) -> None:
        self.left_out += 1
        if self.left_out == LASTS_PERIODS:
            log.warning("timetable.lasts", job=self.name, periods=self.left_out, period_s=self.seconds)
