"""Benefits that were granted."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from csms.domain.benefit import BenefitGrant
from csms.domain.ids import DrEventId, EvseRef, UserId
from csms.store.tables import BENEFIT_GRANT, BENEFIT_PLUG
from csms.store.values import instant, micros

_G = BENEFIT_GRANT.c


def benefit_plugs(conn: Connection) -> dict[str, datetime]:
    """Since when each plug that was ever chosen is known."""
    return {row.plug: instant(row.known_at) for row in conn.execute(select(BENEFIT_PLUG))}


def benefit_grants(  # noqa: PLR0913  filters, all by name
    conn: Connection,
    *,
    user: UserId | None = None,
    event: DrEventId | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: int | None = None,
    limit: int = 100,
) -> list[tuple[int, BenefitGrant]]:
    """A page of (id, grant) in the order of granting. [start, end) bounds the beginning of the settled interval."""
    query = select(BENEFIT_GRANT).order_by(_G.id).limit(limit)
    query = query.where(*(column == value for column, value in ((_G.user, user), (_G.event, event)) if value))
    if start is not None:
        query = query.where(_G.period_start >= micros(start))
    if end is not None:
        query = query.where(_G.period_start < micros(end))
    if after is not None:
        query = query.where(_G.id > after)
    return [(row.id, _grant_of(row)) for row in conn.execute(query)]


def benefit_grants_within(conn: Connection, start: datetime, end: datetime) -> dict[str, list[BenefitGrant]]:
    """Every grant of an interval that begins in [start, end), by cause; the revisions of a cause in order."""
    query = select(BENEFIT_GRANT).where(_G.period_start >= micros(start), _G.period_start < micros(end))
    found: dict[str, list[BenefitGrant]] = {}
    for row in conn.execute(query.order_by(_G.cause, _G.revision)):
        found.setdefault(row.cause, []).append(_grant_of(row))
    return found


def _grant_of(row: Row[Any]) -> BenefitGrant:
    return BenefitGrant(
        cause=row.cause,
        revision=row.revision,
        granted_at=instant(row.granted_at),
        user=row.user,
        plug_in=row.plug_in,
        evse=EvseRef(row.station, row.evse),
        event=row.event,
        plug=row.plug,
        unit=row.unit,
        amount=row.amount,
        moved_wh=row.moved_wh,
        period_start=instant(row.period_start),
        period_end=instant(row.period_end),
    )
