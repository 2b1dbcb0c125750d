"""Frames that money or permission rests on, as they were on the wire (M2)."""

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, row_id


class FramePageRow(SQLModel, table=True):
    """The frames of one commit, compressed: see ``csms.store.journal`` for the format. No page spans more than a
    minute, so those of an instant are found by one narrow range of ``last_at``."""

    __tablename__ = "frame_page"
    __table_args__ = (Index("ix_frame_page_at", "last_at"),)

    id: int | None = row_id()
    first_at: int = big()
    last_at: int = big()
    frames: int
    packing: int
    content: bytes = Field(sa_type=LargeBinary)


class SentCallRow(SQLModel, table=True):
    """A CALL of ours, or what answered it, whose frame is in the page of its time."""

    __tablename__ = "sent_call"
    __table_args__ = (Index("ix_sent_call_at", "station", "at"),)

    id: int | None = row_id()
    station: str
    at: int = big()
    message_id: str
    is_answer: bool
    action: str
    evse: int | None = None
    setpoint: str | None = None
