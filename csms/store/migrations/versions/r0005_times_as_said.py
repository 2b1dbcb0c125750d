"""The stations' own times beside ours; transaction ids and sequence numbers that begin again; every id ever issued."""

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, texts

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    _own_times("status", "uq_status", ["station", "evse", "connector", "device_at", "status", "error_code"])
    _own_times("meter_value", "uq_meter_value", ["station", "evse", "device_at", "digest"])
    op.create_index("ix_meter_value_at", "meter_value", ["station", "evse", "at"])
    _numbered("transaction_event", "generation", "numbering")
    numbered = ["station", "transaction", "generation", "numbering", "seq_no"]
    _own_times("transaction_event", "uq_transaction_event", numbered)
    _transaction()
    _parked_stop()
    op.create_table(
        "issued_id",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("transaction", sa.String(), primary_key=True),
        *texts("message_id", "why"),
        *bigs("at"),
    )
    op.create_index("ix_issued_id_transaction", "issued_id", ["transaction"])
    op.add_column("station", sa.Column("failsafe_limit_w", sa.Integer(), nullable=True))


def _own_times(table: str, key: str, columns: list[str]) -> None:
    """``device_at`` and ``offset_s``; what is there came before anybody corrected it otherwise than in place."""
    op.add_column(table, sa.Column("device_at", sa.BigInteger(), nullable=True))
    op.add_column(table, sa.Column("offset_s", sa.Float(), nullable=True))
    op.execute(sa.text(f'UPDATE "{table}" SET device_at = at, offset_s = 0'))  # noqa: S608  our names
    with op.batch_alter_table(table) as batch:
        batch.alter_column("device_at", nullable=False, existing_type=sa.BigInteger())
        batch.alter_column("offset_s", nullable=False, existing_type=sa.Float())
        batch.drop_constraint(key, type_="unique")
        batch.create_unique_constraint(key, columns)


def _numbered(table: str, *columns: str) -> None:
    for column in columns:
        op.add_column(table, sa.Column(column, sa.Integer(), nullable=True))
        op.execute(sa.text(f'UPDATE "{table}" SET {column} = 0'))  # noqa: S608  our names
    with op.batch_alter_table(table) as batch:
        for column in columns:
            batch.alter_column(column, nullable=False, existing_type=sa.Integer())


def _transaction() -> None:
    _numbered("transaction", "generation")
    for column in texts("start_stated", "stop_stated", nullable=True):
        op.add_column("transaction", column)
    for name in ("start_offset_s", "stop_offset_s"):
        op.add_column("transaction", sa.Column(name, sa.Float(), nullable=True))
    with op.batch_alter_table("transaction") as batch:
        batch.drop_constraint("uq_transaction", type_="unique")
        batch.drop_constraint("uq_transaction_start", type_="unique")
        batch.create_unique_constraint("uq_transaction", ["station", "transaction", "generation"])
        key = ["station", "evse", "token", "start_stated", "meter_start_wh"]
        batch.create_unique_constraint("uq_transaction_start", key)


def _parked_stop() -> None:
    op.add_column("parked_stop", sa.Column("stated", sa.String(), nullable=True))
    op.add_column("parked_stop", sa.Column("offset_s", sa.Float(), nullable=True))
    op.execute(sa.text("UPDATE parked_stop SET stated = CAST(at AS VARCHAR), offset_s = 0"))
    with op.batch_alter_table("parked_stop") as batch:
        batch.alter_column("stated", nullable=False, existing_type=sa.String())
        batch.alter_column("offset_s", nullable=False, existing_type=sa.Float())
        batch.drop_constraint("uq_parked_stop", type_="unique")
        batch.create_unique_constraint("uq_parked_stop", ["station", "transaction", "stated", "meter_stop_wh"])
