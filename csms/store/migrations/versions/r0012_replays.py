"""Starts of a clock that stands still; what became of messages in quarantine."""

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, row_id, texts

revision = "0012"
down_revision: str | None = "0011"


def upgrade() -> None:
    op.add_column("transaction", sa.Column("start_number", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("transaction") as batch:
        batch.drop_constraint("uq_transaction_start", type_="unique")
        key = ["station", "evse", "token", "start_stated", "meter_start_wh", "start_number"]
        batch.create_unique_constraint("uq_transaction_start", key)
    op.create_table(
        "replay", row_id(), *bigs("quarantine", "at"), *texts("by", "taken_as"), *texts("raw", nullable=True)
    )
    op.create_index("ix_replay_quarantine", "replay", ["quarantine"])
