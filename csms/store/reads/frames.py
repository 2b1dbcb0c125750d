"""Kept frames, by what is known of them: station, message id, instant and direction."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, select

from csms.store.journal import SPAN, Unpacked, unpacked
from csms.store.tables import FRAME_PAGE
from csms.store.values import instant

_F = FRAME_PAGE.c
_SPAN_US: Final = SPAN // SPAN.resolution

ANSWERED_WITHIN_PAGES: Final = 16
"""The answer leaves in the turn of the loop that hears of the commit: in the next page, or one of the few after it."""


class Wanted(NamedTuple):
    """A CALL, or what answered one of ours, by its instant in µs. Of a station's CALL its answer is wanted too."""

    station: str
    message_id: str
    at: int
    is_out: bool = False


class Found(NamedTuple):
    """A frame and its place in the order in which frames were kept."""

    page: int
    place: int
    frame: Unpacked

    @property
    def key(self) -> str:
        """Sorts by time, and within one instant in the order of keeping."""
        return f"{self.frame.at:016d}-{self.page:012d}-{self.place:06d}"


def frames(conn: Connection, wanted: Iterable[Wanted]) -> dict[Wanted, tuple[Found, ...]]:
    """What is kept of each; () = nothing."""

    @cache
    def page(id_: int) -> tuple[Found, ...]:
        row = conn.execute(select(_F.content, _F.packing).where(_F.id == id_)).one()
        return tuple(Found(id_, n, each) for n, each in enumerate(unpacked(row.content, row.packing)))

    @cache
    def after(id_: int) -> tuple[int, ...]:
        rows = conn.execute(select(_F.id).where(_F.id >= id_).order_by(_F.id).limit(ANSWERED_WITHIN_PAGES))
        return tuple(rows.scalars())

    def of(one: Wanted) -> Iterator[Found]:
        found = _named([each for id_ in _pages_of(conn, one.at) for each in page(id_)], one)
        if found is None:
            return
        yield found
        if not one.is_out and found.frame.text.lstrip(b" [\t\r\n")[:1] == b"2":
            answers = (each for id_ in after(found.page) for each in page(id_) if _answers(each, one))
            yield from list(answers)[:1]

    return {one: tuple(of(one)) for one in wanted}


def _pages_of(conn: Connection, at: int) -> list[Any]:
    """The pages that hold an instant; no page spans more than ``SPAN``."""
    here = (_F.last_at >= at) & (_F.last_at <= at + _SPAN_US) & (_F.first_at <= at)
    return list(conn.execute(select(_F.id).where(here).order_by(_F.id)).scalars())


def _named(found: list[Found], one: Wanted) -> Found | None:
    """Of the frames of an instant the one of the message."""
    same = [each for each in found if each.frame[:3] == (one.at, one.is_out, one.station)]
    return next((each for each in same if _id_of(each.frame.text) == one.message_id), None)


_HEAD: Final = re.compile(rb'\s*\[\s*\d\s*,\s*"([^"\\]{0,255})"')


def _id_of(text: bytes) -> str | None:
    """The message id, also of a frame that is no JSON beyond its head."""
    if found := _HEAD.match(text):
        return found[1].decode("utf-8", "replace")
    try:
        return str(orjson.loads(text)[1])  # it has escapes
    except (ValueError, LookupError, TypeError):
        return None


def _answers(each: Found, one: Wanted) -> bool:
    frame = each.frame
    is_answer = frame.is_out and frame.text[:2] in {b"[3", b"[4"}
    is_later = is_answer and frame.station == one.station and frame.at >= one.at
    return is_later and _id_of(frame.text) == one.message_id


def first_kept(conn: Connection) -> datetime | None:
    """When the oldest frame that is kept came, or went."""
    return instant(conn.execute(select(_F.first_at).order_by(_F.last_at).limit(1)).scalar())
