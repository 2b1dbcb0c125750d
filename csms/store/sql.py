"""The statements whose spelling differs by engine, each built once: building one costs more than running it."""

from collections.abc import Mapping, Sequence
from functools import cache
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


@cache
def bulk_insert(table: Table, dialect: str) -> str:
    """Text of ``INSERT … ON CONFLICT DO NOTHING`` with one named parameter per column but a row id.

    It goes to the driver's executemany as it is, with plain dicts: nothing of SQLAlchemy runs per row.
    """
    names = [column.name for column in table.columns if column is not table.autoincrement_column]
    statement = insert(table, dialect).on_conflict_do_nothing()
    make, style = _MAKE[dialect]
    return str(statement.compile(dialect=make(paramstyle=style), column_keys=names))


_MAKE: Final[Mapping[str, tuple[Any, str]]] = {
    "sqlite": (sqlite.dialect, "named"),
    "postgresql": (postgresql.dialect, "pyformat"),
}


def rows_into(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Bulk insert of whole rows; those whose natural key exists are skipped."""
    if rows:
        conn.exec_driver_sql(bulk_insert(table, conn.dialect.name), list(rows))
