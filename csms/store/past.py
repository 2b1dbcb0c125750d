"""What follows from transactions that are over: ends that nobody told of, registers, plug-ins that nobody saw."""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from csms.domain.ids import PlugInId, StationId, TransactionId
from csms.domain.permission import PermissionState
from csms.store.readings import UNKNOWN_EVSE
from csms.store.sql import insert_new
from csms.store.tables import ID_TOKEN, METER_VALUE, PLUG_IN, TRANSACTION, VEHICLE, VEHICLE_USER
from csms.store.values import instant, micros

_T = TRANSACTION.c
_P = PLUG_IN.c
_M = METER_VALUE.c

PRESUMED = "presumed:"
"""Begins the reason of an end that nobody told."""

CLOCKS_DIFFER_US = 60_000_000
"""A plug-in that was seen to end this little after a transaction began may still be another's."""

MOST = 50
"""So many plug-ins of an EVSE are looked at, back from a transaction's end: they follow one another."""


def presume_others_ended(
    conn: Connection, station: StationId, evse: int, transaction: str, generation: int, at: int
) -> None:
    """Another transaction began at this EVSE: those that still seem to run there since before are over (lesson 13)."""
    is_itself = (_T.transaction == transaction) & (_T.generation == generation)
    here = (_T.station == station) & (_T.evse == evse) & _T.ended_at.is_(None) & ~is_itself
    if evse != UNKNOWN_EVSE:
        over = update(TRANSACTION).where(here, func.coalesce(_T.started_at, 0) < at)
        conn.execute(over.values(ended_at=at, provisional=True, stopped_reason=f"{PRESUMED} another began here"))


def keep_past_plug_in(conn: Connection, station: StationId, transaction: str) -> tuple[datetime, datetime] | None:
    """From when to when a transaction ran, once it is over.

    A transaction that began and ended while nobody heard of it was a plug-in: its card's user's, at the times the
    station says (F3). One that lies within a plug-in that was seen adds none."""
    here = (_T.station == station) & (_T.transaction == transaction)
    row = conn.execute(select(TRANSACTION).where(here).order_by(_T.generation.desc()).limit(1)).one()
    if row.started_at is None or row.ended_at is None:
        return None
    if row.evse is not None and row.token is not None and not row.provisional and not _is_seen(conn, row):
        _keep_plug_in(conn, row)
    return instant(row.started_at), instant(row.ended_at)


def _keep_plug_in(conn: Connection, row: Row[Any]) -> None:
    owner = _owner(conn, row.token)
    plug_in = {
        "id": PlugInId(f"{instant(row.started_at):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"),
        "station": row.station,
        "evse": row.evse,
        "connector": row.connector or 1,
        "plugged_at": row.started_at,
        "unplugged_at": row.ended_at,
        "transaction": row.transaction,
        "permission_state": PermissionState.EXPIRED.value,
        "text_version": "1",
        **owner,
    }
    insert_new(conn, PLUG_IN, plug_in)


def keep_past_plug_ins(conn: Connection, since: datetime) -> None:
    """The same for all that ended since then: a crash may have come between a stop and what follows from it."""
    over = select(_T.station, _T.transaction).where(_T.ended_at >= micros(since)).distinct()
    for row in conn.execute(over).all():
        keep_past_plug_in(conn, row.station, row.transaction)


def _is_seen(conn: Connection, row: Row[Any]) -> bool:
    """Whether a plug-in at this EVSE holds the transaction, or a part of its time. One that was seen when the next
    vehicle came, or ended when this one came, holds none of it."""
    here = (_P.station == row.station) & (_P.evse == row.evse) & (_P.plugged_at <= row.ended_at)
    newest = select(_P.plugged_at, _P.unplugged_at, _P.transaction).where(here).order_by(_P.plugged_at.desc())
    return any(_holds(seen, row) for seen in conn.execute(newest.limit(MOST)))


def _holds(seen: Any, row: Row[Any]) -> bool:
    ends = row.ended_at + 1 if seen.unplugged_at is None else seen.unplugged_at
    overlaps = seen.plugged_at < row.ended_at and ends > row.started_at + CLOCKS_DIFFER_US
    return bool(overlaps or (seen.transaction == row.transaction and ends >= row.started_at))


def _owner(conn: Connection, token: str) -> dict[str, Any]:
    """User and vehicle that an id token belongs to; nothing when it is nobody's."""
    known = conn.execute(select(ID_TOKEN.c.user, ID_TOKEN.c.vehicle).where(ID_TOKEN.c.key == token)).one_or_none()
    if known is None or known.user is None:
        return {}
    return {"user": known.user, "vehicle": known.vehicle or _usual_vehicle(conn, known.user)}


def _usual_vehicle(conn: Connection, user: str) -> str | None:
    """The one of the user's last plug-in, else the last, of those that are theirs now."""
    shared = select(VEHICLE_USER.c.vehicle).where(VEHICLE_USER.c.user == user)
    theirs = ((VEHICLE.c.user == user) | VEHICLE.c.id.in_(shared)) & ~VEHICLE.c.deleted
    last = select(VEHICLE.c.id).where(theirs).order_by(VEHICLE.c.id.desc()).limit(1)
    used = select(_P.vehicle).join(VEHICLE, VEHICLE.c.id == _P.vehicle).where(_P.user == user, theirs)
    found: str | None = conn.execute(used.order_by(_P.plugged_at.desc()).limit(1)).scalar()
    return found or conn.execute(last).scalar()


def give_to_card(conn: Connection, plug_in: PlugInId) -> None:
    """A plug-in that ended without a user becomes that of the card its transaction began with (F3)."""
    row = conn.execute(select(PLUG_IN).where(_P.id == plug_in, _P.user.is_(None))).one_or_none()
    if row is None:
        return
    here = (_T.station == row.station) & (_T.transaction == row.transaction)
    token = conn.execute(select(_T.token).where(here).order_by(_T.generation.desc()).limit(1)).scalar()
    if token and (owner := _owner(conn, token)):
        conn.execute(update(PLUG_IN).where(_P.id == plug_in).values(**owner))


def presume_ended(conn: Connection, station: StationId, transaction: TransactionId, at: datetime, why: str) -> bool:
    """End a transaction whose end nobody reported, on evidence such as a new start at its EVSE (field lesson 13).

    Provisional: the real stop or Ended replaces it when it comes. False when it has ended already or is unknown.
    """
    running = update(TRANSACTION).where(_T.station == station, _T.transaction == transaction, _T.ended_at.is_(None))
    return conn.execute(running.values(ended_at=micros(at), provisional=True, stopped_reason=why)).rowcount == 1
