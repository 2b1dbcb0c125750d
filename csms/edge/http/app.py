"""The FastAPI application: the API, the driver's page, health."""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from csms.control.system import System
from csms.edge.http import driver, driver_people, problems
from csms.edge.http.headers import SecurityHeaders
from csms.edge.http.limits import BodyLimit
from csms.edge.http.rooms import served
from csms.edge.http.routes import ROUTERS
from csms.edge.hub import Hub


def build(system: System, hub: Hub) -> FastAPI:
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
    app.state.served = served(system, hub)
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    for router in (health(system), *ROUTERS, driver.api, driver_people.api, driver.pages):
        app.include_router(router)
    app.mount("/d", StaticFiles(directory=driver.FILES), name="driver's page")
    return app


def health(system: System) -> APIRouter:
    """Liveness and readiness, open to all, saying nothing else."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"model": problems.Problem}})
    async def readyz() -> Any:
        """Stations and drivers are served: it runs, and its database takes writes."""
        if not system.is_ready:
            return problems.problem(503, "starting or stopping; try again soon")
        if (trouble := system.store.writer.trouble) is not None:
            return problems.problem(503, f"the database does not take writes, stations are not read: {trouble}")
        return {"status": "ready"}

    return router
