"""What every room reads: DR events and prices."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from csms.store.tables.columns import big, row_id


class DrEventRow(SQLModel, table=True):
    """A DR event; ``areas`` is a JSON list, prices are decimals as text."""

    __tablename__ = "dr_event"

    id: str = Field(primary_key=True)
    direction: str
    requested_w: int = big()
    starts_at: int = big()
    ends_at: int = big(index=True)
    areas: str
    incentive_per_kwh: str | None = None
    price_per_kwh: str | None = None
    created_at: int = big()
    cancelled_at: int | None = big(default=None)
    priority: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class PriceSeriesRow(SQLModel, table=True):
    """Prices published for an area, in the order of publication; ``steps`` is JSON."""

    __tablename__ = "price_series"
    __table_args__ = (Index("ix_price_series_area", "area", "id"),)

    id: int | None = row_id()
    area: str
    at: int = big()
    until: int | None = big(default=None)
    steps: str


class TariffRow(SQLModel, table=True):
    """A tariff of the configuration, from the start on that first read it; ``periods`` is JSON."""

    __tablename__ = "tariff"
    __table_args__ = (Index("ix_tariff_area", "area", "id"),)

    id: int | None = row_id()
    area: str
    known_at: int = big()
    currency: str
    zone: str
    periods: str
