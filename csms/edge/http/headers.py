"""Security headers on every response. No CORS: only pages of this server call it from a browser."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
FIXED = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


class SecurityHeaders:
    """ASGI middleware. What is not static is not kept by caches either."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _complete(MutableHeaders(scope=message), scope.get("path", ""))
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _complete(headers: MutableHeaders, path: str) -> None:
    for name, value in FIXED.items():
        headers.setdefault(name, value)
    is_live = path.startswith(("/api/", "/d/api/"))
    headers.setdefault("cache-control", "no-store" if is_live else "no-cache")
