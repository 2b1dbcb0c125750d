"""The counterfactual outlives a restart; a decision names its policies, an event its priority."""

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, floats, ints, texts

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    op.add_column("decision", sa.Column("policies", sa.String(), nullable=True))
    op.add_column("dr_event", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "counterfactual",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("evse", sa.Integer(), primary_key=True, autoincrement=False),
        *texts("plug_in"),
        *bigs("frozen_at", "at"),
        *floats("energy_wh", "added_wh"),
        *ints("power_w"),
    )
