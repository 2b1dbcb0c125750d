"""What is written about DR events and prices."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId
from csms.domain.tariff import PriceStep, Tariff
from csms.store.sql import upsert
from csms.store.tables import (
    DR_EVENT,
    PRICE_SERIES,
    TARIFF,
)
from csms.store.values import PERIODS, PRICE_STEPS, micros, plain_json, text_of, to_json


def save_dr_event(conn: Connection, event: DrEvent) -> None:
    """A DR event, or its newest form."""
    row = {
        "id": event.id,
        "direction": event.direction.value,
        "requested_w": event.requested_w,
        "starts_at": micros(event.starts_at),
        "ends_at": micros(event.ends_at),
        "areas": plain_json(sorted(event.areas)),
        "incentive_per_kwh": text_of(event.incentive_per_kwh),
        "price_per_kwh": text_of(event.price_per_kwh),
        "created_at": micros(event.created_at),
        "cancelled_at": micros(event.cancelled_at),
        "priority": event.priority,
    }
    upsert(conn, DR_EVENT, row)


def save_prices(
    conn: Connection, area: AreaId, steps: Sequence[PriceStep], until: datetime | None, at: datetime
) -> None:
    """Prices published for an area, over those published before."""
    row = {"area": area, "at": micros(at), "until": micros(until), "steps": to_json(PRICE_STEPS, tuple(steps))}
    conn.execute(PRICE_SERIES.insert(), row)


def save_tariff(conn: Connection, area: AreaId, known_at: datetime, tariff: Tariff) -> None:
    """A tariff that has become known."""
    row = {
        "area": area,
        "known_at": micros(known_at),
        "currency": tariff.currency,
        "zone": tariff.zone,
        "periods": to_json(PERIODS, tariff.periods),
    }
    conn.execute(TARIFF.insert(), row)
