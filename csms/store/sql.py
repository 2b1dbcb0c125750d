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
    _bulk(conn, table, list(map(_values(table), rows)), _stored_columns(table))


def rows_onto(
    conn: Connection, table: Table, rows: Sequence[Row], keys: tuple[str, ...], changed: tuple[str, ...]
) -> None:
    """Bulk insert of rows of the same columns; where their ``keys`` exist, those ``changed`` are set instead."""
    if rows:
        columns = tuple(rows[0])
        _bulk(conn, table, list(map(itemgetter(*columns), rows)), columns, (keys, changed))


def _bulk(
    conn: Connection,
    table: Table,
    values: list[tuple[Any, ...]],
    columns: tuple[str, ...],
    onto: tuple[tuple[str, ...], tuple[str, ...]] | tuple[()] = (),
) -> None:
    done = 0
    for size in CHUNKS:
        until = len(values) - (len(values) - done) % size
        if until > done:
            chunks = [tuple(chain.from_iterable(values[at : at + size])) for at in range(done, until, size)]
            conn.exec_driver_sql(bulk_insert(table, conn.dialect.name, size, columns, onto), chunks)
            done = until


@cache
def bulk_insert(
    table: Table,
    dialect: str,
    count: int,
    columns: tuple[str, ...],
    onto: tuple[tuple[str, ...], tuple[str, ...]] | tuple[()] = (),
) -> str:
    """Text of ``INSERT … ON CONFLICT`` of ``count`` rows, a parameter per column. ``onto``: the key, and what is set
    where it exists; without it nothing is done there.

    It goes to the driver's executemany as it is, with plain tuples: nothing of SQLAlchemy runs per row.
    """
    quote, place = _spelt(dialect)
    row = f"({', '.join([place] * len(columns))})"
    into = f"{quote(table.name)} ({', '.join(map(quote, columns))})"
    conflict = "DO NOTHING"
    if onto:
        keys, changed = onto
        changes = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in changed)
        conflict = f"({', '.join(map(quote, keys))}) DO UPDATE SET {changes}"
    return f"INSERT INTO {into} VALUES {', '.join([row] * count)} ON CONFLICT {conflict}"  # noqa: S608  our names


MOST: Final = 50
"""Of the rows that share a key, so many are looked at, the newest: a station that repeats a key without end costs no
more than one that repeats it fifty times."""


def rows_with(
    conn: Connection,
    table: Table,
    keys: tuple[str, ...],
    wanted: Sequence[tuple[Any, ...]],
    columns: tuple[str, ...],
    newest: tuple[str, ...],
) -> list[Any]:
    """The rows whose ``keys`` have one of the ``wanted`` values, in any order; where many share one, at least ``MOST``
    of them, those with the greatest ``newest``."""
    found: list[Any] = []
    for at in range(0, len(wanted), CHUNKS[0]):
        some = wanted[at : at + CHUNKS[0]]
        size = next(size for size in reversed(CHUNKS) if size >= len(some))
        padded = chain.from_iterable((*some, *[some[-1]] * (size - len(some))))
        text = bulk_select(table, conn.dialect.name, size, keys, columns)
        rows = conn.exec_driver_sql(text, tuple(padded)).all()
        if len(rows) == most_rows(size):
            one = newest_select(table, conn.dialect.name, keys, columns, newest)
            rows = [row for values in dict.fromkeys(some) for row in conn.exec_driver_sql(one, values).all()]
        found += rows
    return found


def most_rows(count: int) -> int:
    """A select for so many sets of keys gives no more rows; as many mean that there may be others."""
    return 4 * count + MOST


@cache
def bulk_select(table: Table, dialect: str, count: int, keys: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """Text of the SELECT of ``rows_with`` for ``count`` sets of keys."""
    quote, place = _spelt(dialect)
    one = f"({', '.join([place] * len(keys))})"
    marks = [f"k{n}" for n in range(len(keys))]
    wanted = f"wanted({', '.join(marks)}) AS (VALUES {', '.join([one] * count)})"
    names = ", ".join(f"t.{quote(name)}" for name in columns)
    same = " AND ".join(f"t.{quote(name)} = {mark}" for name, mark in zip(keys, marks, strict=True))
    # CROSS: SQLite then takes the keys first, and finds each by the index; (a, b) IN (VALUES …) reads the whole table.
    found = f"SELECT DISTINCT {names} FROM wanted CROSS JOIN {quote(table.name)} t WHERE {same}"  # noqa: S608
    return f"WITH {wanted} {found} LIMIT {most_rows(count)}"


@cache
def newest_select(
    table: Table, dialect: str, keys: tuple[str, ...], columns: tuple[str, ...], newest: tuple[str, ...]
) -> str:
    """Text of the SELECT of the newest rows of one set of keys."""
    quote, place = _spelt(dialect)
    same = " AND ".join(f"{quote(name)} = {place}" for name in keys)
    order = ", ".join(f"{quote(name)} DESC" for name in newest)
    names = ", ".join(map(quote, columns))
    return f"SELECT {names} FROM {quote(table.name)} WHERE {same} ORDER BY {order} LIMIT {MOST}"  # noqa: S608


@cache
def _stored_columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column is not table.autoincrement_column)


@cache
def _values(table: Table) -> Callable[[Row], tuple[Any, ...]]:
    """The values of a row in the order of ``bulk_insert``; KeyError for a row that leaves a column out."""
    return itemgetter(*_stored_columns(table))


CHUNKS: Final = (32, 4, 1)
"""Rows per statement, as many as go into the largest first. Each size is prepared once for each table."""


def _spelt(dialect: str) -> tuple[Callable[[str], str], str]:
    """How a name is quoted, and what stands for a value."""
    make, place = _SPELT[dialect]
    return make().identifier_preparer.quote, place


_SPELT: Final[Mapping[str, tuple[Any, str]]] = {
    "sqlite": (sqlite.dialect, "?"),
    "postgresql": (postgresql.dialect, "%s"),
}
