"""What is written about decisions, setpoints and probes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from csms.domain.decision import Decision, EventShare, Violation
from csms.domain.dispatch import SetpointRecord
from csms.domain.ids import EvseRef
from csms.domain.snapshot import Virtual
from csms.domain.station import ProbeState
from csms.store.sql import rows_into, rows_onto, upsert
from csms.store.tables import (
    COUNTERFACTUAL,
    DECISION,
    EVENT_SHARE,
    PROBE,
    SETPOINT,
    VIOLATION,
)
from csms.store.values import micros, parts_text, reasons_text, text_of


def save_decision(conn: Connection, decision: Decision, violations: Sequence[Violation]) -> None:
    """A decision with its shares per DR event, the counterfactual it leaves, and the hard rules it would break."""
    row = {"at": micros(decision.at), "evses": len(decision.setpoints), "policies": decision.policies}
    number = conn.execute(DECISION.insert().returning(DECISION.c.id), row).scalar_one()
    rows_into(conn, EVENT_SHARE, [_share_row(number, share) for share in decision.events])
    rows_into(conn, VIOLATION, [_violation_row(number, violation) for violation in violations])
    conn.execute(COUNTERFACTUAL.delete())
    rows_into(conn, COUNTERFACTUAL, [_virtual_row(virtual) for virtual in decision.virtual])


def _share_row(decision: int, share: EventShare) -> dict[str, Any]:
    return {
        "decision": decision,
        "event": share.event,
        "requested_w": share.requested_w,
        "capacity_w": share.capacity_w,
        "allotted_w": share.allotted_w,
        "reasons": reasons_text(share.reasons),
    }


def _violation_row(decision: int, violation: Violation) -> dict[str, Any]:
    return {
        "decision": decision,
        "rule": violation.rule,
        "text": violation.text,
        "station": violation.evse.station if violation.evse else None,
        "evse": violation.evse.evse if violation.evse else None,
        "site": violation.site,
    }


def _virtual_row(virtual: Virtual) -> dict[str, Any]:
    return {
        "station": virtual.evse.station,
        "evse": virtual.evse.evse,
        "plug_in": virtual.plug_in,
        "frozen_at": micros(virtual.frozen_at),
        "at": micros(virtual.at),
        "energy_wh": virtual.energy_wh,
        "added_wh": virtual.added_wh,
        "power_w": virtual.power_w,
    }


def save_setpoint(conn: Connection, record: SetpointRecord) -> None:
    """A setpoint as far as it got."""
    save_setpoints(conn, [record])


def save_setpoints(conn: Connection, records: Sequence[SetpointRecord]) -> None:
    """Setpoints as far as they got, in a few statements. Of one that comes twice the last counts."""
    rows = [_setpoint_row(record) for record in {record.id: record for record in records}.values()]
    changed = tuple(name for name in rows[0] if name not in _NAMES_SETPOINT) if rows else ()
    rows_onto(conn, SETPOINT, rows, ("id",), changed)


_NAMES_SETPOINT: Final = frozenset({"id", "station", "evse", "event", "decided_at"})
"""Never another in one that is stored already; all of its indexes are over these, so that none is written again."""


def _setpoint_row(record: SetpointRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "station": record.evse.station,
        "evse": record.evse.evse,
        "plug_in": record.plug_in,
        "transaction": record.transaction,
        "event": record.event,
        "decided_at": micros(record.decided_at),
        "desired_w": record.desired_w,
        "counterfactual_w": record.counterfactual_w,
        "expires_at": micros(record.expires_at),
        "driver": record.driver.value,
        "reasons": reasons_text(record.reasons),
        "state": record.state.value,
        "acknowledged_at": micros(record.acknowledged_at),
        "refusal": record.refusal,
        "observed_w": record.observed_w,
        "observed_at": micros(record.observed_at),
        "price_per_kwh": text_of(record.price_per_kwh),
        "parts": parts_text(record.parts),
    }


def save_probe(conn: Connection, evse: EvseRef, firmware: str, state: ProbeState, at: datetime) -> None:
    """Outcome of the discharge probe of one EVSE, for one firmware (V2G-8)."""
    row = {"station": evse.station, "evse": evse.evse, "firmware": firmware, "state": state.value, "at": micros(at)}
    upsert(conn, PROBE, row)
