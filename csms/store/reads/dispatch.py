"""Reads about plug-ins, DR events, prices, decisions and setpoints."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select

from csms.domain.decision import EventShare
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, UserId
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.station import SetpointDriver
from csms.domain.tariff import PriceStep
from csms.store.tables import DECISION, DR_EVENT, EVENT_SHARE, PERMISSION_HISTORY, PLUG_IN, PRICE_SERIES, SETPOINT
from csms.store.values import CONDITIONS, PERMISSION, PRICE_STEPS, decimal_of, instant, micros, reasons_of

_IDS_PER_QUERY = 500
"""Databases bound the number of parameters."""
_P = PLUG_IN.c
_S = SETPOINT.c
_D = DR_EVENT.c


def plug_in(conn: Connection, id: PlugInId) -> PlugIn | None:  # noqa: A002
    """One plug-in, or None."""
    row = conn.execute(select(PLUG_IN).where(_P.id == id)).one_or_none()
    return None if row is None else plug_in_of(row)


def plug_ins(
    conn: Connection,
    *,
    user: UserId | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> list[PlugIn]:
    """Plug-ins that lasted at some time in [since, until), newest first; ``limit`` None = all."""
    query = select(PLUG_IN).order_by(_P.plugged_at.desc(), _P.id).limit(limit)
    if user is not None:
        query = query.where(_P.user == user)
    if since is not None:
        query = query.where(_P.unplugged_at.is_(None) | (_P.unplugged_at > micros(since)))
    if until is not None:
        query = query.where(_P.plugged_at < micros(until))
    return [plug_in_of(row) for row in conn.execute(query)]


def open_plug_ins(conn: Connection) -> list[PlugIn]:
    """Those whose cable is in, in the order of plugging in."""
    rows = conn.execute(select(PLUG_IN).where(_P.unplugged_at.is_(None)).order_by(_P.plugged_at, _P.id))
    return [plug_in_of(row) for row in rows]


def plug_in_of(row: Row[Any]) -> PlugIn:
    """The plug-in in a row."""
    return PlugIn(
        id=row.id,
        evse=EvseRef(row.station, row.evse),
        connector=row.connector,
        plugged_at=instant(row.plugged_at),
        unplugged_at=instant(row.unplugged_at),
        user=row.user,
        vehicle=row.vehicle,
        transaction=row.transaction,
        permission=_permission_of(row),
        soc_at_start_percent=row.soc_at_start_percent,
        soc_percent=row.soc_percent,
        soc_at=instant(row.soc_at),
    )


def _permission_of(row: Row[Any]) -> Permission:
    return Permission(
        state=PermissionState(row.permission_state),
        asked_at=instant(row.asked_at),
        expires_at=instant(row.expires_at),
        answered_at=instant(row.answered_at),
        channel=Channel(row.channel) if row.channel else None,
        text_version=row.text_version,
        conditions=CONDITIONS.validate_json(row.conditions) if row.conditions else None,
        departure_at=instant(row.departure_at),
    )


def permission_histories(conn: Connection, plug_ins: Sequence[PlugInId]) -> dict[PlugInId, list[Permission]]:
    """Every state the permission of these plug-ins was in, in the order of storing; see ``writes.save_plug_in``."""
    found: dict[PlugInId, list[Permission]] = {id_: [] for id_ in plug_ins}
    h = PERMISSION_HISTORY.c
    for first in range(0, len(plug_ins), _IDS_PER_QUERY):
        wanted = h.plug_in.in_(plug_ins[first : first + _IDS_PER_QUERY])
        for row in conn.execute(select(h.plug_in, h.permission).where(wanted).order_by(h.id)):
            found[row.plug_in].append(PERMISSION.validate_json(row.permission))
    return found


def dr_event(conn: Connection, id: DrEventId) -> DrEvent | None:  # noqa: A002
    """One DR event, or None."""
    row = conn.execute(select(DR_EVENT).where(_D.id == id)).one_or_none()
    return None if row is None else _dr_event_of(row)


def dr_events(
    conn: Connection, *, since: datetime | None = None, until: datetime | None = None, limit: int | None = None
) -> list[DrEvent]:
    """DR events that hold at some time in [since, until), by start. A cancelled one holds until its cancellation."""
    query = select(DR_EVENT).order_by(_D.starts_at, _D.id).limit(limit)
    if since is not None:
        stops_at = func.coalesce(_D.cancelled_at, _D.ends_at)
        query = query.where(_D.ends_at > micros(since), stops_at > micros(since))
    if until is not None:
        query = query.where(_D.starts_at < micros(until))
    return [_dr_event_of(row) for row in conn.execute(query)]


def _dr_event_of(row: Row[Any]) -> DrEvent:
    return DrEvent(
        id=row.id,
        direction=Direction(row.direction),
        requested_w=row.requested_w,
        starts_at=instant(row.starts_at),
        ends_at=instant(row.ends_at),
        areas=frozenset(orjson.loads(row.areas)),
        incentive_per_kwh=decimal_of(row.incentive_per_kwh),
        price_per_kwh=decimal_of(row.price_per_kwh),
        created_at=instant(row.created_at),
        cancelled_at=instant(row.cancelled_at),
    )


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


def prices(conn: Connection, area: AreaId) -> list[tuple[tuple[PriceStep, ...], datetime | None]]:
    """Series published for an area with their ``until``, in the order of publication (see ``tariff.overlay``)."""
    c = PRICE_SERIES.c
    rows = conn.execute(select(c.steps, c.until).where(c.area == area).order_by(c.id))
    return [(PRICE_STEPS.validate_json(row.steps), instant(row.until)) for row in rows]
