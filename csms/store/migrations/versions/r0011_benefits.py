"""Benefits that were granted, and since when each plug that grants them is chosen."""

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, ints, make_append_only, row_id, texts

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    op.create_table(
        "benefit_grant",
        row_id(),
        *texts("cause"),
        *ints("revision"),
        *bigs("granted_at"),
        *texts("user", "plug_in", "station"),
        *ints("evse"),
        *texts("event", nullable=True),
        *texts("plug", "unit"),
        *bigs("amount", "moved_wh", "period_start", "period_end"),
        sa.UniqueConstraint("cause", "revision", name="uq_benefit_grant"),
    )
    op.create_index("ix_benefit_grant_user", "benefit_grant", ["user", "period_start"])
    op.create_index("ix_benefit_grant_period", "benefit_grant", ["period_start"])
    make_append_only("benefit_grant")
    op.create_table("benefit_plug", sa.Column("plug", sa.String(), primary_key=True), *bigs("known_at"))
