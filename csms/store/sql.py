"""The statements whose spelling differs by engine, each built once: building one costs more than running it."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]


def insert(table: Table, dialect: str) -> Any:
    """INSERT in the engine's own form, which knows ON CONFLICT."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _insert_new(table: Table, dialect: str) -> Executable:
    # inline: do not ask PostgreSQL for the new id
    made: Executable = insert(table, dialect).on_conflict_do_nothing().inline()
    return made.execution_options(preserve_rowcount=True)


def insert_new(conn: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert unless a natural key is taken already; whether it was inserted."""
    return conn.execute(_insert_new(table, conn.dialect.name), row).rowcount == 1


@cache
def _upsert(table: Table, dialect: str, changed: tuple[str, ...]) -> Executable:
    new = insert(table, dialect)
    keys = [column.name for column in table.primary_key]
    made: Executable = new.on_conflict_do_update(
        index_elements=keys, set_={name: new.excluded[name] for name in changed}
    )
    return made


def upsert(conn: Connection, table: Table, row: Mapping[str, Any], update: Sequence[str] | None = None) -> None:
    """Insert, or set ``update`` (default: all that is no key) where the primary key exists."""
    changed = [name for name in row if not table.c[name].primary_key] if update is None else update
    conn.execute(_upsert(table, conn.dialect.name, tuple(changed)), row)


def rows_into(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Bulk insert of whole rows; those whose natural key exists are skipped.

    Few statements, each with many rows: SQLite's driver lets another thread run at every statement and then has to
    wait for its turn again, which for single rows costs more than the insert.
    """
    values = list(map(_values(table), rows))
    done = 0
    for size in CHUNKS:
        until = len(values) - (len(values) - done) % size
        if until > done:
            chunks = [tuple(chain.from_iterable(values[at : at + size])) for at in range(done, until, size)]
            conn.exec_driver_sql(bulk_insert(table, conn.dialect.name, size), chunks)
            done = until


@cache
def bulk_insert(table: Table, dialect: str, count: int) -> str:
    """Text of ``INSERT … ON CONFLICT DO NOTHING`` of ``count`` rows, a parameter per column but a row id.

    It goes to the driver's executemany as it is, with plain tuples: nothing of SQLAlchemy runs per row.
    """
    make, place = _SPELT[dialect]
    quote = make().identifier_preparer.quote
    names = _stored_columns(table)
    row = f"({', '.join([place] * len(names))})"
    columns = ", ".join(map(quote, names))
    rows = ", ".join([row] * count)
    return f"INSERT INTO {quote(table.name)} ({columns}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608  our names


def _stored_columns(table: Table) -> list[str]:
    return [column.name for column in table.columns if column is not table.autoincrement_column]


@cache
def _values(table: Table) -> Callable[[Row], tuple[Any, ...]]:
    """The values of a row in the order of ``bulk_insert``; KeyError for a row that leaves a column out."""
    return itemgetter(*_stored_columns(table))


CHUNKS: Final = (32, 4, 1)
"""Rows per statement, as many as go into the largest first. Each size is prepared once for each table."""

_SPELT: Final[Mapping[str, tuple[Any, str]]] = {
    "sqlite": (sqlite.dialect, "?"),
    "postgresql": (postgresql.dialect, "%s"),
}
