"""The API under /api/v1, one module per resource."""

from csms.edge.http.routes import calls, events, people, prices, records, stations, system, tokens

ROUTERS = tuple(module.router for module in (stations, calls, tokens, records, people, events, prices, system))
