"""The ledger."""

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, row_id


class LedgerEntryRow(SQLModel, table=True):
    """One entry, never changed (a trigger refuses). ``flow``: sale, purchase or reward, also of a correction."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        UniqueConstraint("cause", "revision", name="uq_ledger_entry"),
        Index("ix_ledger_entry_user", "user", "period_start"),
        Index("ix_ledger_entry_plug_in", "plug_in"),
        Index("ix_ledger_entry_event", "event"),
        Index("ix_ledger_entry_period", "period_start"),
    )

    id: int | None = row_id()
    cause: str
    revision: int
    kind: str
    flow: str
    posted_at: int = big()
    period_start: int = big()
    period_end: int = big()
    user: str
    vehicle: str | None = None
    station: str
    evse: int
    plug_in: str
    event: str | None = None
    energy_wh: int = big()
    price_per_kwh: str
    currency: str
    evidence: str


class LedgerPostingRow(SQLModel, table=True):
    """One line of an entry, in the entry's order."""

    __tablename__ = "ledger_posting"
    __table_args__ = (Index("ix_ledger_posting_account", "account"),)

    entry: int = big(primary_key=True, foreign_key="ledger_entry.id")
    line: int = Field(primary_key=True)
    account: str
    amount_minor: int = big()


class SettlementMarkRow(SQLModel, table=True):
    """How far everything is settled: one row. ``reading_id``: the newest meter value that was counted in."""

    __tablename__ = "settlement_mark"

    name: str = Field(primary_key=True)
    settled_until: int = big()
    reading_id: int = big()


class SettlementDueRow(SQLModel, table=True):
    """A market interval before the mark that is to be settled again, by its start."""

    __tablename__ = "settlement_due"

    start: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})


class BenefitGrantRow(SQLModel, table=True):
    """A benefit that was granted, never changed (a trigger refuses)."""

    __tablename__ = "benefit_grant"
    __table_args__ = (
        UniqueConstraint("cause", "revision", name="uq_benefit_grant"),
        Index("ix_benefit_grant_user", "user", "period_start"),
        Index("ix_benefit_grant_period", "period_start"),
    )

    id: int | None = row_id()
    cause: str
    revision: int
    granted_at: int = big()
    user: str
    plug_in: str
    station: str
    evse: int
    event: str | None = None
    plug: str
    unit: str
    amount: int = big()
    moved_wh: int = big()
    period_start: int = big()
    period_end: int = big()


class BenefitPlugRow(SQLModel, table=True):
    """Since when a benefits plug is chosen: it grants nothing for what was before."""

    __tablename__ = "benefit_plug"

    plug: str = Field(primary_key=True)
    known_at: int = big()


class SettledAreaRow(SQLModel, table=True):
    """The area whose prices a plug-in was settled by first: it keeps them, wherever its site is counted later."""

    __tablename__ = "settled_area"

    plug_in: str = Field(primary_key=True)
    area: str
