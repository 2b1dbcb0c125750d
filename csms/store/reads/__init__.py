"""What can be read: functions of a connection that give domain values."""

from csms.store.reads.counts import DemoCounts, counts
from csms.store.reads.dispatch import decisions_of, probes, setpoints
from csms.store.reads.intake import open_transactions, readings, transaction, transactions
from csms.store.reads.permission import (
    id_token,
    id_tokens,
    last_vehicle,
    open_plug_ins,
    patterns,
    permission_histories,
    plug_in,
    plug_ins,
    terminal_user,
    terminals,
    user,
    users,
    vehicle_users,
    vehicles,
    vehicles_by_id,
)
from csms.store.reads.settlement import (
    balance,
    entries_within,
    first_plug_in,
    ledger,
    newest_reading,
    readings_after,
    settled_until,
)
from csms.store.reads.state import dr_event, dr_events, live_state, prices
from csms.store.reads.stations import password_hash, station, stations
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
    "first_plug_in",
    "id_token",
    "id_tokens",
    "idempotency",
    "last_vehicle",
    "ledger",
    "live_state",
    "newest_reading",
    "open_plug_ins",
    "open_transactions",
    "password_hash",
    "patterns",
    "permission_histories",
    "plug_in",
    "plug_ins",
    "prices",
    "probes",
    "readings",
    "readings_after",
    "secret",
    "setpoints",
    "settled_until",
    "station",
    "stations",
    "terminal_user",
    "terminals",
    "transaction",
    "transactions",
    "user",
    "users",
    "vehicle_users",
    "vehicles",
    "vehicles_by_id",
]
