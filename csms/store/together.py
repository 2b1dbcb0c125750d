"""Work that the writer does for many at once: what costs a statement each costs a statement for all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Together:
    """Work on ``item``, a fact with an ``origin``. ``many`` does it for several of different stations, gives a result
    for each, and leaves the same behind as if it had been called for one after another."""

    many: Callable[[Connection, Sequence[Any]], list[Any]]
    item: Any

    def __call__(self, conn: Connection) -> Any:
        return self.many(conn, (self.item,))[0]
