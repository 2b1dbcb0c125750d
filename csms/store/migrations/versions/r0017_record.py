"""Frames that money or permission rests on; the message in which a transaction began and ended; told times."""

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, flags, ints, row_id, texts

revision = "0017"
down_revision: str | None = "0016"


def upgrade() -> None:
    op.create_table(
        "frame_page",
        row_id(),
        *bigs("first_at", "last_at"),
        *ints("frames", "packing"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_frame_page_at", "frame_page", ["last_at"])
    op.create_table(
        "sent_call",
        row_id(),
        *texts("station"),
        *bigs("at"),
        *texts("message_id"),
        *flags("is_answer"),
        *texts("action"),
        *ints("evse", nullable=True),
        *texts("setpoint", nullable=True),
    )
    op.create_index("ix_sent_call_at", "sent_call", ["station", "at"])
    for column in (
        *texts("start_message_id", "stop_message_id", nullable=True),
        *bigs("stop_received_at", nullable=True),
    ):
        op.add_column("transaction", column)
    op.add_column("status", sa.Column("stated_at", sa.BigInteger(), nullable=True))
    op.add_column("notice", sa.Column("offset_s", sa.Float(), nullable=False, server_default="0"))
    op.create_index("ix_setpoint_decided", "setpoint", ["decided_at"])
