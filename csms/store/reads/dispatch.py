"""Decisions, setpoints and probes."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from csms.domain.decision import EventShare
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import DrEventId, EvseRef
from csms.domain.live import StoredProbe
from csms.domain.station import ProbeState, SetpointDriver
from csms.store.tables import (
    DECISION,
    EVENT_SHARE,
    PROBE,
    SETPOINT,
)
from csms.store.values import instant, micros, reasons_of

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
    )


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
