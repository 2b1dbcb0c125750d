"""Frames on their way to the database: each commit takes those that came before it, as one compressed page (M2).

A page is a row of its own in the same transaction as the facts that its frames told: what is confirmed has its frame.
Frames that we sent, and answers to them, come with the next commit, or within ``KEPT_WITHIN_S`` where there is none;
whatever was concluded from them was stored later, so it has its frame as well.

A page's content is deflated with a preset dictionary. It is in columns, all numbers big-endian: how many frames and how
many bytes of names (two uint32), seconds since 1970 (doubles), bytes of each text (uint32), 1 for out or 0 (bytes), the
stations' ids with a NUL between them, the texts one after another.
"""

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple

from csms.domain.record import Frame, Keep
from csms.store.values import micros

KEPT_WITHIN_S: Final = 1.0
"""A frame that no commit follows waits so long for one."""

SPAN: Final = timedelta(minutes=1)
PAGE_BYTES: Final = 1 << 20
"""Of the frames in one page, before they are compressed."""

PACKING: Final = 1
"""How pages are written now: number of the dictionary. One that pages were written with stays for ever."""
_LEVEL: Final = 1
"""3 µs for a MeterValues of ten samples; level 6 takes three times as long and saves a sixth."""

_COUNTS: Final = Struct(">II")

Rows = list[tuple[str, dict[str, Any]]]


class Journal:
    """What is to be kept with the next commit. ``keep`` on the event loop, ``take`` on the writer's thread."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self.keep: Keep = self._frames.append

    def __len__(self) -> int:
        return len(self._frames)

    def take(self) -> Rows:
        """Rows of all frames that have come. To be called after the writes of the commit are taken: a frame is there
        before its fact is."""
        if not self._frames:
            return []
        frames = [self._frames.popleft() for _ in range(len(self._frames))]
        rows: Rows = [("frame_page", page) for page in _pages(frames)]
        rows += [("sent_call", _call_row(frame)) for frame in frames if frame[4] is not None]
        return rows


def _pages(frames: Sequence[Frame]) -> Iterator[dict[str, Any]]:
    """Few commits need more than one. Columns, because nothing of ours is then done for each frame."""
    stations, times, ways, texts, _ = zip(*frames, strict=True)
    first, last = min(times), max(times)
    if len(frames) > 1 and (sum(map(len, texts)) > PAGE_BYTES or last - first > SPAN):
        yield from _pages(frames[: len(frames) // 2])
        yield from _pages(frames[len(frames) // 2 :])
        return
    names = "\0".join(stations).encode()
    numbers = _numbers(len(frames)).pack(*map(datetime.timestamp, times), *map(len, texts), *ways)
    content = b"".join((_COUNTS.pack(len(frames), len(names)), numbers, names, *texts))
    yield _page(micros(first), micros(last), len(frames), content)


@lru_cache(256)
def _numbers(count: int) -> Struct:
    return Struct(f">{count}d{count}I{count}?")


def _page(first: int, last: int, count: int, content: bytes) -> dict[str, Any]:
    deflater = zlib.compressobj(_LEVEL, zdict=dictionary(PACKING))
    packed = deflater.compress(content) + deflater.flush()
    return {"first_at": first, "last_at": last, "frames": count, "packing": PACKING, "content": packed}


def _call_row(frame: Frame) -> dict[str, Any]:
    station, at, is_out, _, call = frame
    if call is None:
        raise ValueError("a frame of no CALL of ours")
    return {"station": station, "at": micros(at), "is_answer": not is_out, **call._asdict()}


class Unpacked(NamedTuple):
    """A frame out of a page."""

    at: int
    is_out: bool
    station: str
    text: bytes


def unpacked(content: bytes, packing: int) -> Iterator[Unpacked]:
    """The frames of a page, in the order in which they were kept."""
    page = zlib.decompressobj(zdict=dictionary(packing)).decompress(content)
    count, length = _COUNTS.unpack_from(page)
    numbers = _numbers(count)
    found = numbers.unpack_from(page, _COUNTS.size)
    begin = _COUNTS.size + numbers.size
    names = page[begin : begin + length].decode().split("\0")
    ends = accumulate(found[count : 2 * count], initial=begin + length)
    texts = (page[start:end] for start, end in pairwise(ends))
    for at, is_out, station, text in zip(found[:count], found[2 * count :], names, texts, strict=True):
        yield Unpacked(round(at * 1e6), is_out, station, text)


@cache
def dictionary(packing: int) -> bytes:
    """What frames mostly say: a page of one frame takes a third of the space."""
    return Path(__file__).with_name(f"frames_{packing}.dict").read_bytes()
