"""The opening handshake with ``websockets``: what is offered to a station, who is let in, how others are refused.

Design §2, V2G-43, V2G-49.
"""

import http
import logging
from collections.abc import Sequence
from typing import Final

from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from csms.domain.ports import Admission, Admitted, Refused
from csms.domain.station import Quirks, Version
from csms.edge import handshake

RETRY_AFTER_S: Final = 60

# The library reports every connection at INFO; a fleet that reconnects would write thousands of lines.
_quiet = logging.getLogger(f"{__name__}.websockets")
_quiet.setLevel(logging.WARNING)

# Without context takeover a connection keeps no (de)compressor between messages; 10 bits = 1 kB windows while one runs.
_DEFLATE: Final = (
    ServerPerMessageDeflateFactory(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=10,
        client_max_window_bits=10,
        compress_settings={"memLevel": 3},
    ),
)


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    version = handshake.choose_version(offered)
    return Subprotocol(version.value) if version else None


def parser(max_frame_bytes: int) -> ServerProtocol:
    """The WebSocket parser of one connection."""
    return ServerProtocol(extensions=_DEFLATE, select_subprotocol=_select, max_size=max_frame_bytes, logger=_quiet)


SHORT_BYTES: Final = 256
"""A message up to here goes out as it is, which RFC 7692 §6 allows: to compress a confirmation costs 20 µs and saves
nothing."""


def compression(websocket: ServerProtocol) -> tuple[int, int]:
    """How long a message may be that is sent uncompressed, bytes, and the window bits of what the station compresses
    (0 = nothing; -1 = each message leans on the one before, or something else was negotiated)."""
    if not websocket.extensions:
        return MOST_PLAIN_BYTES, 0
    deflate = websocket.extensions[0]
    is_alone = len(websocket.extensions) == 1 and isinstance(deflate, PerMessageDeflate)
    is_quick = is_alone and deflate.remote_no_context_takeover  # type: ignore[attr-defined]
    return SHORT_BYTES, deflate.remote_max_window_bits if is_quick else -1  # type: ignore[attr-defined]


MOST_PLAIN_BYTES: Final = 1 << 30
"""Without compression all goes out as it is."""


async def judge(request: Request, admission: Admission, source: str) -> Admitted | Refused:
    """Whether the station behind a request may connect. 404 for what is no station's path, 401 for another's name."""
    identity = handshake.identity_of(request.path)
    if identity is None:
        return Refused(http.HTTPStatus.NOT_FOUND)
    credentials = handshake.basic_credentials(", ".join(request.headers.get_all("Authorization")), identity)
    user, password = credentials or (None, None)
    if user is not None and user != identity:
        return Refused(http.HTTPStatus.UNAUTHORIZED)
    return await admission.admit(identity, user, password, source)


def version_of(websocket: ServerProtocol, request: Request, quirks: Quirks) -> Version | None:
    """The version that was negotiated; for a station that offers none at all, the one its quirk assumes."""
    if websocket.subprotocol is not None:
        return Version(websocket.subprotocol)
    return quirks.assume_version if "Sec-WebSocket-Protocol" not in request.headers else None


def refusal(websocket: ServerProtocol, http_status: int) -> Response:
    """The HTTP response instead of the 101."""
    response = websocket.reject(http_status, f"{http.HTTPStatus(http_status).phrase}\n")
    if http_status == http.HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
    if http_status == http.HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
