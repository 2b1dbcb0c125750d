"""What can be written: functions of a connection, to be run by the writer. They may run again before their commit."""

from csms.store.parked import reconcile_stops
from csms.store.past import PRESUMED, give_to_card, keep_past_plug_in, keep_past_plug_ins, presume_ended
from csms.store.sequence import reserve_transaction_ids
from csms.store.transactions import adopt as adopt_transaction
from csms.store.transactions import issue as issue_transaction_id
from csms.store.writes.benefits import learn_benefit_plugs, save_benefit_grants
from csms.store.writes.dispatch import save_decision, save_probe, save_setpoint, save_setpoints
from csms.store.writes.permission import (
    add_link_code,
    add_terminal,
    add_user,
    add_vehicle,
    change_vehicle,
    delete_pattern,
    delete_vehicle,
    note_plug_in,
    revoke_terminal,
    save_answer,
    save_evidence,
    save_pattern,
    save_plug_in,
    share_vehicle,
    take_link_code,
    unshare_vehicle,
    upsert_id_token,
)
from csms.store.writes.settlement import post_entries, save_settled, settle_again
from csms.store.writes.state import save_dr_event, save_prices, save_tariff
from csms.store.writes.stations import (
    add_evses,
    change_evse,
    change_station,
    save_boot,
    save_call,
    save_failsafe_limit,
    save_learnt,
    save_set_up,
    touch_stations,
    upsert_station,
)
from csms.store.writes.system import add_api_token, put_secret, save_idempotency, secret_once

__all__ = [
    "PRESUMED",
    "add_api_token",
    "add_evses",
    "add_link_code",
    "add_terminal",
    "add_user",
    "add_vehicle",
    "adopt_transaction",
    "change_evse",
    "change_station",
    "change_vehicle",
    "delete_pattern",
    "delete_vehicle",
    "give_to_card",
    "issue_transaction_id",
    "keep_past_plug_in",
    "keep_past_plug_ins",
    "learn_benefit_plugs",
    "note_plug_in",
    "post_entries",
    "presume_ended",
    "put_secret",
    "reconcile_stops",
    "reserve_transaction_ids",
    "revoke_terminal",
    "save_answer",
    "save_benefit_grants",
    "save_boot",
    "save_call",
    "save_decision",
    "save_dr_event",
    "save_evidence",
    "save_failsafe_limit",
    "save_idempotency",
    "save_learnt",
    "save_pattern",
    "save_plug_in",
    "save_prices",
    "save_probe",
    "save_set_up",
    "save_setpoint",
    "save_setpoints",
    "save_settled",
    "save_tariff",
    "secret_once",
    "settle_again",
    "share_vehicle",
    "take_link_code",
    "touch_stations",
    "unshare_vehicle",
    "upsert_id_token",
    "upsert_station",
]
