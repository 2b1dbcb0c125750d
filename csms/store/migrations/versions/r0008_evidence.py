"""How it is known whose plug-in it is outlives a restart."""

from alembic import op

from csms.store.migrations.columns import texts

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    for column in texts("evidence", nullable=True):
        op.add_column("plug_in", column)
