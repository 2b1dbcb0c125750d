"""What stations say: statuses, transactions, meter values, and what could not be understood.

``device_at``: the station's own time; ``at``: what was made of it, never changed afterwards; ``offset_s``: what its
clock was taken to be behind ours when it came; ``stated``: its own time in its own words.
"""

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, later, row_id

PRESUMED = "provisional AND meter_stop_wh IS NULL AND ended_at IS NOT NULL"
UNPLACED = "evse = -1"
"""Conditions of partial indexes: a query spells them alike, or the index does not serve it."""


def partial_index(name: str, *columns: str, where: str) -> Index:
    """An index of the few rows that the writer looks for among all: its time never grows with a station's history."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class StatusRow(SQLModel, table=True):
    """One reported connector status. The newest row of a connector is its state: a replay adds none.

    ``stated_at``: the station's own time where the key cannot be made of it: its clock stands still.
    """

    __tablename__ = "status"
    __table_args__ = (
        UniqueConstraint("station", "evse", "connector", "device_at", "status", "error_code", name="uq_status"),
        Index("ix_status_newest", "station", "evse", "connector", "id"),
    )

    id: int | None = row_id()
    station: str
    evse: int
    connector: int
    status: str
    at: int = big()
    device_at: int = big()
    offset_s: float
    received_at: int = big()
    message_id: str
    error_code: str
    info: str
    stated_at: int | None = big(default=None)


class NoticeRow(SQLModel, table=True):
    """What a station told besides; ``kind`` is a NoticeKind, ``content`` JSON, with its own times as it said them."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("station", "kind", "message_id", "received_at", name="uq_notice"),
        Index("ix_notice_station", "station", "id"),
    )

    id: int | None = row_id()
    station: str
    kind: str
    message_id: str
    received_at: int = big()
    content: str
    offset_s: float = later(0.0, "0")


class TransactionRow(SQLModel, table=True):
    """One transaction. ``uq_transaction_start`` is 1.6's natural key (lesson 9); 2.x rows have no meter start.
    ``start_number`` counts starts with one key of a clock that stands still.

    ``first_seq_no``, ``last_seq_no`` and ``events`` tell gaps in 2.x numbering (V2G-56). ``generation`` counts the
    transactions that a 2.x station gave one id to. ``provisional`` = ended on evidence: by a StopTransaction that named
    another id (lesson 11), or by none at all (lesson 13); ``stopped_reason`` then says which.
    """

    __tablename__ = "transaction"
    __table_args__ = (
        UniqueConstraint("station", "transaction", "generation", name="uq_transaction"),
        UniqueConstraint(
            "station", "evse", "token", "start_stated", "meter_start_wh", "start_number", name="uq_transaction_start"
        ),
        partial_index("ix_transaction_open", "station", "id", where="ended_at IS NULL"),
        partial_index("ix_transaction_running", "station", "evse", where="ended_at IS NULL"),
        partial_index("ix_transaction_presumed", "station", "id", where=PRESUMED),
        Index("ix_transaction_id", "transaction"),
        Index("ix_transaction_token", "token"),
    )

    id: int | None = row_id()
    station: str
    transaction: str
    generation: int = 0
    evse: int | None = None
    connector: int | None = None
    token: str | None = None
    started_at: int | None = big(default=None)
    ended_at: int | None = big(default=None)
    meter_start_wh: int | None = big(default=None)
    meter_stop_wh: int | None = big(default=None)
    stopped_reason: str = ""
    remote_start_id: int | None = big(default=None)
    first_seq_no: int | None = None
    last_seq_no: int | None = None
    events: int = 0
    provisional: bool = False
    received_at: int = big()
    start_stated: str | None = None
    start_number: int = later(0, "0")
    stop_stated: str | None = None
    start_offset_s: float | None = None
    stop_offset_s: float | None = None
    start_message_id: str | None = None
    stop_message_id: str | None = None
    stop_received_at: int | None = big(default=None)


class TransactionEventRow(SQLModel, table=True):
    """One 2.x TransactionEvent. ``numbering``: counts how often its number was given anew in one transaction."""

    __tablename__ = "transaction_event"
    __table_args__ = (
        UniqueConstraint("station", "transaction", "seq_no", "generation", "numbering", name="uq_transaction_event"),
    )

    id: int | None = row_id()
    station: str
    transaction: str
    generation: int
    numbering: int
    seq_no: int
    phase: str
    trigger: str
    at: int = big()
    device_at: int = big()
    offset_s: float
    received_at: int = big()
    message_id: str
    evse: int | None = None
    connector: int | None = None
    token: str | None = None
    charging_state: str = ""
    offline: bool = False
    stopped_reason: str = ""
    operation_mode: str = ""


class ParkedStopRow(SQLModel, table=True):
    """A StopTransaction whose id names no transaction of its station, or contradicts an earlier stop (V2G-55).

    ``closed`` names the transaction it was found to belong to. ``readings`` is JSON.
    """

    __tablename__ = "parked_stop"
    __table_args__ = (
        UniqueConstraint("station", "transaction", "stated", "meter_stop_wh", name="uq_parked_stop"),
        partial_index("ix_parked_stop_open", "station", "id", where="closed IS NULL"),
    )

    id: int | None = row_id()
    station: str
    transaction: str
    at: int = big()
    stated: str
    offset_s: float
    meter_stop_wh: int = big()
    token: str | None = None
    reason: str = ""
    readings: str
    received_at: int = big()
    message_id: str
    why: str
    closed: str | None = None


class MeterValueRow(SQLModel, table=True):
    """One MeterValue, typed and wide (performance §4). ``digest`` stands for transaction, context and every value.

    Retries come with new message ids but the same content, so they fall on ``uq_meter_value``; two different readings
    of one instant are both kept (lesson 17). The key begins with the time, so that what comes together lies together:
    with the station first each row touches a page of its own. ``evse`` -1 = the station has not said yet at which EVSE.
    """

    __tablename__ = "meter_value"
    __table_args__ = (
        UniqueConstraint("device_at", "station", "evse", "digest", name="uq_meter_value"),
        Index("ix_meter_value_at", "station", "evse", "at"),
        partial_index("ix_meter_value_unplaced", "station", "transaction", where=UNPLACED),
    )

    id: int | None = row_id()
    station: str
    evse: int
    transaction: str | None = None
    at: int = big()
    device_at: int = big()
    offset_s: float
    received_at: int = big()
    message_id: str
    digest: int = big()
    context: str
    import_wh: float | None = None
    export_wh: float | None = None
    power_import_w: float | None = None
    power_export_w: float | None = None
    power_offered_w: float | None = None
    current_a: float | None = None
    voltage_v: float | None = None
    soc_percent: float | None = None
    extra: str | None = None


class TransactionSequenceRow(SQLModel, table=True):
    """The next transaction id nobody has reserved (V2G-55)."""

    __tablename__ = "transaction_sequence"

    name: str = Field(primary_key=True)
    next_id: int = big()


class IssuedIdRow(SQLModel, table=True):
    """A 1.6 transaction id that a station was given for a start that could not be kept as a transaction (V2G-39).

    Every id that was ever given out is here or in ``transaction``: a stop that names one never closes another."""

    __tablename__ = "issued_id"
    __table_args__ = (Index("ix_issued_id_transaction", "transaction"),)

    station: str = Field(primary_key=True)
    transaction: str = Field(primary_key=True)
    message_id: str
    why: str
    at: int = big()


class QuarantineRow(SQLModel, table=True):
    """What could not be understood or stored, raw (V2G-39). ``digest``: of action and raw text."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("station", "digest", name="uq_quarantine"),)

    id: int | None = row_id()
    station: str
    message_id: str
    received_at: int | None = big(default=None)
    action: str
    raw: str
    why: str
    evse: int | None = None
    fields: str
    digest: int = big()


class ReplayRow(SQLModel, table=True):
    """One time that somebody had a message in quarantine taken in again. ``raw``: the corrected message; None = as it
    came, which never changes."""

    __tablename__ = "replay"
    __table_args__ = (Index("ix_replay_quarantine", "quarantine"),)

    id: int | None = row_id()
    quarantine: int = big()
    at: int = big()
    by: str
    taken_as: str
    raw: str | None = None
