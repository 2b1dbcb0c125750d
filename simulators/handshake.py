"""How a station calls its CSMS: address, subprotocol and password (OCPP-J part 4 §3, security profile 1)."""

import base64
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from simulators.models import V16, StationSpec


async def open_socket(spec: StationSpec, url: str, password: str | None, ping_s: float | None) -> ClientConnection:
    """An open socket to ``url``/id. Raises OSError, TimeoutError or WebSocketException when it is refused."""
    return await connect(
        f"{url.rstrip('/')}/{quote(spec.id)}",
        subprotocols=[Subprotocol(spec.model.version)],
        additional_headers=credentials(spec.id, password),
        compression=None if spec.model.version == V16 else "deflate",
        proxy=None,
        ping_interval=ping_s,
        open_timeout=10,
        close_timeout=2,
    )


def credentials(name: str, password: str | None) -> dict[str, str]:
    """The Authorization header of HTTP Basic (RFC 7617); none without a password."""
    if password is None:
        return {}
    word = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {word}"}
