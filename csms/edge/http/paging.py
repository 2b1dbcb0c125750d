"""Cursor pagination: an opaque cursor names the last item seen."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query
from pydantic import Field

from csms.domain.errors import BadRequest
from csms.edge.http.shapes import Body, Page

T = TypeVar("T")


class Paging(Body):
    """The query of a list: items per page, and `next` of the page before."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str | None, Field(max_length=400)] = None


PagingDep = Annotated[Paging, Query()]


def encoded(key: str) -> str:
    """A cursor for a key."""
    return urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decoded(cursor: str | None) -> str | None:
    """The key of a cursor. Raises BadRequest for one we did not give out."""
    if cursor is None:
        return None
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError as error:
        raise BadRequest("not a cursor from `next`; start again without it", field="cursor") from error


def number_of(cursor: str | None) -> int | None:
    """The same for numeric keys."""
    key = decoded(cursor)
    if key is not None and not (key.isascii() and key.isdigit() and len(key) < 19):
        raise BadRequest("not a cursor from `next`; start again without it", field="cursor")
    return int(key) if key is not None else None


def page(found: Sequence[T], limit: int, key: Callable[[T], str]) -> Page[T]:
    """A page of at most ``limit``; ``found`` was asked for with one more, to know whether there is a next."""
    items = list(found[:limit])
    return Page(items=items, next=encoded(key(items[-1])) if len(found) > limit else None)


def slice_of(all_items: Sequence[T], paging: Paging, key: Callable[[T], str]) -> Page[T]:
    """A page out of items that are in memory anyway, in the order of their keys."""
    after = decoded(paging.cursor)
    ordered = sorted(all_items, key=key)
    rest = [item for item in ordered if after is None or key(item) > after]
    return page(rest, paging.limit, key)
