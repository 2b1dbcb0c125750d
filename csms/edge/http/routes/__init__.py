"""The API under /api/v1, one module per room; and calls by hand, which go past every room to a station."""

from csms.edge.http.routes import calls, dispatch, intake, notices, permission, settlement, state, stations, system

ROUTERS = tuple(
    module.router for module in (stations, calls, notices, intake, permission, dispatch, settlement, state, system)
)
