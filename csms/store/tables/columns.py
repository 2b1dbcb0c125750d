"""Kinds of column that several tables share.

Instants are whole microseconds since 1970-01-01 UTC in a BIGINT: exact, the same on both engines, sortable, and several
times cheaper to write than a DATETIME, which costs formatting and parsing per row. Enums are their values, decimals
and JSON are text: nothing is rounded and nothing needs a type of one engine only.
"""

from typing import Any

from sqlalchemy import BigInteger, Integer, Table
from sqlmodel import Field, SQLModel

_ROW_ID: Any = BigInteger().with_variant(Integer(), "sqlite")
_BIG: Any = BigInteger


def row_id() -> Any:
    """A number the database gives, growing with every row."""
    return Field(default=None, primary_key=True, sa_type=_ROW_ID)


def big(**options: Any) -> Any:
    """A 64-bit integer: an instant, an amount, a digest."""
    return Field(sa_type=_BIG, **options)


def later(default: Any, sql_default: Any) -> Any:
    """A column that tables were given later: older rows have its default."""
    return Field(default=default, sa_column_kwargs={"server_default": sql_default})


def table_of(model: type[SQLModel]) -> Table:
    """The Core table behind a model."""
    return SQLModel.metadata.tables[str(model.__tablename__)]
