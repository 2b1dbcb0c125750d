"""What is written about plug-ins, DR events, prices, decisions and setpoints."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from csms.domain.decision import Decision, EventShare, Violation
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId
from csms.domain.permission import PlugIn
from csms.domain.tariff import PriceStep
from csms.store.sql import rows_into, upsert
from csms.store.tables import (
    DECISION,
    DR_EVENT,
    EVENT_SHARE,
    PERMISSION_HISTORY,
    PLUG_IN,
    PRICE_SERIES,
    SETPOINT,
    VIOLATION,
)
from csms.store.values import CONDITIONS, PERMISSION, PRICE_STEPS, micros, plain_json, reasons_text, text_of, to_json


def save_plug_in(conn: Connection, plug_in: PlugIn) -> None:
    """A plug-in as it is now; a changed permission is also appended to its history (V2G-28)."""
    upsert(conn, PLUG_IN, _plug_in_row(plug_in))
    h = PERMISSION_HISTORY.c
    newest = select(h.permission).where(h.plug_in == plug_in.id).order_by(h.id.desc()).limit(1)
    permission = to_json(PERMISSION, plug_in.permission)
    if conn.execute(newest).scalar() != permission:
        row = {"plug_in": plug_in.id, "state": plug_in.permission.state.value, "permission": permission}
        conn.execute(PERMISSION_HISTORY.insert(), row)


def _plug_in_row(plug_in: PlugIn) -> dict[str, Any]:
    permission = plug_in.permission
    return {
        "id": plug_in.id,
        "station": plug_in.evse.station,
        "evse": plug_in.evse.evse,
        "connector": plug_in.connector,
        "plugged_at": micros(plug_in.plugged_at),
        "unplugged_at": micros(plug_in.unplugged_at),
        "user": plug_in.user,
        "vehicle": plug_in.vehicle,
        "transaction": plug_in.transaction,
        "permission_state": permission.state.value,
        "asked_at": micros(permission.asked_at),
        "expires_at": micros(permission.expires_at),
        "answered_at": micros(permission.answered_at),
        "channel": permission.channel.value if permission.channel else None,
        "text_version": permission.text_version,
        "conditions": to_json(CONDITIONS, permission.conditions) if permission.conditions else None,
        "departure_at": micros(permission.departure_at),
        "soc_at_start_percent": plug_in.soc_at_start_percent,
        "soc_percent": plug_in.soc_percent,
        "soc_at": micros(plug_in.soc_at),
    }


def save_dr_event(conn: Connection, event: DrEvent) -> None:
    """A DR event, or its newest form."""
    row = {
        "id": event.id,
        "direction": event.direction.value,
        "requested_w": event.requested_w,
        "starts_at": micros(event.starts_at),
        "ends_at": micros(event.ends_at),
        "areas": plain_json(sorted(event.areas)),
        "incentive_per_kwh": text_of(event.incentive_per_kwh),
        "price_per_kwh": text_of(event.price_per_kwh),
        "created_at": micros(event.created_at),
        "cancelled_at": micros(event.cancelled_at),
    }
    upsert(conn, DR_EVENT, row)


def save_prices(
    conn: Connection, area: AreaId, steps: Sequence[PriceStep], until: datetime | None, at: datetime
) -> None:
    """Prices published for an area, over those published before."""
    row = {"area": area, "at": micros(at), "until": micros(until), "steps": to_json(PRICE_STEPS, tuple(steps))}
    conn.execute(PRICE_SERIES.insert(), row)


def save_decision(conn: Connection, decision: Decision, violations: Sequence[Violation]) -> None:
    """A decision with its shares per DR event, and the hard rules it would have broken."""
    row = {"at": micros(decision.at), "evses": len(decision.setpoints)}
    number = conn.execute(DECISION.insert().returning(DECISION.c.id), row).scalar_one()
    rows_into(conn, EVENT_SHARE, [_share_row(number, share) for share in decision.events])
    rows_into(conn, VIOLATION, [_violation_row(number, violation) for violation in violations])


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


def save_setpoint(conn: Connection, record: SetpointRecord) -> None:
    """A setpoint as far as it got."""
    row = {
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
    }
    upsert(conn, SETPOINT, row)
