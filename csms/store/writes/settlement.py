"""What is written into the ledger."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, delete, select

from csms.domain.benefit import BenefitGrant
from csms.domain.errors import Conflict
from csms.domain.ids import AreaId, PlugInId
from csms.domain.ledger import EntryKind, LedgerEntry, SettledUntil
from csms.store.sql import insert, insert_new, rows_into
from csms.store.tables import LEDGER_ENTRY, LEDGER_POSTING, SETTLED_AREA, SETTLEMENT_DUE, SETTLEMENT_MARK
from csms.store.values import micros, plain_json
from csms.store.writes.benefits import save_benefit_grants

_E = LEDGER_ENTRY.c


def post_entries(
    conn: Connection,
    entries: Sequence[LedgerEntry],
    areas: Mapping[PlugInId, AreaId] = MappingProxyType({}),
    grants: Sequence[BenefitGrant] = (),
) -> int:
    """Append entries, and the benefits that follow from the same energy; how many entries were new. What exists under
    its (cause, revision) is skipped. ``areas``: by whose prices their plug-ins are settled; one that has an area keeps
    it.

    Raises Conflict for an entry whose postings do not sum to zero, or a correction of what was never booked; then none
    is posted.
    """
    for entry in entries:
        if not entry.is_balanced:
            raise Conflict(f"ledger entry {entry.cause}: its postings do not sum to zero", field="postings")
    for plug_in in {*(entry.plug_in for entry in entries), *(grant.plug_in for grant in grants)} & areas.keys():
        insert_new(conn, SETTLED_AREA, {"plug_in": plug_in, "area": areas[plug_in]})
    save_benefit_grants(conn, grants)
    return sum(_post(conn, entry) for entry in entries)


def _post(conn: Connection, entry: LedgerEntry) -> bool:
    known = select(_E.id).where(_E.cause == entry.cause, _E.revision == entry.revision)
    if conn.execute(known).first():
        return False
    row = _entry_row(entry) | {"flow": _flow(conn, entry)}
    number = conn.execute(LEDGER_ENTRY.insert().returning(_E.id), row).scalar_one()
    lines = [
        {"entry": number, "line": line, "account": posting.account, "amount_minor": posting.amount_minor}
        for line, posting in enumerate(entry.postings)
    ]
    rows_into(conn, LEDGER_POSTING, lines)
    return True


def _flow(conn: Connection, entry: LedgerEntry) -> str:
    if entry.kind is not EntryKind.CORRECTION:
        return entry.kind.value
    corrected = select(_E.flow).where(_E.cause == entry.cause).order_by(_E.revision).limit(1)
    flow = conn.execute(corrected).scalar()
    if flow is None:
        raise Conflict(f"ledger entry {entry.cause}: a correction of what was never booked", field="cause")
    return str(flow)


def _entry_row(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "cause": entry.cause,
        "revision": entry.revision,
        "kind": entry.kind.value,
        "posted_at": micros(entry.posted_at),
        "period_start": micros(entry.period_start),
        "period_end": micros(entry.period_end),
        "user": entry.user,
        "vehicle": entry.vehicle,
        "station": entry.evse.station,
        "evse": entry.evse.evse,
        "plug_in": entry.plug_in,
        "event": entry.event,
        "energy_wh": entry.energy_wh,
        "price_per_kwh": str(entry.price_per_kwh),
        "currency": entry.currency,
        "evidence": plain_json(dict(entry.evidence)),
    }


def settle_again(conn: Connection, starts: Sequence[datetime]) -> None:
    """These intervals are due again, whatever else is."""
    if starts:
        new = insert(SETTLEMENT_DUE, conn.dialect.name).on_conflict_do_nothing()
        conn.execute(new, [{"start": micros(start)} for start in starts])


def save_settled(conn: Connection, settled: SettledUntil) -> None:
    """How far everything is settled, in place of what was said before."""
    conn.execute(delete(SETTLEMENT_MARK))
    mark = {"name": "energy", "settled_until": micros(settled.until), "reading_id": settled.reading_id}
    conn.execute(SETTLEMENT_MARK.insert(), mark)
    conn.execute(delete(SETTLEMENT_DUE))
    if settled.due:
        conn.execute(SETTLEMENT_DUE.insert(), [{"start": micros(start)} for start in sorted(settled.due)])
