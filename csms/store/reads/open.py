"""What a restart has to know of the plug-ins and transactions that are open, besides their own rows. Must hold 3."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, exists, func, select

from csms.domain.dispatch import TransactionRecord
from csms.domain.facts import NeedsReported, NoticeKind
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.live import LIVE_WITHIN, StoredFree, StoredStatus, StoredWord
from csms.domain.permission import PlugIn
from csms.domain.station import ConnectorStatus
from csms.store.tables import BOOT, METER_VALUE, NOTICE, PLUG_IN, STATUS, TRANSACTION, TRANSACTION_EVENT
from csms.store.values import NEEDS, instant, micros

_E = TRANSACTION_EVENT.c
_M = METER_VALUE.c
_N = NOTICE.c
_P = PLUG_IN.c
_S = STATUS.c
_T = TRANSACTION.c

FLOWING_W = 100.0
"""Metered power above this is proof of a cable, whatever the status says (field lesson 14)."""

REPEATS = 50
"""So many times a connector is said to be free at most before somebody has looked."""


def words(conn: Connection, running: Iterable[TransactionRecord]) -> dict[tuple[StationId, TransactionId], StoredWord]:
    """What the events told of each 2.x transaction that is open, or is over and its vehicle still there: a card may be
    shown in any of them."""
    of_it = (_E.station == _T.station) & (_E.transaction == _T.transaction) & (_E.generation == _T.generation)
    is_told = _E.token.is_not(None) | (_E.charging_state == "Charging")
    query = select(_E.station, _E.transaction, _E.token, _E.charging_state, _E.offline).join(TRANSACTION, of_it)
    still_there = (_P.station == _T.station) & (_P.transaction == _T.transaction) & _P.unplugged_at.is_(None)
    found: dict[tuple[StationId, TransactionId], StoredWord] = {
        (StationId(one.station), one.id): StoredWord() for one in running
    }
    of_open = query.where(_T.ended_at.is_(None), is_told)
    of_over = query.join(PLUG_IN, still_there).where(_T.ended_at.is_not(None), is_told)
    for row in (row for each in (of_open, of_over) for row in conn.execute(each.order_by(_E.id))):
        key = StationId(row.station), TransactionId(row.transaction)
        word = found.get(key, StoredWord())
        tokens = word.tokens if row.token is None else word.tokens | {row.token}
        charges = row.charging_state == "Charging" and not row.offline and not tokens
        found[key] = StoredWord(tokens, word.charges_unasked or charges)
    return found


def freed(conn: Connection, plug_ins: Iterable[PlugIn], statuses: Iterable[StoredStatus]) -> dict[EvseRef, StoredFree]:
    """Plug-ins whose connector is said to be free."""
    newest = {(one.evse, one.connector): one for one in statuses}
    found: dict[EvseRef, StoredFree] = {}
    for plug_in in plug_ins:
        status = newest.get((plug_in.evse, plug_in.connector))
        if status is not None and status.status is ConnectorStatus.AVAILABLE and _is_of(status, plug_in):
            flowed_at = last_flow(conn, plug_in.evse, plug_in.plugged_at)
            first = _said_first(conn, status, flowed_at)
            found[plug_in.evse] = StoredFree(first, flowed_at)
    return found


def _is_of(status: StoredStatus, plug_in: PlugIn) -> bool:
    """Whether a status is of its time: what came before it is not, and what comes late may be of before."""
    came_at = status.at if status.received_at is None else status.received_at
    is_late = came_at - status.at > LIVE_WITHIN
    return status.at >= plug_in.plugged_at or (came_at >= plug_in.plugged_at and not is_late)


def needs(conn: Connection) -> dict[EvseRef, NeedsReported]:
    """What the vehicle of each open plug-in said of its needs last, since its cable is in."""
    of_it = (_P.station == _N.station) & (_P.unplugged_at.is_(None)) & (_N.received_at >= _P.plugged_at)
    query = select(_P.evse, _N.content).join(PLUG_IN, of_it).where(_N.kind == NoticeKind.CHARGING_NEEDS.value)
    told = ((row.evse, NEEDS.validate_json(row.content)) for row in conn.execute(query.order_by(_N.id)))
    return {said.evse: said for evse, said in told if said.evse.evse == evse}


def last_flow(conn: Connection, evse: EvseRef, since: datetime) -> datetime | None:
    """When power was metered there last."""
    power_w = func.coalesce(_M.power_import_w, 0.0) - func.coalesce(_M.power_export_w, 0.0)
    here = (_M.station == evse.station) & (_M.evse == evse.evse) & (_M.at >= micros(since))
    flows = here & (func.abs(power_w) > FLOWING_W) & is_in_time(METER_VALUE)
    at = conn.execute(select(func.max(_M.at)).where(flows)).scalar()
    return None if at is None else instant(at)


def is_in_time(value: FromClause) -> ColumnElement[bool]:
    """Whether a meter value is not of a transaction that was over by then: such values tell nothing (lesson 15)."""
    over, later = TRANSACTION.alias(), TRANSACTION.alias()
    of_it = (over.c.station == value.c.station) & (over.c.transaction == value.c.transaction)
    same = (later.c.station == over.c.station) & (later.c.transaction == over.c.transaction)
    anew = exists().where(same, later.c.generation > over.c.generation)
    return ~exists().where(of_it, over.c.evse == value.c.evse, over.c.ended_at < value.c.at, ~anew)


def _said_first(conn: Connection, newest: StoredStatus, flowed_at: datetime | None) -> StoredStatus | None:
    """The first of the statuses in a row that say the same as the newest, since power has flowed."""
    rows = takewhile(lambda row: row.status == newest.status.value, reversed(_in_turn(conn, newest)))
    same = [replace(newest, at=instant(row.at), received_at=instant(row.received_at)) for row in rows]
    return next((one for one in reversed(same) if flowed_at is None or one.at > flowed_at), None)


def _last(conn: Connection, newest: StoredStatus) -> Sequence[Row[Any]]:
    """What its connector said last, the newest first."""
    here = (_S.station == newest.evse.station) & (_S.evse == newest.evse.evse) & (_S.connector == newest.connector)
    return conn.execute(select(STATUS).where(here).order_by(_S.id.desc()).limit(REPEATS)).all()


def believed(conn: Connection, newest: StoredStatus) -> StoredStatus:
    """The status that holds, where the newest to arrive may come from a queue."""
    if newest.received_at is None or newest.received_at - newest.at <= LIVE_WITHIN:
        return newest
    in_turn = _in_turn(conn, newest)
    if not in_turn:
        return newest
    last = in_turn[-1]
    status, at, received_at = ConnectorStatus(last.status), instant(last.at), instant(last.received_at)
    return replace(newest, status=status, at=at, received_at=received_at)


def _in_turn(conn: Connection, newest: StoredStatus) -> list[Row[Any]]:
    """What its connector said last, in order, without history: one that comes late, of before the one that was known,
    by its station's clock, unless the station has booted since."""
    booted = conn.execute(select(BOOT.c.received_at).where(BOOT.c.station == newest.evse.station)).scalars().all()
    taken: list[Row[Any]] = []
    for row in reversed(_last(conn, newest)):
        is_late = row.received_at - row.at > LIVE_WITHIN / timedelta(microseconds=1)
        if not taken or row.at >= taken[-1].at or not is_late or _between(booted, taken[-1], row):
            taken.append(row)
    return taken


def _between(booted: Sequence[int], before: Row[Any], after: Row[Any]) -> bool:
    return any(before.received_at < at <= after.received_at for at in booted)
