"""The figures of the demo's summary, counted from what is stored."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from csms.domain.dispatch import SetpointState
from csms.domain.ledger import EntryKind
from csms.domain.permission import PermissionState
from csms.store.reads.settlement import NO_CURRENCY
from csms.store.tables import LEDGER_ENTRY, LEDGER_POSTING, PLUG_IN, SETPOINT, VIOLATION

_E = LEDGER_ENTRY.c
_L = LEDGER_POSTING.c


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCounts:
    """``asked`` = plug-ins whose user was ever asked; the other permissions by their state now.

    Every setpoint counts as desired; acknowledged = the station said yes; observed = metered (design §4).
    ``paid_minor``: credited to users for discharged energy, corrections included, in the newest entry's ``currency``.
    """

    plug_ins: int
    asked: int
    granted: int
    refused: int
    expired: int
    desired: int
    acknowledged: int
    observed: int
    violations: int
    entries: int
    balanced: bool
    paid_minor: int
    currency: str


def counts(conn: Connection) -> DemoCounts:
    """Everything that is stored, counted."""
    permission, state = PLUG_IN.c.permission_state, SETPOINT.c.state
    currency = conn.execute(select(_E.currency).order_by(_E.id.desc()).limit(1)).scalar() or NO_CURRENCY
    return DemoCounts(
        plug_ins=_count(conn, PLUG_IN),
        asked=_count(conn, PLUG_IN, PLUG_IN.c.asked_at.is_not(None)),
        granted=_count(conn, PLUG_IN, permission == PermissionState.GRANTED.value),
        refused=_count(conn, PLUG_IN, permission == PermissionState.REFUSED.value),
        expired=_count(conn, PLUG_IN, permission == PermissionState.EXPIRED.value),
        desired=_count(conn, SETPOINT),
        acknowledged=_count(conn, SETPOINT, SETPOINT.c.acknowledged_at.is_not(None)),
        observed=_count(conn, SETPOINT, state == SetpointState.OBSERVED.value),
        violations=_count(conn, VIOLATION),
        entries=_count(conn, LEDGER_ENTRY),
        balanced=_unbalanced(conn) is None,
        paid_minor=_paid_minor(conn, currency),
        currency=currency,
    )


def _count(conn: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    return int(conn.execute(select(func.count()).select_from(table).where(*where)).scalar_one())


def _unbalanced(conn: Connection) -> Any:
    odd = select(_L.entry).group_by(_L.entry).having(func.sum(_L.amount_minor) != 0).limit(1)
    return conn.execute(odd).scalar()


def _paid_minor(conn: Connection, currency: str) -> int:
    paid = (
        select(func.coalesce(func.sum(_L.amount_minor), 0))
        .join_from(LEDGER_POSTING, LEDGER_ENTRY, _L.entry == _E.id)
        .where(
            _E.flow.in_([EntryKind.SALE.value, EntryKind.REWARD.value]),
            _E.currency == currency,
            _L.account.startswith("user:", autoescape=True),
        )
    )
    return int(conn.execute(paid).scalar_one())
