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

NO_SECRETS: Final = frozenset({"Heartbeat", "MeterValues", "StatusNotification", "TransactionEvent"})
"""The frequent messages have no field for a password; searching them would cost more than all the rest of the log."""

_HEADER = struct.Struct("<d?H")
_HIDDEN: Final = b" (the rest is hidden: it may hold a password)"
_HEAD = re.compile(rb"\s*\[[^{]{0,200}")
_URL_LOGIN = re.compile(rb'://[^/@"\s]*@')


def without_secrets(raw: bytes) -> bytes:
    """The frame without what nobody may read: all after its head if a password is named in it; logins in URLs.

    Station passwords travel in ChangeConfiguration(AuthorizationKey), SetVariables(BasicAuthPassword) and
    SetNetworkProfile(basicAuthPassword, apnPassword, VPN password), and in what answers them.
    """
    lowered = raw.lower()
    if b"password" in lowered or b"authorizationkey" in lowered:
        found = _HEAD.match(raw)
        return (found.group() if found else b"") + _HIDDEN
    return _URL_LOGIN.sub(b"://***@", raw)


class FrameLog:
    """Records in one bytearray: no object per frame, because thousands of stations keep one of these."""

    __slots__ = ("_bytes", "_count")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0

    def add(self, at: datetime, direction: Direction, raw: bytes, action: str = "") -> None:
        """Keep a frame; the oldest ones make room. ``action``: of a CALL or CALLRESULT that fits its schema."""
        text = raw if action in NO_SECRETS else without_secrets(raw)
        if len(text) > MAX_FRAME_BYTES:
            text = text[:MAX_FRAME_BYTES]
        records = self._bytes
        records += _HEADER.pack(at.timestamp(), direction == "out", len(text))
        records += text
        self._count += 1
        if self._count > MAX_FRAMES or len(records) > MAX_BYTES:
            self._make_room()

    def _make_room(self) -> None:
        """Down to three quarters: room is made for many frames at once."""
        end, count = 0, self._count
        while count > MAX_FRAMES * 3 // 4 or len(self._bytes) - end > MAX_BYTES * 3 // 4:
            end += _HEADER.size + _HEADER.unpack_from(self._bytes, end)[2]
            count -= 1
        del self._bytes[:end]
        self._count = count

    def frames(self) -> list[tuple[datetime, Direction, str]]:
        """Oldest first."""
        records: list[tuple[datetime, Direction, str]] = []
        offset = 0
        while offset < len(self._bytes):
            at, is_out, length = _HEADER.unpack_from(self._bytes, offset)
            offset += _HEADER.size
            text = self._bytes[offset : offset + length].decode("utf-8", "replace")
            records.append((datetime.fromtimestamp(at, UTC), "out" if is_out else "in", text))
            offset += length
        return records
