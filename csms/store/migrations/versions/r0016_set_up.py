"""Which set-up a station took: what it keeps over a reconnect or a boot is not sent again."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision: str | None = "0015"


def upgrade() -> None:
    op.add_column("station", sa.Column("set_up_as", sa.String(), nullable=True))
