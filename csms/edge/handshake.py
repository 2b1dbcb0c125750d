"""What a station's opening handshake says: who it is, its credentials, its OCPP versions. Pure. V2G-43, 49."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from csms.domain.station import Version

PREFERENCE: Final = (Version.V21, Version.V201, Version.V16)
MAX_IDENTITY_LENGTH: Final = 48
"""2.x part 4 §3.1.1; long enough for every 1.6 identity met in the field."""


def identity_of(target: str) -> str | None:
    """Station id of a request target such as ``/ocpp/CS%7C1/?x=1``: the last segment, percent-decoded once.

    None for another path, and for what cannot be an identity.
    """
    path = target.partition("?")[0].rstrip("/")
    if not path.startswith("/ocpp/"):
        return None
    try:
        identity = unquote(path.rpartition("/")[2], errors="strict")
    except UnicodeDecodeError:
        return None
    usable = 0 < len(identity) <= MAX_IDENTITY_LENGTH and identity.isprintable() and "/" not in identity
    return identity if usable else None


def basic_credentials(header: str | None, identity: str = "") -> tuple[str, bytes] | None:
    """User and raw password of an Authorization header; None when it is absent or no readable Basic.

    Split after the identity, which may hold colons itself, else at the first colon. The password stays bytes:
    1.6 stations send their raw key there (V2G-43).
    """
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip().encode("ascii"), validate=True)
        own = identity.encode() + b":"
        if identity and decoded.startswith(own):
            return identity, decoded[len(own) :]
        user, colon, password = decoded.partition(b":")
        return (user.decode("utf-8"), password) if colon else None
    except (binascii.Error, UnicodeError):
        return None


def choose_version(offered: Sequence[str]) -> Version | None:
    """The newest version that both speak, whatever order the station offers; None = none in common."""
    return next((version for version in PREFERENCE if version.value in offered), None)
