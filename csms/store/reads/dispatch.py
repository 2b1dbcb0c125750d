"""Decisions, setpoints and probes."""

from collections.abc import Sequence
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
from csms.store.values import decimal_of, instant, micros, names_event, parts_of, reasons_of

_S = SETPOINT.c
_IDS_PER_QUERY = 500
"""Databases bound the number of parameters."""


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
    """Setpoints in force at some time in [start, end): decided before ``end``, expiring after ``start``. ``event``:
    those that it moved, alone or with others."""
    query = select(SETPOINT).order_by(_S.decided_at, _S.id)
    if event is not None:
        shared = select(_S.id).where(_S.parts.is_not(None), _S.parts.contains(names_event(event), autoescape=True))
        of_it = select(_S.id).where(_S.event == event)
        query = query.where(_S.id.in_(of_it.union_all(shared)))
    if evse is not None:
        query = query.where(_S.station == evse.station, _S.evse == evse.evse)
    if start is not None:
        query = query.where(_S.expires_at > micros(start))
    if end is not None:
        query = query.where(_S.decided_at < micros(end))
    found = (setpoint_of(row) for row in conn.execute(query))
    return [record for record in found if event is None or event in record.events]


def last_acknowledged(
    conn: Connection, plug_ins: Sequence[PlugInId], before: datetime
) -> dict[PlugInId, SetpointRecord]:
    """Per plug-in the newest of its setpoints that were acknowledged before an instant."""
    p = PLUG_IN.c
    mine = select(_S.id).where(_S.station == p.station, _S.evse == p.evse, _S.plug_in == p.id)
    told = mine.where(_S.acknowledged_at < micros(before)).order_by(_S.decided_at.desc(), _S.id.desc()).limit(1)
    newest = select(SETPOINT).join_from(PLUG_IN, SETPOINT, _S.id == told.correlate(PLUG_IN).scalar_subquery())
    found: dict[PlugInId, SetpointRecord] = {}
    for first in range(0, len(plug_ins), _IDS_PER_QUERY):
        for row in conn.execute(newest.where(p.id.in_(plug_ins[first : first + _IDS_PER_QUERY]))):
            found[PlugInId(row.plug_in)] = setpoint_of(row)
    return found


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
        parts=parts_of(row.parts),
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
