"""Every table, defined with SQLModel and used through SQLAlchemy Core. Kinds of column: see ``columns``."""

from sqlmodel import SQLModel

from csms.store.tables import dispatch, intake, permission, settlement, state, stations, system
from csms.store.tables.columns import table_of

METADATA = SQLModel.metadata

STATION = table_of(stations.StationRow)
EVSE = table_of(stations.EvseRow)
BOOT = table_of(stations.BootRow)
STATUS = table_of(intake.StatusRow)
NOTICE = table_of(intake.NoticeRow)
PROBE = table_of(dispatch.ProbeRow)
TRANSACTION = table_of(intake.TransactionRow)
TRANSACTION_EVENT = table_of(intake.TransactionEventRow)
TRANSACTION_SEQUENCE = table_of(intake.TransactionSequenceRow)
PARKED_STOP = table_of(intake.ParkedStopRow)
ISSUED_ID = table_of(intake.IssuedIdRow)
METER_VALUE = table_of(intake.MeterValueRow)
USER = table_of(permission.UserRow)
TERMINAL = table_of(permission.TerminalRow)
VEHICLE = table_of(permission.VehicleRow)
VEHICLE_USER = table_of(permission.VehicleUserRow)
LINK_CODE = table_of(permission.LinkCodeRow)
PATTERN = table_of(permission.PatternRow)
ID_TOKEN = table_of(permission.IdTokenRow)
API_TOKEN = table_of(system.ApiTokenRow)
PLUG_IN = table_of(permission.PlugInRow)
PERMISSION_HISTORY = table_of(permission.PermissionHistoryRow)
DECISION = table_of(dispatch.DecisionRow)
COUNTERFACTUAL = table_of(dispatch.CounterfactualRow)
EVENT_SHARE = table_of(dispatch.EventShareRow)
VIOLATION = table_of(dispatch.ViolationRow)
SETPOINT = table_of(dispatch.SetpointRow)
DR_EVENT = table_of(state.DrEventRow)
PRICE_SERIES = table_of(state.PriceSeriesRow)
LEDGER_ENTRY = table_of(settlement.LedgerEntryRow)
LEDGER_POSTING = table_of(settlement.LedgerPostingRow)
SETTLEMENT_MARK = table_of(settlement.SettlementMarkRow)
SETTLEMENT_DUE = table_of(settlement.SettlementDueRow)
SECRET = table_of(system.SecretRow)
CALL_LOG = table_of(stations.CallLogRow)
QUARANTINE = table_of(intake.QuarantineRow)
IDEMPOTENCY = table_of(system.IdempotencyRow)
