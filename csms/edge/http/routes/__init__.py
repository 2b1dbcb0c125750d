"""The API under /api/v1, one module per room; and calls by hand, which go past every room to a station."""

from csms.edge.http.routes import calls, dispatch, intake, permission, settlement, state, stations, system

ROUTERS = tuple(module.router for module in (stations, calls, intake, permission, dispatch, settlement, state, system))
