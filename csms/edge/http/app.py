"""The FastAPI application: the API, the driver's page, health. Every response is built from the one ``Control``."""

import asyncio
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from csms.edge.http import driver, problems
from csms.edge.http.headers import SecurityHeaders
from csms.edge.http.limits import BodyLimit, SlidingWindow
from csms.edge.http.ports import Control
from csms.edge.http.routes import ROUTERS


def build(control: Control) -> FastAPI:
    """The application; ``csms.edge.http.server.serve`` runs it."""
    app = FastAPI(
        title="Tidewatt",
        version="1",
        summary="OCPP central system and resource aggregator",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    _give_state(app, control)
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    for router in (health(control), *ROUTERS, driver.api, driver.pages):
        app.include_router(router)
    app.mount("/d", StaticFiles(directory=driver.FILES), name="driver's page")
    return app


def _give_state(app: FastAPI, control: Control) -> None:
    security = control.settings.security
    app.state.control = control
    app.state.closing = asyncio.Event()
    app.state.auth_failures = SlidingWindow(security.failures_per_minute)
    app.state.registrations = SlidingWindow(security.registrations_per_minute)
    app.state.running_posts = set[str]()


def health(control: Control) -> APIRouter:
    """Liveness and readiness, open to all, saying nothing else."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"model": problems.Problem}})
    async def readyz() -> Any:
        """Stations and drivers are served."""
        return (
            {"status": "ready"} if control.is_ready else problems.problem(503, "starting or stopping; try again soon")
        )

    return router
