"""Serves an application inside the running event loop. Signals belong to the daemon, not to the web server."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from csms.domain.errors import PortBusy

GRACE_S = 3


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """A listening application; ``close`` ends the event streams, then the connections."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        self._app, self._listener = app, listener
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            lifespan="off",
            ws="none",
        )
        self._uvicorn = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None
        self.port: int = listener.getsockname()[1]

    async def start(self) -> None:
        """Returns when requests are taken."""
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._listener]), name="http")
        ready = asyncio.create_task(self._uvicorn.ready.wait())
        await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            self._task.result()

    async def close(self) -> None:
        """Lets requests under way finish, for at most ``GRACE_S``."""
        self._app.state.served.closing.set()
        self._uvicorn.should_exit = True
        if self._task is not None:
            await self._task


async def serve(app: FastAPI, host: str, port: int) -> HttpServer:
    """A started server; port 0 takes a free one (see ``.port``). Raises PortBusy when the port is taken."""
    server = HttpServer(app, _bound(host, port))
    await server.start()
    return server


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortBusy(f"port {port} on {host} is in use by another program; set another [http] port") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
