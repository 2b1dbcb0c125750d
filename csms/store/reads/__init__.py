"""What can be read: functions of a connection that give domain values."""

from csms.store.reads.counts import DemoCounts, counts
from csms.store.reads.dispatch import (
    decisions_of,
    dr_event,
    dr_events,
    open_plug_ins,
    permission_histories,
    plug_in,
    plug_ins,
    prices,
    setpoints,
)
from csms.store.reads.ledger import balance, entries_within, ledger
from csms.store.reads.live import live_state
from csms.store.reads.people import (
    EarlierAnswer,
    api_token,
    id_token,
    id_tokens,
    idempotency,
    patterns,
    secret,
    terminal_user,
    user,
    users,
    vehicles,
)
from csms.store.reads.stations import password_hash, probes, station, stations
from csms.store.reads.transactions import open_transactions, readings, transaction, transactions

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
    "id_token",
    "id_tokens",
    "idempotency",
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
]
