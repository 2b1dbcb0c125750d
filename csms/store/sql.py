"""The two statements whose spelling differs by engine, each written once."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]


def insert_new(conn: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert unless a natural key is taken already; whether it was inserted."""
    if conn.dialect.name == "postgresql":
        return conn.execute(postgresql.insert(table).on_conflict_do_nothing(), row).rowcount == 1
    return conn.execute(sqlite.insert(table).on_conflict_do_nothing(), row).rowcount == 1


def upsert(conn: Connection, table: Table, row: Mapping[str, Any], update: Sequence[str] | None = None) -> None:
    """Insert, or set ``update`` (default: all that is no key) where the primary key exists."""
    insert = postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    changed = [name for name in row if name not in keys] if update is None else update
    new = {name: insert.excluded[name] for name in changed}
    conn.execute(insert.on_conflict_do_update(index_elements=keys, set_=new), row)


def bulk_insert(table: Table, dialect: Dialect) -> str:
    """Text of ``INSERT … ON CONFLICT DO NOTHING`` with one named parameter per column but a row id.

    It goes to the driver's executemany as it is, with plain dicts: nothing of SQLAlchemy runs per row.
    """
    insert = postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
    names = [column.name for column in table.columns if column is not table.autoincrement_column]
    make: Any = type(dialect)
    named: Dialect = make(paramstyle="named" if dialect.name == "sqlite" else "pyformat")
    return str(insert.on_conflict_do_nothing().compile(dialect=named, column_keys=names))


def rows_into(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Bulk insert of whole rows; those whose natural key exists are skipped."""
    if rows:
        conn.exec_driver_sql(_text(table, conn.dialect), list(rows))


_TEXTS: dict[tuple[str, str], str] = {}


def _text(table: Table, dialect: Dialect) -> str:
    key = (dialect.name, table.name)
    if key not in _TEXTS:
        _TEXTS[key] = bulk_insert(table, dialect)
    return _TEXTS[key]
