"""Settlement finds all that is booked for an interval by its time."""

from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.create_index("ix_ledger_entry_period", "ledger_entry", ["period_start"])
