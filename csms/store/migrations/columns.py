"""Columns by kind, for the migrations."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op


def make_append_only(table: str) -> None:
    """Refuse UPDATE and DELETE: a correction of the ledger is a new entry."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE)
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )


_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def _columns(kind: Any, names: Sequence[str], *, nullable: bool) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


def texts(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.String(), names, nullable=nullable)


def ints(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.Integer(), names, nullable=nullable)


def bigs(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.BigInteger(), names, nullable=nullable)


def floats(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.Float(), names, nullable=nullable)


def flags(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.Boolean(), names, nullable=nullable)


def row_id() -> sa.Column[Any]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
