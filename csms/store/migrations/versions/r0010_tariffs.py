"""Tariffs with the time when they became known; the area whose prices a plug-in was settled by."""

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, row_id, texts

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    op.create_table("tariff", row_id(), *texts("area"), *bigs("known_at"), *texts("currency", "zone", "periods"))
    op.create_index("ix_tariff_area", "tariff", ["area", "id"])
    op.create_table("settled_area", sa.Column("plug_in", sa.String(), primary_key=True), *texts("area"))
