"""Instants on the wire. Read generously, written in UTC with milliseconds (V2G-60)."""

import re
from datetime import UTC, datetime

_LOOSE = re.compile(
    r"\s*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*(Z|[+-]\d\d(?::?\d\d)?)?\s*", re.IGNORECASE
)
_NONE_GIVEN = datetime(1970, 1, 1, tzinfo=UTC)
"""What the tolerant reader puts in place of a timestamp that is missing: nobody said it."""
_PLAUSIBLE_YEARS = range(2015, 2100)


def instant(text: object, otherwise: datetime) -> datetime:
    """An instant in UTC: RFC 3339, also with ``+HH``, ``+HHMM``, any fraction, or no zone (read as UTC).

    What is no time, or no plausible one (1970: a clock that was never set, reference §4.3), gives ``otherwise``:
    the time we received it.
    """
    return parsed(text) or otherwise


def stamp(text: object, otherwise: datetime) -> tuple[datetime, datetime | None]:
    """An instant as ``instant`` gives it, and the station's own time where that is another one: it can be read but
    cannot be (1970)."""
    at = parsed(text)
    if at is not None:
        return at, None
    own = _read(text)
    return otherwise, None if own == _NONE_GIVEN else own


def _read(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)  # type: ignore[arg-type]  # anything else raises TypeError
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def parsed(text: object) -> datetime | None:
    """As ``instant``, but None instead of a substitute."""
    try:
        return _in_utc(datetime.fromisoformat(text))  # type: ignore[arg-type]  # anything else raises TypeError
    except (ValueError, TypeError):
        at = _loosely(text)
        return _in_utc(at) if at is not None else None


def _loosely(text: object) -> datetime | None:
    match = _LOOSE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    spelt = f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}" if clock.count(":") == 2 else f"{day}T{clock}"
    try:
        return datetime.fromisoformat(spelt + (zone or "").upper())
    except ValueError:
        return None


def _in_utc(at: datetime) -> datetime | None:
    if at.year not in _PLAUSIBLE_YEARS:
        return None
    if at.tzinfo is UTC:
        return at
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def spelt(at: datetime) -> str:
    """``2026-11-20T17:00:00.000Z``: UTC, three decimals, as every version's stations expect."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
