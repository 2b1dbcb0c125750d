"""Several vehicles, terminals and named conditions per user; what the user says of a plug-in; what hosts choose."""

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, flags, floats, texts

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    _plug_in()
    _evse()
    _people()
    _pattern()


def _plug_in() -> None:
    new = (
        *floats("stated_soc_percent", nullable=True),
        *bigs("participating_since", "revised_at", nullable=True),
        *texts("pattern", nullable=True),
    )
    for column in new:
        op.add_column("plug_in", column)


def _evse() -> None:
    for column in texts("on_refusal", "on_no_answer", nullable=True):
        op.add_column("evse", column)
    op.add_column("evse", sa.Column("allowed", sa.String(), nullable=False, server_default="[]"))


def _people() -> None:
    for table, column in zip(
        ("terminal", "vehicle", "vehicle"), texts("name", "plate", "vin", nullable=True), strict=True
    ):
        op.add_column(table, column)
    op.add_column("vehicle", sa.Column("deleted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "vehicle_user",
        sa.Column("vehicle", sa.String(), sa.ForeignKey("vehicle.id"), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), primary_key=True),
    )
    op.create_index("ix_vehicle_user_user", "vehicle_user", ["user"])
    op.create_table(
        "link_code",
        sa.Column("code_hash", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), nullable=False),
        sa.Column("vehicle", sa.String(), sa.ForeignKey("vehicle.id"), nullable=True),
        *bigs("expires_at"),
    )


def _pattern() -> None:
    """Its key grows, which SQLite cannot do in place."""
    op.create_table(
        "named_pattern",
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("vehicle", sa.String(), primary_key=True),
        *texts("conditions"),
        *flags("prepared", "chosen"),
    )
    old, new = (_table(name, *columns) for name, *columns in (("pattern", *_OLD), ("named_pattern", *_NEW)))
    kept = sa.select(*(old.c[name] for name in _OLD), sa.literal(""), old.c.name == "mine")
    op.execute(new.insert().from_select(_NEW, kept))
    op.drop_table("pattern")
    op.rename_table("named_pattern", "pattern")


_OLD = ["user", "name", "conditions", "prepared"]
_NEW = [*_OLD, "vehicle", "chosen"]


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns))
