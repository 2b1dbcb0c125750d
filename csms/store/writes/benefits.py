"""What is written about benefits."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from csms.domain.benefit import BenefitGrant
from csms.store.reads.benefits import benefit_plugs
from csms.store.sql import insert_new, rows_into
from csms.store.tables import BENEFIT_GRANT, BENEFIT_PLUG
from csms.store.values import micros


def learn_benefit_plugs(conn: Connection, plugs: Iterable[str], at: datetime) -> dict[str, datetime]:
    """Since when each plug that was ever chosen is known; those that are new are known from ``at`` on."""
    for plug in plugs:
        insert_new(conn, BENEFIT_PLUG, {"plug": plug, "known_at": micros(at)})
    return benefit_plugs(conn)


def save_benefit_grants(conn: Connection, grants: Sequence[BenefitGrant]) -> None:
    """Append grants; one whose (cause, revision) exists is skipped."""
    rows_into(conn, BENEFIT_GRANT, [_row(grant) for grant in grants])


def _row(grant: BenefitGrant) -> dict[str, Any]:
    return {
        "cause": grant.cause,
        "revision": grant.revision,
        "granted_at": micros(grant.granted_at),
        "user": grant.user,
        "plug_in": grant.plug_in,
        "station": grant.evse.station,
        "evse": grant.evse.evse,
        "event": grant.event,
        "plug": grant.plug,
        "unit": grant.unit,
        "amount": grant.amount,
        "moved_wh": grant.moved_wh,
        "period_start": micros(grant.period_start),
        "period_end": micros(grant.period_end),
    }
