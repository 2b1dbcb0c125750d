"""The last frames of one station, for people to read. Bounded in number and bytes; passwords never get in."""

import re
import struct
from datetime import UTC, datetime
from typing import Final, Literal

Direction = Literal["in", "out"]

MAX_FRAMES: Final = 100
MAX_BYTES: Final = 16_384
MAX_FRAME_BYTES: Final = 4_096
"""A longer frame is cut: its beginning says what it is."""

_HEADER = struct.Struct("<dBH")
_HIDDEN: Final = b" (the rest is hidden: it may hold a password)"
_HEAD = re.compile(rb"\s*\[[^{]{0,200}")
_URL_LOGIN = re.compile(rb'://[^/@"\s]*@')


def without_secrets(raw: bytes) -> bytes:
    """The frame without what nobody may read in a log: all after its head if a password is in it, logins in URLs.

    Station passwords travel in ChangeConfiguration(AuthorizationKey), SetVariables(BasicAuthPassword) and
    SetNetworkProfile(basicAuthPassword, apnPassword, vpn key) and in what answers them.
    """
    lowered = raw.lower()
    if b"password" in lowered or b"authorizationkey" in lowered:
        found = _HEAD.match(raw)
        return (found.group() if found else b"") + _HIDDEN
    return _URL_LOGIN.sub(b"://***@", raw) if b"@" in raw else raw


class FrameLog:
    """Records in one bytearray: no object per frame, because thousands of stations keep one of these."""

    __slots__ = ("_bytes", "_count")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0

    def add(self, at: datetime, direction: Direction, raw: bytes) -> None:
        """Keep a frame; the oldest ones make room."""
        text = without_secrets(raw)[:MAX_FRAME_BYTES]
        self._bytes += _HEADER.pack(at.timestamp(), direction == "out", len(text)) + text
        self._count += 1
        while self._count > MAX_FRAMES or len(self._bytes) > MAX_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        length = _HEADER.unpack_from(self._bytes)[2]
        del self._bytes[: _HEADER.size + length]
        self._count -= 1

    def frames(self) -> list[tuple[datetime, Direction, str]]:
        """Oldest first."""
        records: list[tuple[datetime, Direction, str]] = []
        offset = 0
        while offset < len(self._bytes):
            at, out, length = _HEADER.unpack_from(self._bytes, offset)
            offset += _HEADER.size
            text = self._bytes[offset : offset + length].decode("utf-8", "replace")
            records.append((datetime.fromtimestamp(at, UTC), "out" if out else "in", text))
            offset += length
        return records
