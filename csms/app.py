"""Composition root: Settings → a running daemon. The only place that knows everybody (design §1)."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import structlog
import uvloop

import handlers
from csms.clock import SystemClock
from csms.control.desk import Desk
from csms.control.system import System
from csms.domain.ports import Clock
from csms.domain.station import Quirks, Version
from csms.edge.http.app import build
from csms.edge.http.server import serve as serve_http
from csms.edge.hub import Hub
from csms.plugs import chosen
from csms.settings import Settings
from csms.store import open_store

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
        system = System(settings, store, clock, chosen(settings.policies))
        hub = Hub(system.intake, system.admission, clock, settings.ocpp, handlers)
        system.command(hub, quirks_lookup())
        await system.start()
        stack.push_async_callback(system.stop)
        desk = Desk(system, hub.frames, lambda station: flat(asdict(hub.counters(station))))
        http = await serve_http(build(desk), settings.http.host, settings.http.port)
        stack.push_async_callback(http.close)
        await hub.serve()
        stack.push_async_callback(hub.close)
        yield Daemon(system, hub, hub.port, http.port)


def flat(counters: Mapping[str, Any]) -> dict[str, int]:
    """The edge's counters with the named ones beside the others, as "coercions.name"."""
    plain = {name: value for name, value in counters.items() if isinstance(value, int)}
    nested = ((name, value) for name, value in counters.items() if not isinstance(value, int))
    return plain | {f"{name}.{key}": count for name, inner in nested for key, count in inner.items()}


def quirks_lookup() -> Callable[[Version | None, str, str, str], Quirks]:
    """(version, vendor, model, firmware) → Quirks, from the registry of the handlers."""
    return partial(handlers.quirks_for, handlers.load_registry())


def spare_the_collector() -> None:
    """What exists now lives as long as the process, and messages make no cycles: the collector need not look often.

    By default it looks again and again at every batch that waits for its commit.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
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
        await stop.wait()
        log.info("stopping")


def run(settings: Settings) -> None:
    """Serve on uvloop; returns after a clean stop."""
    uvloop.run(serve(settings))
