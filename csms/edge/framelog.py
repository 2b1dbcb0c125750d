"""The last frames of one station, for people to read. Bounded in number and bytes; passwords never get in."""

import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal

Direction = Literal["in", "out"]

PAGES: Final = 4
PAGE_FRAMES: Final = 25
PAGE_BYTES: Final = 4_096
MAX_FRAMES: Final = PAGES * PAGE_FRAMES
MAX_BYTES: Final = PAGES * PAGE_BYTES

NO_SECRETS: Final = frozenset({"Heartbeat", "MeterValues", "StatusNotification", "TransactionEvent"})
"""The frequent messages have no field for a password; searching them would cost more than all the rest of the log."""

_HEADER = struct.Struct("<d?H")
MAX_FRAME_BYTES: Final = PAGE_BYTES - _HEADER.size
"""A longer frame is cut: its beginning says what it is."""

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
    """Records in a few pages: no object per frame, because thousands of stations keep one of these.

    The oldest page goes as a whole. In one long buffer each frame that goes moves all the others: 5 µs a message.
    """

    __slots__ = ("_count", "_older", "_page")

    def __init__(self) -> None:
        self._older: tuple[bytearray, ...] = ()
        self._page = bytearray()
        self._count = 0

    def add(self, at: datetime, direction: Direction, raw: bytes, action: str = "") -> None:
        """Keep a frame; the oldest ones make room. ``action``: of a CALL or CALLRESULT that fits its schema."""
        text = raw if action in NO_SECRETS else without_secrets(raw)
        if len(text) > MAX_FRAME_BYTES:
            text = text[:MAX_FRAME_BYTES]
        if self._count == PAGE_FRAMES or len(self._page) + _HEADER.size + len(text) > PAGE_BYTES:
            self._turn()
        page = self._page
        page += _HEADER.pack(at.timestamp(), direction == "out", len(text))
        page += text
        self._count += 1

    def _turn(self) -> None:
        self._older = (*self._older, self._page)[-(PAGES - 1) :]
        self._page = bytearray()
        self._count = 0

    @property
    def size_bytes(self) -> int:
        """What the records take."""
        return sum(map(len, self._older)) + len(self._page)

    def frames(self) -> list[tuple[datetime, Direction, str]]:
        """Oldest first."""
        return [record for page in (*self._older, self._page) for record in _records(page)]


def _records(page: bytearray) -> Iterator[tuple[datetime, Direction, str]]:
    offset = 0
    while offset < len(page):
        at, is_out, length = _HEADER.unpack_from(page, offset)
        offset += _HEADER.size
        text = page[offset : offset + length].decode("utf-8", "replace")
        yield datetime.fromtimestamp(at, UTC), "out" if is_out else "in", text
        offset += length
