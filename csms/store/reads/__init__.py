"""What can be read: functions of a connection that give domain values."""

from csms.store.reads.counts import DemoCounts, counts
from csms.store.reads.dispatch import decisions_of, probes, setpoints
from csms.store.reads.intake import issued_id, open_transactions, quarantined, readings, transaction, transactions
from csms.store.reads.permission import (
    id_token,
    id_tokens,
    open_plug_ins,
    patterns,
    permission_histories,
    plug_in,
    plug_ins,
    terminal_user,
    user,
    users,
    vehicles,
    vehicles_by_id,
)
from csms.store.reads.settlement import balance, entries_within, ledger
from csms.store.reads.state import dr_event, dr_events, live_state, prices
from csms.store.reads.stations import failsafe_limits, password_hash, station, stations
from csms.store.reads.system import EarlierAnswer, api_token, idempotency, secret

__all__ = [
    "DemoCounts",
    "EarlierAnswer",
    "api_token",
    "balance",
    "counts",
    "decisions_of",
    "dr_event",
    "dr_events",
    "entries_within",
    "failsafe_limits",
    "id_token",
    "id_tokens",
    "idempotency",
    "issued_id",
    "ledger",
    "live_state",
    "open_plug_ins",
    "open_transactions",
    "password_hash",
    "patterns",
    "permission_histories",
    "plug_in",
    "plug_ins",
    "prices",
    "probes",
    "quarantined",
    "readings",
    "secret",
    "setpoints",
    "station",
    "stations",
    "terminal_user",
    "transaction",
    "transactions",
    "user",
    "users",
    "vehicles",
    "vehicles_by_id",
]
