"""From a ledger entry back to the frames that its readings, transaction, permission and setpoints came in. M2."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, Row, func, or_, select

from csms.domain.facts import NoticeKind, TransactionPhase
from csms.domain.ids import StationId
from csms.domain.permission import CLAIM_HOLDS, PlugIn
from csms.domain.record import EntryFrames, KeptFrame, MissingFrame, Purpose
from csms.store.reads.frames import Found, Wanted, frames
from csms.store.reads.permission import plug_in_of
from csms.store.tables import (
    ID_TOKEN,
    LEDGER_ENTRY,
    METER_VALUE,
    NOTICE,
    PARKED_STOP,
    PLUG_IN,
    QUARANTINE,
    REPLAY,
    SENT_CALL,
    SETPOINT,
    STATUS,
    TRANSACTION,
    TRANSACTION_EVENT,
)
from csms.store.values import instant, micros

_T, _E, _C, _N = TRANSACTION.c, TRANSACTION_EVENT.c, SENT_CALL.c, NOTICE.c
_IDS_PER_QUERY: Final = 500
MOST: Final = 1000
"""Statuses, notices and calls of one plug-in that are looked at, the newest."""
_MINUTE: Final = 60_000_000
_CLAIM_US: Final = CLAIM_HOLDS // CLAIM_HOLDS.resolution


class Lead(NamedTuple):
    """A frame that should be there, and for what."""

    purpose: Purpose
    wanted: Wanted


Leads = Iterator[Lead | MissingFrame]


class Case(NamedTuple):
    """An entry and what is stored around it, with its times in µs."""

    entry: Any
    plug_in: PlugIn
    since: int
    until: int
    transactions: Sequence[Row[Any]]


def frames_of_entry(conn: Connection, entry: int) -> EntryFrames | None:
    """All that is kept of it, in order, with what is missing; None where there is no such entry."""
    row = conn.execute(select(LEDGER_ENTRY).where(LEDGER_ENTRY.c.id == entry)).one_or_none()
    if row is None:
        return None
    case, evidence = _case(conn, row), orjson.loads(row.evidence)
    leads: list[Lead | MissingFrame] = [
        *_of_readings(conn, evidence["readings"]),
        *_of_transactions(conn, case),
        *_of_permission(conn, case),
        *_of_setpoints(conn, case, [*evidence.get("setpoints", ()), *evidence.get("unconfirmed", ())]),
    ]
    return _gathered(conn, leads)


def _case(conn: Connection, entry: Row[Any]) -> Case:
    """The plug-in up to the end of the entry's period: what came later made no difference to it."""
    plug_in = plug_in_of(conn.execute(select(PLUG_IN).where(PLUG_IN.c.id == entry.plug_in)).one())
    over_at = min(micros(plug_in.unplugged_at) or entry.period_end, entry.period_end)
    until = max(over_at, entry.period_start)
    return Case(entry, plug_in, micros(plug_in.plugged_at), until, _transactions(conn, entry, plug_in))


def _transactions(conn: Connection, entry: Row[Any], plug_in: PlugIn) -> Sequence[Row[Any]]:
    began = func.coalesce(_T.started_at, _T.received_at)
    lasted = (began <= entry.period_end) & (_T.ended_at.is_(None) | (_T.ended_at >= entry.period_start))
    here = (_T.evse == entry.evse) & (_T.ended_at.is_(None) | (_T.ended_at >= micros(plug_in.plugged_at)))
    query = select(TRANSACTION).where(_T.station == entry.station, here, lasted)
    return conn.execute(query.order_by(_T.id.desc()).limit(MOST)).all()


def _of_readings(conn: Connection, ids: Sequence[int]) -> Leads:
    """Of a meter value its message; of a register of a 1.6 transaction (ids below 0, see ``reads.metered``) its start
    or stop."""
    stored = _by_id(conn, METER_VALUE, [id_ for id_ in ids if id_ > 0])
    begun = _by_id(conn, TRANSACTION, [-id_ // 2 for id_ in ids if id_ < 0 and id_ % 2 == 0])
    ended = _by_id(conn, TRANSACTION, [(-id_ - 1) // 2 for id_ in ids if id_ < 0 and id_ % 2])
    for row in stored.values():
        yield Lead(Purpose.READING, Wanted(row.station, row.message_id, row.received_at))
    for row in begun.values():
        yield _start(row, Purpose.READING)
    for row in ended.values():
        yield _stop(row, Purpose.READING)
    for id_ in ids:
        if id_ > 0 and id_ not in stored:
            yield MissingFrame(purposes=(Purpose.READING,), what=f"reading {id_}")


def _by_id(conn: Connection, table: Any, ids: Sequence[Any]) -> dict[Any, Row[Any]]:
    found: dict[Any, Row[Any]] = {}
    for first in range(0, len(ids), _IDS_PER_QUERY):
        query = select(table).where(table.c.id.in_(ids[first : first + _IDS_PER_QUERY]))
        found.update({row.id: row for row in conn.execute(query)})
    return found


def _start(row: Row[Any], purpose: Purpose) -> Lead | MissingFrame:
    if row.start_message_id is None:
        return MissingFrame(purposes=(purpose,), what=f"start of transaction {row.transaction}")
    return Lead(purpose, Wanted(row.station, row.start_message_id, row.received_at))


def _stop(row: Row[Any], purpose: Purpose) -> Lead | MissingFrame:
    if row.stop_message_id is None or row.stop_received_at is None:
        return MissingFrame(purposes=(purpose,), what=f"stop of transaction {row.transaction}")
    return Lead(purpose, Wanted(row.station, row.stop_message_id, row.stop_received_at))


def _of_transactions(conn: Connection, case: Case) -> Leads:
    for row in case.transactions:
        if row.first_seq_no is not None:
            yield from _of_events(conn, case, row)
            continue
        if row.started_at is not None:
            yield _start(row, Purpose.TRANSACTION)
        if row.meter_stop_wh is not None:
            yield _stop(row, Purpose.TRANSACTION)
        stops = (PARKED_STOP.c.station == row.station) & (PARKED_STOP.c.closed == row.transaction)
        for parked in conn.execute(select(PARKED_STOP).where(stops).limit(MOST)):
            yield Lead(Purpose.TRANSACTION, Wanted(parked.station, parked.message_id, parked.received_at))


def _of_events(conn: Connection, case: Case, row: Row[Any]) -> Leads:
    """Its beginning and end, who showed a token, and what happened in the entry's period."""
    of_it = (_E.station == row.station) & (_E.transaction == row.transaction) & (_E.generation == row.generation)
    in_period = (_E.at >= case.entry.period_start) & (_E.at <= case.entry.period_end)
    tells = or_(_E.phase != TransactionPhase.UPDATED.value, _E.token.is_not(None), in_period)
    for event in conn.execute(select(TRANSACTION_EVENT).where(of_it, tells).order_by(_E.id.desc()).limit(MOST)):
        yield Lead(Purpose.TRANSACTION, Wanted(event.station, event.message_id, event.received_at))


def _of_permission(conn: Connection, case: Case) -> Leads:
    """What the connector said while the vehicle was there, which tokens were shown, what the vehicle said it needs."""
    entry, s = case.entry, STATUS.c
    here = (s.station == entry.station) & (s.evse == entry.evse) & (s.at >= case.since) & (s.at <= case.until)
    for row in conn.execute(select(STATUS).where(here).order_by(s.id.desc()).limit(MOST)):
        yield Lead(Purpose.PERMISSION, Wanted(row.station, row.message_id, row.received_at))
    tokens = _tokens(conn, case)
    told = (_N.received_at >= case.since - _CLAIM_US) & (_N.received_at <= case.until + _MINUTE)
    kinds = _N.kind.in_([NoticeKind.AUTHORIZATION.value, NoticeKind.CHARGING_NEEDS.value])
    notices = select(NOTICE).where(_N.station == entry.station, told, kinds).order_by(_N.id.desc()).limit(MOST)
    for row in conn.execute(notices):
        content = orjson.loads(row.content)
        is_its = content.get("token") in tokens or (content.get("evse") or {}).get("evse") == entry.evse
        if is_its:
            yield Lead(Purpose.PERMISSION, Wanted(row.station, row.message_id, row.received_at))


def _tokens(conn: Connection, case: Case) -> set[str | None]:
    """Keys of the tokens by which the vehicle may have been known."""
    evidence = case.plug_in.evidence
    its = {evidence.card, evidence.session_card, *evidence.start_tokens, *(row.token for row in case.transactions)}
    own = conn.execute(select(ID_TOKEN.c.key).where(ID_TOKEN.c.user == case.entry.user)).scalars()
    return (its | set(own)) - {None}


def _of_setpoints(conn: Connection, case: Case, ids: Sequence[str]) -> Leads:
    """The CALLs that told the entry's setpoints, and those that told none but may have moved its vehicle: of its EVSE,
    or that name no EVSE."""
    sent = _sent(conn, case, ids)
    for row in sent:
        yield Lead(Purpose.SETPOINT, Wanted(row.station, row.message_id, row.at, not row.is_answer))
    told = {row.setpoint for row in sent}
    records = _by_id(conn, SETPOINT, ids)
    for id_ in ids:
        was_told = id_ not in records or records[id_].acknowledged_at is not None
        if id_ not in told and was_told:
            yield MissingFrame(purposes=(Purpose.SETPOINT,), what=f"setpoint {id_}")


def _sent(conn: Connection, case: Case, ids: Sequence[str]) -> list[Row[Any]]:
    entry = case.entry
    then = (_C.at >= case.since - _MINUTE) & (_C.at <= case.until + _MINUTE)
    plain = _C.setpoint.is_(None) & (_C.evse.is_(None) | (_C.evse == entry.evse))
    its = or_(plain, _C.setpoint.in_(list(ids)))
    query = select(SENT_CALL).where(_C.station == entry.station, then, its)
    return list(conn.execute(query.order_by(_C.id.desc()).limit(MOST)).all())


def _gathered(conn: Connection, leads: Iterable[Lead | MissingFrame]) -> EntryFrames:
    purposes: dict[Wanted, set[Purpose]] = {}
    missing: dict[MissingFrame, None] = {}
    for lead in leads:
        if isinstance(lead, MissingFrame):
            missing[lead] = None
        else:
            purposes.setdefault(lead.wanted, set()).add(lead.purpose)
    kept = _frames(conn, purposes)
    found: dict[str, KeptFrame] = {}
    for wanted, its in kept.items():
        ordered = tuple(sorted(purposes[wanted]))
        if not its:
            missing[_gone(wanted, ordered)] = None
        for each in its:
            found[each.key] = _kept(each, wanted, ordered)
    return EntryFrames(frames=tuple(found[key] for key in sorted(found)), missing=tuple(missing))


def _frames(conn: Connection, wanted: Iterable[Wanted]) -> dict[Wanted, tuple[Found, ...]]:
    """What is kept of each, also of a message that was taken in again from the quarantine."""
    kept = frames(conn, wanted)
    first = {one: came for one, its in kept.items() if not its and (came := _first_came(conn, one)) is not None}
    of_then = frames(conn, first.values())
    return kept | {one: of_then[came] for one, came in first.items()}


def _first_came(conn: Connection, wanted: Wanted) -> Wanted | None:
    """A message that was taken in at this instant from the quarantine, as it came."""
    q = QUARANTINE.c
    replayed = (REPLAY.c.quarantine == q.id) & (REPLAY.c.at == wanted.at)
    named = (q.station == wanted.station) & (q.message_id == wanted.message_id)
    at = conn.execute(select(q.received_at).where(named).where(replayed).limit(1)).scalar()
    return None if at is None else wanted._replace(at=at)


def _gone(wanted: Wanted, purposes: tuple[Purpose, ...]) -> MissingFrame:
    at = instant(wanted.at)
    return MissingFrame(purposes=purposes, what="frame", message_id=wanted.message_id, at=at)


def _kept(found: Found, wanted: Wanted, purposes: tuple[Purpose, ...]) -> KeptFrame:
    return KeptFrame(
        id=found.key,
        at=instant(found.frame.at),
        station=StationId(wanted.station),
        direction="out" if found.frame.is_out else "in",
        message_id=wanted.message_id,
        purposes=purposes,
        raw=found.frame.text.decode("utf-8", "replace"),
    )
