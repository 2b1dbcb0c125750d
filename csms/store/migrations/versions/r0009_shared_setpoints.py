"""A setpoint that several DR events share says what each of them moves."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    op.add_column("setpoint", sa.Column("parts", sa.String(), nullable=True))
    is_shared = sa.text("parts IS NOT NULL")
    op.create_index(
        "ix_setpoint_shared", "setpoint", ["decided_at"], sqlite_where=is_shared, postgresql_where=is_shared
    )
