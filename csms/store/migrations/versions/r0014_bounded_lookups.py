"""Indexes by which every look-up of the writer stays bounded, however much one station has sent (C10)."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"


def upgrade() -> None:
    op.drop_index("ix_transaction_open", "transaction")
    _partial("ix_transaction_open", "transaction", ["station", "id"], "ended_at IS NULL")
    _partial("ix_transaction_running", "transaction", ["station", "evse"], "ended_at IS NULL")
    presumed = "provisional AND meter_stop_wh IS NULL AND ended_at IS NOT NULL"
    _partial("ix_transaction_presumed", "transaction", ["station", "id"], presumed)
    op.create_index("ix_transaction_id", "transaction", ["transaction"])
    _partial("ix_parked_stop_open", "parked_stop", ["station", "id"], "closed IS NULL")
    _partial("ix_meter_value_unplaced", "meter_value", ["station", "transaction"], "evse = -1")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
