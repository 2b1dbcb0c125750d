"""Decisions, setpoints and probes."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from csms.domain.decision import EventShare
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import DrEventId, EvseRef, PlugInId
from csms.domain.live import StoredProbe
from csms.domain.snapshot import Virtual
from csms.domain.station import ProbeState, SetpointDriver
from csms.store.tables import (
    COUNTERFACTUAL,
    DECISION,
    EVENT_SHARE,
    PLUG_IN,
    PROBE,
    SETPOINT,
)
from csms.store.values import decimal_of, instant, micros, reasons_of

_S = SETPOINT.c


def decisions_of(conn: Connection, event: DrEventId) -> list[tuple[datetime, EventShare]]:
    """What every decision gave a DR event, by time."""
    s = EVENT_SHARE.c
    joined = select(DECISION.c.at, EVENT_SHARE).join_from(EVENT_SHARE, DECISION, s.decision == DECISION.c.id)
    rows = conn.execute(joined.where(s.event == event).order_by(DECISION.c.id))
    return [(instant(row.at), _share_of(row)) for row in rows]


def _share_of(row: Row[Any]) -> EventShare:
    return EventShare(
        event=row.event,
        requested_w=row.requested_w,
        capacity_w=row.capacity_w,
        allotted_w=row.allotted_w,
        reasons=reasons_of(row.reasons),
    )


def setpoints(
    conn: Connection,
    *,
    event: DrEventId | None = None,
    evse: EvseRef | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[SetpointRecord]:
    """Setpoints in force at some time in [start, end): decided before ``end``, expiring after ``start``."""
    query = select(SETPOINT).order_by(_S.decided_at, _S.id)
    if event is not None:
        query = query.where(_S.event == event)
    if evse is not None:
        query = query.where(_S.station == evse.station, _S.evse == evse.evse)
    if start is not None:
        query = query.where(_S.expires_at > micros(start))
    if end is not None:
        query = query.where(_S.decided_at < micros(end))
    return [setpoint_of(row) for row in conn.execute(query)]


def setpoint_of(row: Row[Any]) -> SetpointRecord:
    """The setpoint in a row."""
    return SetpointRecord(
        id=row.id,
        evse=EvseRef(row.station, row.evse),
        plug_in=row.plug_in,
        transaction=row.transaction,
        event=row.event,
        decided_at=instant(row.decided_at),
        desired_w=row.desired_w,
        counterfactual_w=row.counterfactual_w,
        expires_at=instant(row.expires_at),
        driver=SetpointDriver(row.driver),
        reasons=reasons_of(row.reasons),
        state=SetpointState(row.state),
        acknowledged_at=instant(row.acknowledged_at),
        refusal=row.refusal,
        observed_w=row.observed_w,
        observed_at=instant(row.observed_at),
        price_per_kwh=decimal_of(row.price_per_kwh),
    )


def last_drawn(conn: Connection) -> dict[PlugInId, SetpointRecord]:
    """Per open plug-in the newest setpoint outside any DR event that let the vehicle charge and was metered."""
    is_open = PLUG_IN.c.unplugged_at.is_(None)
    metered = _S.event.is_(None) & (_S.desired_w > 0) & _S.observed_w.is_not(None)
    joined = select(SETPOINT).join_from(SETPOINT, PLUG_IN, _S.plug_in == PLUG_IN.c.id)
    rows = conn.execute(joined.where(is_open, metered).order_by(_S.decided_at, _S.id))
    return {PlugInId(row.plug_in): setpoint_of(row) for row in rows}


def counterfactual(conn: Connection) -> dict[EvseRef, Virtual]:
    """The world without the events that run, as the newest stored decision left it."""
    found = [_virtual_of(row) for row in conn.execute(select(COUNTERFACTUAL))]
    return {virtual.evse: virtual for virtual in found}


def _virtual_of(row: Row[Any]) -> Virtual:
    return Virtual(
        evse=EvseRef(row.station, row.evse),
        plug_in=row.plug_in,
        frozen_at=instant(row.frozen_at),
        at=instant(row.at),
        energy_wh=row.energy_wh,
        added_wh=row.added_wh,
        power_w=row.power_w,
    )


def policies_of(conn: Connection, at: datetime) -> str | None:
    """Names and versions of what decided at an instant; None where no decision of then is stored."""
    newest = select(DECISION.c.policies).where(DECISION.c.at <= micros(at)).order_by(DECISION.c.id.desc()).limit(1)
    return conn.execute(newest).scalar()


def probes(conn: Connection) -> tuple[StoredProbe, ...]:
    """The newest probe of every EVSE, over all firmwares."""
    rows = conn.execute(select(PROBE).order_by(PROBE.c.at))
    newest = {(row.station, row.evse): row for row in rows}
    return tuple(
        StoredProbe(
            evse=EvseRef(row.station, row.evse), firmware=row.firmware, state=ProbeState(row.state), at=instant(row.at)
        )
        for row in newest.values()
    )
