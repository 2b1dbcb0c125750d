"""Domain values to column values and back. See ``tables.columns`` for what a column holds."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final, overload

import orjson
from pydantic import TypeAdapter

from csms.domain.conditions import Conditions
from csms.domain.decision import Part, Parts, Reason
from csms.domain.facts import NeedsReported, Reading
from csms.domain.ids import DrEventId
from csms.domain.permission import Evidence, Permission
from csms.domain.tariff import DailyPeriod, PriceStep

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

CONDITIONS: Final = TypeAdapter(Conditions)
PERMISSION: Final = TypeAdapter(Permission)
EVIDENCE: Final = TypeAdapter(Evidence)
PRICE_STEPS: Final = TypeAdapter(tuple[PriceStep, ...])
PERIODS: Final = TypeAdapter(tuple[DailyPeriod, ...])
READINGS: Final = TypeAdapter(tuple[Reading, ...])
NEEDS: Final = TypeAdapter(NeedsReported)


def parts_text(parts: Parts) -> str | None:
    """Who moved what of a setpoint, as JSON; None where one event moved all."""
    return _json([[part.event, part.power_w, str(part.price_per_kwh)] for part in parts]) if parts else None


def parts_of(text: str | None) -> Parts:
    """The parts of ``parts_text``."""
    rows = orjson.loads(text) if text else []
    return tuple(Part(DrEventId(event), power_w, Decimal(price)) for event, power_w, price in rows)


def names_event(event: DrEventId) -> str:
    """How ``parts_text`` spells an event."""
    return _json(event)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


@overload
def micros(at: datetime) -> int: ...
@overload
def micros(at: None) -> None: ...
def micros(at: datetime | None) -> int | None:
    """Microseconds since 1970 UTC, exact. A time without a zone is refused (ValueError)."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return (at - EPOCH) // _MICROSECOND


@overload
def instant(us: int) -> datetime: ...
@overload
def instant(us: None) -> None: ...
def instant(us: int | None) -> datetime | None:
    """The aware UTC time of ``micros``."""
    return None if us is None else EPOCH + us * _MICROSECOND


def to_json(adapter: TypeAdapter[Any], value: Any) -> str:
    """JSON text of a domain value; decimals stay exact."""
    return adapter.dump_json(value).decode()


def plain_json(value: Any) -> str:
    """JSON text of plain data; what JSON does not know becomes text."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits, or text that is no UTF-8
        return json.dumps(value, default=str)


def reasons_text(reasons: Iterable[Reason]) -> str:
    """Reason codes separated by blanks."""
    return " ".join(reasons)


def reasons_of(text: str) -> tuple[Reason, ...]:
    """The codes of ``reasons_text``."""
    return tuple(Reason(code) for code in text.split())


@overload
def decimal_of(text: str) -> Decimal: ...
@overload
def decimal_of(text: None) -> None: ...
def decimal_of(text: str | None) -> Decimal | None:
    """A stored decimal."""
    return None if text is None else Decimal(text)


def text_of(number: Decimal | None) -> str | None:
    """A decimal as stored."""
    return None if number is None else str(number)


def digest(content: bytes) -> int:
    """A signed 64-bit hash, the same in every process."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


def text_digest(content: str) -> int:
    """The digest of any text, even one that is no UTF-8."""
    return digest(content.encode("utf-8", "surrogatepass"))
