"""Composition root: Settings → a running daemon. The only place that knows everybody (design §1)."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
import uvloop

import handlers
from csms.clock import SystemClock
from csms.control.intake.intake import Intake
from csms.control.stations.admission import Admission
from csms.control.stations.setup import QuirksFor
from csms.control.system import System
from csms.control.system import build as build_control
from csms.domain.ports import Clock
from csms.domain.record import keep_none
from csms.domain.station import Quirks, Station, Version
from csms.edge.http.app import build
from csms.edge.http.server import serve as serve_http
from csms.edge.hub import Hub
from csms.plugs import chosen
from csms.settings import Settings
from csms.store import Store, open_store

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running server. ``ocpp_port`` and ``http_port`` are the ports that are open."""

    system: System
    hub: Hub
    ocpp_port: int
    http_port: int


@asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Daemon]:
    """The whole server on this loop. Raises BadDatabase or PortBusy; whatever was opened is closed in the end."""
    clock = clock or SystemClock()
    database = settings.database
    async with AsyncExitStack() as stack:
        store = open_store(
            database.url,
            spacing_s=database.commit_spacing_ms / 1000,
            queue_limit=database.queue_limit,
            exclusive=True,
        )
        stack.push_async_callback(store.close)

        def connect(admission: Admission, intake: Intake) -> Hub:
            keep = store.keep if settings.retention.frames_days else keep_none
            return Hub(intake, admission, clock, settings.ocpp, handlers, keep)

        system, hub = await build_control(settings, store, clock, connect, quirks_lookup(), chosen(settings.policies))
        await system.load()
        stack.push_async_callback(system.stop)
        system.run()
        await hub.serve()
        stack.push_async_callback(hub.close)
        # Last: whoever is told by /readyz that stations are served finds the port open.
        http = await serve_http(build(system, hub), settings.http.host, settings.http.port)
        stack.push_async_callback(http.close)
        yield Daemon(system, hub, hub.port, http.port)


def quirks_lookup() -> QuirksFor:
    """Version and station → Quirks, from the registry of the handlers."""
    registry = handlers.load_registry()

    def quirks_for(version: Version | None, station: Station) -> Quirks:
        known = handlers.quirks_for(registry, version, station.vendor, station.model, station.firmware)
        return handlers.overridden(known, station.own_ways)

    return quirks_for


LOOP_WAITS_S = 0.001
"""So long a decision's thread may keep the interpreter while the loop wants it; by default five times as long (C9)."""


def spare_the_collector() -> None:
    """What exists now lives as long as the process, and messages make no cycles: the collector need not look often.

    By default it looks again and again at every batch that waits for its commit.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(LOOP_WAITS_S)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises Halted when the store is dead."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as daemon:
        spare_the_collector()
        log.info(
            "ready",
            ocpp=f"ws://{settings.ocpp.host}:{daemon.ocpp_port}/ocpp",
            api=f"http://{settings.http.host}:{daemon.http_port}/api/v1",
            driver=f"http://{settings.http.host}:{daemon.http_port}/d/",
        )
        await _until(stop, daemon.system.store)
        log.info("stopping")


async def _until(stop: asyncio.Event, store: Store) -> None:
    """Until the stop is asked for. Raises Halted when nothing is stored any more: half a server is worse than none."""
    stopping, watching = asyncio.create_task(stop.wait()), asyncio.create_task(store.watch())
    await asyncio.wait((stopping, watching), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if watching.done():
        error = watching.result()
        log.critical("halted", reason=str(error))
        raise error
    watching.cancel()


def run(settings: Settings) -> None:
    """Serve on uvloop; returns after a clean stop."""
    uvloop.run(serve(settings))
