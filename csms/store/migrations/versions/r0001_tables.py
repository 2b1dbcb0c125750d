"""The first schema. What the columns hold: ``csms.store.tables``."""

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

from csms.store.migrations.columns import bigs, flags, floats, ints, make_append_only, row_id, texts

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    for create in _TABLES:
        create()


def _api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("token_hash", sa.String(), primary_key=True),
        *texts("scope", "name"),
        *bigs("created_at"),
    )


def _boot() -> None:
    op.create_table(
        "boot",
        row_id(),
        *texts("station", "message_id", "version", "vendor", "model", "serial", "firmware", "reason", "state"),
        *bigs("received_at"),
        sa.UniqueConstraint("station", "message_id", "received_at", name="uq_boot"),
    )


def _call_log() -> None:
    op.create_table("call_log", row_id(), *texts("station", "action", "payload", "outcome", "by"), *bigs("at"))
    op.create_index("ix_call_log_station", "call_log", ["station", "id"])


def _decision() -> None:
    op.create_table("decision", row_id(), *bigs("at"), *ints("evses"))
    op.create_index("ix_decision_at", "decision", ["at"])


def _dr_event() -> None:
    op.create_table(
        "dr_event",
        sa.Column("id", sa.String(), primary_key=True),
        *texts("direction", "areas"),
        *bigs("requested_w", "starts_at", "ends_at", "created_at"),
        *texts("incentive_per_kwh", "price_per_kwh", nullable=True),
        *bigs("cancelled_at", nullable=True),
    )
    op.create_index("ix_dr_event_ends_at", "dr_event", ["ends_at"])


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(), primary_key=True),
        *texts("fingerprint", "body"),
        *ints("status"),
        *bigs("at"),
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"])


def _ledger() -> None:
    op.create_table(
        "ledger_entry",
        row_id(),
        *texts("cause", "kind", "flow", "user", "station", "plug_in", "price_per_kwh", "currency", "evidence"),
        *ints("revision", "evse"),
        *bigs("posted_at", "period_start", "period_end", "energy_wh"),
        *texts("vehicle", "event", nullable=True),
        sa.UniqueConstraint("cause", "revision", name="uq_ledger_entry"),
    )
    op.create_index("ix_ledger_entry_event", "ledger_entry", ["event"])
    op.create_index("ix_ledger_entry_plug_in", "ledger_entry", ["plug_in"])
    op.create_index("ix_ledger_entry_user", "ledger_entry", ["user", "period_start"])
    op.create_table(
        "ledger_posting",
        sa.Column("entry", sa.BigInteger(), sa.ForeignKey("ledger_entry.id"), primary_key=True),
        sa.Column("line", sa.Integer(), primary_key=True),
        *texts("account"),
        *bigs("amount_minor"),
    )
    op.create_index("ix_ledger_posting_account", "ledger_posting", ["account"])
    for table in ("ledger_entry", "ledger_posting"):
        make_append_only(table)


def _meter_value() -> None:
    op.create_table(
        "meter_value",
        row_id(),
        *texts("station", "message_id", "context"),
        *ints("evse"),
        *texts("transaction", "extra", nullable=True),
        *bigs("at", "received_at", "digest"),
        *floats(
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
        row_id(),
        *texts("station", "kind", "message_id", "content"),
        *bigs("received_at"),
        sa.UniqueConstraint("station", "kind", "message_id", "received_at", name="uq_notice"),
    )
    op.create_index("ix_notice_station", "notice", ["station", "id"])


def _parked_stop() -> None:
    op.create_table(
        "parked_stop",
        row_id(),
        *texts("station", "transaction", "reason", "readings", "message_id", "why"),
        *bigs("at", "meter_stop_wh", "received_at"),
        *texts("token", "closed", nullable=True),
        sa.UniqueConstraint("station", "transaction", "at", "meter_stop_wh", name="uq_parked_stop"),
    )


def _price_series() -> None:
    op.create_table("price_series", row_id(), *texts("area", "steps"), *bigs("at"), *bigs("until", nullable=True))
    op.create_index("ix_price_series_area", "price_series", ["area", "id"])


def _probe() -> None:
    op.create_table(
        "probe",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("evse", sa.Integer(), primary_key=True),
        sa.Column("firmware", sa.String(), primary_key=True),
        *texts("state"),
        *bigs("at"),
    )


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        row_id(),
        *texts("station", "message_id", "action", "raw", "why", "fields"),
        *bigs("received_at", nullable=True),
        *ints("evse", nullable=True),
        *bigs("digest"),
        sa.UniqueConstraint("station", "digest", name="uq_quarantine"),
    )


def _secret() -> None:
    op.create_table("secret", sa.Column("name", sa.String(), primary_key=True), *texts("value"))


def _setpoint() -> None:
    op.create_table(
        "setpoint",
        sa.Column("id", sa.String(), primary_key=True),
        *texts("station", "driver", "reasons", "state", "refusal"),
        *ints("evse", "desired_w", "baseline_w"),
        *texts("plug_in", "transaction", "event", nullable=True),
        *bigs("decided_at", "expires_at"),
        *bigs("acknowledged_at", "observed_at", nullable=True),
        *ints("observed_w", nullable=True),
    )
    op.create_index("ix_setpoint_event", "setpoint", ["event", "decided_at"])
    op.create_index("ix_setpoint_evse", "setpoint", ["station", "evse", "decided_at"])


def _station() -> None:
    op.create_table(
        "station",
        sa.Column("id", sa.String(), primary_key=True),
        *texts("site", "registration", "boot_state", "vendor", "model", "serial", "firmware"),
        *texts("host", "password_hash", "version", nullable=True),
        *bigs("last_heard_at", nullable=True),
    )


def _status() -> None:
    op.create_table(
        "status",
        row_id(),
        *texts("station", "status", "message_id", "error_code", "info"),
        *ints("evse", "connector"),
        *bigs("at", "received_at"),
        sa.UniqueConstraint("station", "evse", "connector", "at", "status", "error_code", name="uq_status"),
    )
    op.create_index("ix_status_newest", "status", ["station", "evse", "connector", "id"])


def _transaction() -> None:
    op.create_table(
        "transaction",
        row_id(),
        *texts("station", "transaction", "stopped_reason"),
        *ints("evse", "connector", "first_seq_no", "last_seq_no", nullable=True),
        *texts("token", nullable=True),
        *bigs("started_at", "ended_at", "meter_start_wh", "meter_stop_wh", "remote_start_id", nullable=True),
        *ints("events"),
        *flags("provisional"),
        *bigs("received_at"),
        sa.UniqueConstraint("station", "transaction", name="uq_transaction"),
        sa.UniqueConstraint("station", "evse", "token", "started_at", "meter_start_wh", name="uq_transaction_start"),
    )
    op.create_index("ix_transaction_open", "transaction", ["station", "ended_at"])
    op.create_index("ix_transaction_token", "transaction", ["token"])


def _transaction_event() -> None:
    op.create_table(
        "transaction_event",
        row_id(),
        *texts(
            "station",
            "transaction",
            "phase",
            "trigger",
            "message_id",
            "charging_state",
            "stopped_reason",
            "operation_mode",
        ),
        *ints("seq_no"),
        *bigs("at", "received_at"),
        *ints("evse", "connector", nullable=True),
        *texts("token", nullable=True),
        *flags("offline"),
        sa.UniqueConstraint("station", "transaction", "seq_no", name="uq_transaction_event"),
    )


def _transaction_sequence() -> None:
    op.create_table("transaction_sequence", sa.Column("name", sa.String(), primary_key=True), *bigs("next_id"))


def _user() -> None:
    op.create_table(
        "user", sa.Column("id", sa.String(), primary_key=True), *texts("name", "language"), *bigs("created_at")
    )


def _event_share() -> None:
    op.create_table(
        "event_share",
        sa.Column("decision", sa.BigInteger(), sa.ForeignKey("decision.id"), primary_key=True),
        sa.Column("event", sa.String(), primary_key=True),
        *ints("requested_w", "capacity_w", "allotted_w"),
        *texts("reasons"),
    )
    op.create_index("ix_event_share_event", "event_share", ["event"])


def _evse() -> None:
    op.create_table(
        "evse",
        sa.Column("station", sa.String(), sa.ForeignKey("station.id"), primary_key=True),
        sa.Column("evse", sa.Integer(), primary_key=True),
        *texts("site", "current"),
        *ints("connectors", "phases", "voltage_v", "max_charge_w", "min_charge_w", "max_discharge_w"),
        *flags("public"),
    )


def _pattern() -> None:
    op.create_table(
        "pattern",
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        *texts("conditions"),
        *flags("prepared"),
    )


def _terminal() -> None:
    op.create_table(
        "terminal",
        sa.Column("token_hash", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), nullable=False),
        *bigs("created_at"),
    )
    op.create_index("ix_terminal_user", "terminal", ["user"])


def _vehicle() -> None:
    op.create_table(
        "vehicle",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id"), nullable=False),
        *texts("name"),
        *ints("capacity_wh", "max_charge_w", "max_discharge_w"),
        *floats("charge_efficiency", "discharge_efficiency"),
    )
    op.create_index("ix_vehicle_user", "vehicle", ["user"])


def _violation() -> None:
    op.create_table(
        "violation",
        row_id(),
        sa.Column("decision", sa.BigInteger(), sa.ForeignKey("decision.id"), nullable=False),
        *texts("rule", "text"),
        *texts("station", "site", nullable=True),
        *ints("evse", nullable=True),
    )
    op.create_index("ix_violation_decision", "violation", ["decision"])


def _id_token() -> None:
    op.create_table(
        "id_token",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id")),
        sa.Column("vehicle", sa.String(), sa.ForeignKey("vehicle.id")),
        *texts("token", "type", "status"),
        *bigs("expires_at", nullable=True),
        *texts("group", nullable=True),
    )


def _plug_in() -> None:
    op.create_table(
        "plug_in",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("user", sa.String(), sa.ForeignKey("user.id")),
        sa.Column("vehicle", sa.String(), sa.ForeignKey("vehicle.id")),
        *texts("station", "permission_state", "text_version"),
        *ints("evse", "connector"),
        *bigs("plugged_at"),
        *bigs("unplugged_at", "asked_at", "expires_at", "answered_at", "departure_at", "soc_at", nullable=True),
        *texts("transaction", "channel", "conditions", nullable=True),
        *floats("soc_at_start_percent", "soc_percent", nullable=True),
    )
    op.create_index("ix_plug_in_evse", "plug_in", ["station", "evse", "plugged_at"])
    op.create_index("ix_plug_in_open", "plug_in", ["unplugged_at"])
    op.create_index("ix_plug_in_user", "plug_in", ["user", "plugged_at"])


def _permission_history() -> None:
    op.create_table(
        "permission_history",
        row_id(),
        sa.Column("plug_in", sa.String(), sa.ForeignKey("plug_in.id"), nullable=False),
        *texts("state", "permission"),
    )
    op.create_index("ix_permission_history_plug_in", "permission_history", ["plug_in"])


_TABLES: tuple[Callable[[], None], ...] = (
    _api_token,
    _boot,
    _call_log,
    _decision,
    _dr_event,
    _idempotency,
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
    _ledger,
    _pattern,
    _terminal,
    _vehicle,
    _violation,
    _id_token,
    _plug_in,
    _permission_history,
)
