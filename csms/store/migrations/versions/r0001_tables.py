"""The first schema. What the columns hold: ``csms.store.tables``."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    for create in _TABLES:
        create()
    for table in ("ledger_entry", "ledger_posting"):
        _make_append_only(table)


def _make_append_only(table: str) -> None:
    """Refuse UPDATE and DELETE: a correction of the ledger is a new entry."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE)
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )


_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def _columns(kind: Any, names: Sequence[str], *, nullable: bool) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.String(), names, nullable=nullable)


def _ints(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.Integer(), names, nullable=nullable)


def _bigs(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.BigInteger(), names, nullable=nullable)


def _floats(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.Float(), names, nullable=nullable)


def _flags(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.Boolean(), names, nullable=nullable)


def _row_id() -> sa.Column[Any]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def _api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("token_hash", sa.String(), primary_key=True),
        *_texts("scope", "name"),
        *_bigs("created_at"),
    )


def _boot() -> None:
    op.create_table(
        "boot",
        _row_id(),
        *_texts("station", "message_id", "version", "vendor", "model", "serial", "firmware", "reason", "state"),
        *_bigs("received_at"),
        sa.UniqueConstraint("station", "message_id", "received_at", name="uq_boot"),
    )


def _call_log() -> None:
    op.create_table("call_log", _row_id(), *_texts("station", "action", "payload", "outcome", "by"), *_bigs("at"))
    op.create_index("ix_call_log_station", "call_log", ["station", "id"])


def _decision() -> None:
    op.create_table("decision", _row_id(), *_bigs("at"), *_ints("evses"))
    op.create_index("ix_decision_at", "decision", ["at"])


def _dr_event() -> None:
    op.create_table(
        "dr_event",
        sa.Column("id", sa.String(), primary_key=True),
        *_texts("direction", "areas"),
        *_bigs("requested_w", "starts_at", "ends_at", "created_at"),
        *_texts("incentive_per_kwh", "price_per_kwh", nullable=True),
        *_bigs("cancelled_at", nullable=True),
    )
    op.create_index("ix_dr_event_ends_at", "dr_event", ["ends_at"])


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(), primary_key=True),
        *_texts("fingerprint", "body"),
        *_ints("status"),
        *_bigs("at"),
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"])


def _ledger_entry() -> None:
    op.create_table(
        "ledger_entry",
        _row_id(),
        *_texts("cause", "kind", "flow", "user", "station", "plug_in", "price_per_kwh", "currency", "evidence"),
        *_ints("revision", "evse"),
        *_bigs("posted_at", "period_start", "period_end", "energy_wh"),
        *_texts("vehicle", "event", nullable=True),
        sa.UniqueConstraint("cause", "revision", name="uq_ledger_entry"),
    )
    op.create_index("ix_ledger_entry_event", "ledger_entry", ["event"])
    op.create_index("ix_ledger_entry_plug_in", "ledger_entry", ["plug_in"])
    op.create_index("ix_ledger_entry_user", "ledger_entry", ["user", "period_start"])


def _meter_value() -> None:
    op.create_table(
        "meter_value",
        _row_id(),
        *_texts("station", "message_id", "context"),
        *_ints("evse"),
        *_texts("transaction", "extra", nullable=True),
        *_bigs("at", "received_at", "digest"),
        *_floats(
            "import_wh",
            "export_wh",
            "power_import_w",
            "power_export_w",
            "power_offered_w",
            "current_a",
            "voltage_v",
            "soc_percent",
            nullable=True,
        ),
        sa.UniqueConstraint("station", "evse", "at", "digest", name="uq_meter_value"),
    )


def _notice() -> None:
    op.create_table(
        "notice",
        _row_id(),
        *_texts("station", "kind", "message_id", "content"),
        *_bigs("received_at"),
        sa.UniqueConstraint("station", "kind", "message_id", "received_at", name="uq_notice"),
    )
    op.create_index("ix_notice_station", "notice", ["station", "id"])


def _parked_stop() -> None:
    op.create_table(
        "parked_stop",
        _row_id(),
        *_texts("station", "transaction", "reason", "readings", "message_id", "why"),
        *_bigs("at", "meter_stop_wh", "received_at"),
        *_texts("token", "closed", nullable=True),
        sa.UniqueConstraint("station", "transaction", "at", "meter_stop_wh", name="uq_parked_stop"),
    )


def _price_series() -> None:
    op.create_table("price_series", _row_id(), *_texts("area", "steps"), *_bigs("at"), *_bigs("until", nullable=True))
    op.create_index("ix_price_series_area", "price_series", ["area", "id"])


def _probe() -> None:
    op.create_table(
        "probe",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("evse", sa.Integer(), primary_key=True),
        sa.Column("firmware", sa.String(), primary_key=True),
        *_texts("state"),
        *_bigs("at"),
    )


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        _row_id(),
        *_texts("station", "message_id", "action", "raw", "why", "fields"),
        *_bigs("received_at", nullable=True),
        *_ints("evse", nullable=True),
        *_bigs("digest"),
        sa.UniqueConstraint("station", "digest", name="uq_quarantine"),
    )


def _secret() -> None:
    op.create_table("secret", sa.Column("name", sa.String(), primary_key=True), *_texts("value"))


def _setpoint() -> None:
    op.create_table(
        "setpoint",
        sa.Column("id", sa.String(), primary_key=True),
        *_texts("station", "driver", "reasons", "state", "refusal"),
        *_ints("evse", "desired_w", "baseline_w"),
        *_texts("plug_in", "transaction", "event", nullable=True),
        *_bigs("decided_at", "expires_at"),
        *_bigs("acknowledged_at", "observed_at", nullable=True),
        *_ints("observed_w", nullable=True),
    )
    op.create_index("ix_setpoint_event", "setpoint", ["event", "decided_at"])
    op.create_index("ix_setpoint_evse", "setpoint", ["station", "evse", "decided_at"])


def _station() -> None:
    op.create_table(
        "station",
        sa.Column("id", sa.String(), primary_key=True),
        *_texts("site", "boot_state", "vendor", "model", "serial", "firmware"),
        *_texts("host", "password_hash", "version", nullable=True),
        *_bigs("last_heard_at", nullable=True),
    )


def _status() -> None:
    op.create_table(
        "status",
        _row_id(),
        *_texts("station", "status", "message_id", "error_code", "info"),
        *_ints("evse", "connector"),
        *_bigs("at", "received_at"),
        sa.UniqueConstraint("station", "evse", "connector", "at", "status", "error_code", name="uq_status"),
    )
    op.create_index("ix_status_newest", "status", ["station", "evse", "connector", "id"])


def _transaction() -> None:
    op.create_table(
        "transaction",
        _row_id(),
        *_texts("station", "transaction", "stopped_reason"),
        *_ints("evse", "connector", "first_seq_no", "last_seq_no", nullable=True),
        *_texts("token", nullable=True),
        *_bigs("started_at", "ended_at", "meter_start_wh", "meter_stop_wh", "remote_start_id", nullable=True),
        *_ints("events"),
        *_flags("provisional"),
        *_bigs("received_at"),
        sa.UniqueConstraint("station", "transaction", name="uq_transaction"),
        sa.UniqueConstraint("station", "evse", "token", "started_at", "meter_start_wh", name="uq_transaction_start"),
    )
    op.create_index("ix_transaction_open", "transaction", ["station", "ended_at"])
    op.create_index("ix_transaction_token", "transaction", ["token"])


def _transaction_event() -> None:
    op.create_table(
        "transaction_event",
        _row_id(),
        *_texts(
            "station",
            "transaction",
            "phase",
            "trigger",
            "message_id",
            "charging_state",
            "stopped_reason",
            "operation_mode",
        ),
        *_ints("seq_no"),
        *_bigs("at", "received_at"),
        *_ints("evse", "connector", nullable=True),
        *_texts("token", nullable=True),
        *_flags("offline"),
        sa.UniqueConstraint("station", "transaction", "seq_no", name="uq_transaction_event"),
    )


def _transaction_sequence() -> None:
    op.create_table("transaction_sequence", sa.Column("name", sa.String(), primary_key=True), *_bigs("next_id"))


def _user() -> None:
    op.create_table(
        "user", sa.Column("id", sa.String(), primary_key=True), *_texts("name", "language"), *_bigs("created_at")
    )


def _event_share() -> None:
    op.create_table(
        "event_share",
        sa.Column("decision", sa.BigInteger(), sa.ForeignKey("decision.id"), primary_key=True),
        sa.Column("event", sa.String(), primary_key=True),
        *_ints("requested_w", "capacity_w", "allotted_w"),
        *_texts("reasons"),
    )
    op.create_index("ix_event_share_event", "event_share", ["event"])


def _evse() -> None:
    op.create_table(
        "evse",
        sa.Column("station", sa.String(), sa.ForeignKey("station.id"), primary_key=True),
        sa.Column("evse", sa.Integer(), primary_key=True),
        *_texts("site", "current"),
        *_ints("connectors", "phases", "voltage_v", "max_charge_w", "min_charge_w", "max_discharge_w"),
        *_flags("public"),
    )


def _ledger_posting() -> None:
    op.create_table(
        "ledger_posting",
        sa.Column("entry", sa.BigInteger(), sa.ForeignKey("ledger_entry.id"), primary_key=True),
        sa.Column("line", sa.Integer(), primary_key=True),
        *_texts("account"),
        *_bigs("amount_minor"),
    )
    op.create_index("ix_ledger_posting_account", "ledger_posting", ["account"])


def _pattern() -> None:
    op.create_table(
        "pattern",
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        *_texts("conditions"),
        *_flags("prepared"),
    )


def _terminal() -> None:
    op.create_table(
        "terminal",
        sa.Column("token_hash", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), nullable=False),
        *_bigs("created_at"),
    )
    op.create_index("ix_terminal_user", "terminal", ["user"])


def _vehicle() -> None:
    op.create_table(
        "vehicle",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), nullable=False),
        *_texts("name"),
        *_ints("capacity_wh", "max_charge_w", "max_discharge_w"),
        *_floats("charge_efficiency", "discharge_efficiency"),
    )
    op.create_index("ix_vehicle_user", "vehicle", ["user"])


def _violation() -> None:
    op.create_table(
        "violation",
        _row_id(),
        sa.Column("decision", sa.BigInteger(), sa.ForeignKey("decision.id"), nullable=False),
        *_texts("rule", "text"),
        *_texts("station", "site", nullable=True),
        *_ints("evse", nullable=True),
    )
    op.create_index("ix_violation_decision", "violation", ["decision"])


def _id_token() -> None:
    op.create_table(
        "id_token",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id")),
        sa.Column("vehicle", sa.String(), sa.ForeignKey("vehicle.id")),
        *_texts("token", "type", "status"),
        *_bigs("expires_at", nullable=True),
        *_texts("group", nullable=True),
    )


def _plug_in() -> None:
    op.create_table(
        "plug_in",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id")),
        sa.Column("vehicle", sa.String(), sa.ForeignKey("vehicle.id")),
        *_texts("station", "permission_state", "text_version"),
        *_ints("evse", "connector"),
        *_bigs("plugged_at"),
        *_bigs("unplugged_at", "asked_at", "expires_at", "answered_at", "departure_at", "soc_at", nullable=True),
        *_texts("transaction", "channel", "conditions", nullable=True),
        *_floats("soc_at_start_percent", "soc_percent", nullable=True),
    )
    op.create_index("ix_plug_in_evse", "plug_in", ["station", "evse", "plugged_at"])
    op.create_index("ix_plug_in_open", "plug_in", ["unplugged_at"])
    op.create_index("ix_plug_in_user", "plug_in", ["user", "plugged_at"])


def _permission_history() -> None:
    op.create_table(
        "permission_history",
        _row_id(),
        sa.Column("plug_in", sa.String(), sa.ForeignKey("plug_in.id"), nullable=False),
        *_texts("state", "permission"),
    )
    op.create_index("ix_permission_history_plug_in", "permission_history", ["plug_in"])


_TABLES: tuple[Callable[[], None], ...] = (
    _api_token,
    _boot,
    _call_log,
    _decision,
    _dr_event,
    _idempotency,
    _ledger_entry,
    _meter_value,
    _notice,
    _parked_stop,
    _price_series,
    _probe,
    _quarantine,
    _secret,
    _setpoint,
    _station,
    _status,
    _transaction,
    _transaction_event,
    _transaction_sequence,
    _user,
    _event_share,
    _evse,
    _ledger_posting,
    _pattern,
    _terminal,
    _vehicle,
    _violation,
    _id_token,
    _plug_in,
    _permission_history,
)
