"""A station's own ways, by its operator and as they were learnt; EVSEs that wait for approval; kinds of notices."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"

KINDS = {"NeedsReported": "charging_needs", "DataSent": "vendor_data"}


def upgrade() -> None:
    op.add_column("station", sa.Column("quirks", sa.String(), nullable=False, server_default="{}"))
    op.add_column("station", sa.Column("learnt", sa.String(), nullable=False, server_default="{}"))
    op.add_column("evse", sa.Column("approved", sa.Boolean(), nullable=False, server_default=sa.true()))
    notice = sa.table("notice", sa.column("kind", sa.String()))
    for before, after in KINDS.items():
        op.execute(notice.update().where(notice.c.kind == before).values(kind=after))
