"""Every table, defined with SQLModel and used through SQLAlchemy Core. Kinds of column: see ``columns``."""

from sqlmodel import SQLModel

from csms.store.tables import dispatch, market, people, stations, system, transactions
from csms.store.tables.columns import table_of

METADATA = SQLModel.metadata

STATION = table_of(stations.StationRow)
EVSE = table_of(stations.EvseRow)
BOOT = table_of(stations.BootRow)
STATUS = table_of(stations.StatusRow)
NOTICE = table_of(stations.NoticeRow)
PROBE = table_of(stations.ProbeRow)
TRANSACTION = table_of(transactions.TransactionRow)
TRANSACTION_EVENT = table_of(transactions.TransactionEventRow)
TRANSACTION_SEQUENCE = table_of(transactions.TransactionSequenceRow)
PARKED_STOP = table_of(transactions.ParkedStopRow)
METER_VALUE = table_of(transactions.MeterValueRow)
USER = table_of(people.UserRow)
TERMINAL = table_of(people.TerminalRow)
VEHICLE = table_of(people.VehicleRow)
PATTERN = table_of(people.PatternRow)
ID_TOKEN = table_of(people.IdTokenRow)
API_TOKEN = table_of(people.ApiTokenRow)
PLUG_IN = table_of(dispatch.PlugInRow)
PERMISSION_HISTORY = table_of(dispatch.PermissionHistoryRow)
DECISION = table_of(dispatch.DecisionRow)
EVENT_SHARE = table_of(dispatch.EventShareRow)
VIOLATION = table_of(dispatch.ViolationRow)
SETPOINT = table_of(dispatch.SetpointRow)
DR_EVENT = table_of(market.DrEventRow)
PRICE_SERIES = table_of(market.PriceSeriesRow)
LEDGER_ENTRY = table_of(market.LedgerEntryRow)
LEDGER_POSTING = table_of(market.LedgerPostingRow)
SECRET = table_of(system.SecretRow)
CALL_LOG = table_of(system.CallLogRow)
QUARANTINE = table_of(system.QuarantineRow)
IDEMPOTENCY = table_of(system.IdempotencyRow)
