"""How far everything is settled, and what is to be settled again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.create_table(
        "settlement_mark",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("settled_until", sa.BigInteger(), nullable=False),
        sa.Column("reading_id", sa.BigInteger(), nullable=False),
    )
    op.create_table("settlement_due", sa.Column("start", sa.BigInteger(), primary_key=True, autoincrement=False))
