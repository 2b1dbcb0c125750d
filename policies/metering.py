"""Energy through an EVSE's registers in a window, import and export apart. Reference v2g-over-ocpp §4, V2G-36, V2G-37.

Exact in Decimal. Late, lost, repeated and shuffled readings and registers that start again give the same result or a
lower quality, never more energy than the registers moved.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import isfinite

from csms.domain.facts import Reading
from csms.domain.ids import EvseRef
from csms.domain.metering import Quality, StoredReading, WindowEnergy

JITTER_WH = Decimal(10)
"""A smaller drop is the meter's jitter; a greater one means that the register began again: a new epoch."""
QUANTUM_WH = Decimal(10)
"""What one coarse step of a register may be ahead of the energy."""
PLAUSIBLE = Decimal("1.1")
LONGEST_GAP = timedelta(minutes=15)
"""Between readings further apart, energy at an edge is estimated and no longer interpolated."""
EARLIEST_YEAR = 2000
"""Readings from before come from a station without a clock; they cannot be placed."""

_BETWEEN_TRANSACTIONS = ("Transaction.End", "Transaction.Begin")
_WORST = (Quality.MEASURED, Quality.INTERPOLATED, Quality.ESTIMATED, Quality.MISSING)
_TICK = timedelta(microseconds=1)
_TICKS_PER_HOUR = timedelta(hours=1) // _TICK


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, [start, end)."""

    start: datetime
    end: datetime

    def within(self, other: "Span") -> "Span":
        """The common part; empty spans have end <= start."""
        return Span(max(self.start, other.start), min(self.end, other.end))

    @property
    def ticks(self) -> int:
        """Microseconds: whole numbers keep the arithmetic exact."""
        return (self.end - self.start) // _TICK


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one quantity: a register in Wh or a power in W."""

    at: datetime
    value: Decimal
    reading: StoredReading


@dataclass(frozen=True, slots=True)
class Part:
    """Energy of one direction, how well it is known and the readings it follows from."""

    energy_wh: Decimal
    quality: Quality
    readings: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Direction:
    """How one direction is read from a reading."""

    register: Callable[[Reading], float | None]
    power: Callable[[Reading], float | None]


IMPORT = Direction(lambda reading: reading.import_wh, lambda reading: reading.power_import_w)
EXPORT = Direction(lambda reading: reading.export_wh, lambda reading: reading.power_export_w)


def energy_in_window(
    evse: EvseRef, readings: Sequence[StoredReading], start: datetime, end: datetime, max_w: int
) -> WindowEnergy:
    """Energy in [start, end). ``readings``: those inside, with the last before and the first after, in any order.

    ``max_w``: the EVSE's greatest power in either direction, for the check of plausibility.
    """
    window = Span(start, end)
    placed = [reading for reading in readings if reading.reading.at.year >= EARLIEST_YEAR]
    parts = [_part(placed, direction, window, max_w) for direction in (IMPORT, EXPORT)]
    known = [part for part in parts if part is not None]
    imported, exported = (part.energy_wh if part else Decimal(0) for part in parts)
    return WindowEnergy(
        evse=evse,
        start=start,
        end=end,
        import_wh=imported,
        export_wh=exported,
        quality=worst(part.quality for part in known) if known else Quality.MISSING,
        readings=tuple(sorted(frozenset[int]().union(*(part.readings for part in known)))),
    )


def worst(qualities: Iterable[Quality]) -> Quality:
    """The lowest of them."""
    return max(qualities, key=_WORST.index)


def _part(readings: Sequence[StoredReading], direction: Direction, window: Span, max_w: int) -> Part | None:
    """From the register where there is one, else from the power; None when neither says anything about the window."""
    powers = _samples(readings, direction.power)
    registers = _samples(readings, direction.register)
    stretches = [pair for pair in pairwise(_monotone(registers)) if _overlaps(pair, window)]
    if stretches:
        parts = [_register_part(pair, powers, window, max_w) for pair in stretches]
        return _sum([*parts, *_uncovered(stretches, window)], parts)
    return _power_part(powers, window, max_w)


def _samples(readings: Sequence[StoredReading], of: Callable[[Reading], float | None]) -> list[Sample]:
    """One quantity's samples in order of time, each (time, value) once."""
    found: dict[tuple[datetime, Decimal], Sample] = {}
    for stored in sorted(readings, key=lambda stored: stored.id):
        value = of(stored.reading)
        if value is not None and isfinite(value):
            sample = Sample(stored.reading.at, Decimal(repr(value)), stored)
            found.setdefault((sample.at, sample.value), sample)
    return sorted(found.values(), key=lambda sample: (sample.at, sample.value))


def _monotone(samples: Sequence[Sample]) -> list[Sample]:
    """The register without jitter: a small drop stays at the value before. Great drops remain: new epochs."""
    result: list[Sample] = []
    for sample in samples:
        highest = result[-1].value if result else sample.value
        is_jitter = highest - JITTER_WH <= sample.value < highest
        result.append(Sample(sample.at, highest, sample.reading) if is_jitter else sample)
    return result


def _overlaps(pair: tuple[Sample, Sample], window: Span) -> bool:
    first, second = pair
    common = Span(first.at, second.at).within(window)
    return common.start < common.end or (first.at == second.at and window.start <= first.at < window.end)


def _register_part(pair: tuple[Sample, Sample], powers: Sequence[Sample], window: Span, max_w: int) -> Part:
    """The part of the energy between two register readings that lies in the window."""
    first, second = pair
    span = Span(first.at, second.at)
    moved, quality = _moved(pair, powers, max_w)
    common = span.within(window)
    ids = frozenset({first.reading.id, second.reading.id})
    if common == span or moved == 0:
        return Part(moved, quality, ids)
    if span.end - span.start <= LONGEST_GAP:
        return Part(moved * common.ticks / span.ticks, worst((quality, Quality.INTERPOLATED)), ids)
    return Part(moved * _shape(powers, common, span), Quality.ESTIMATED, ids)


def _moved(pair: tuple[Sample, Sample], powers: Sequence[Sample], max_w: int) -> tuple[Decimal, Quality]:
    """What the register moved between two readings. Across epochs nothing is known to have flowed (and nothing has
    between two transactions); a jump that is not plausible is cut to what the power says, at most to what the EVSE can
    do."""
    first, second = pair
    moved = second.value - first.value
    if moved < 0:
        contexts = (first.reading.reading.context, second.reading.reading.context)
        return Decimal(0), Quality.MEASURED if contexts == _BETWEEN_TRANSACTIONS else Quality.ESTIMATED
    span = Span(first.at, second.at)
    most = PLAUSIBLE * max_w * span.ticks / _TICKS_PER_HOUR + QUANTUM_WH
    if moved <= most:
        return moved, Quality.MEASURED
    by_power = integral(powers, span)
    return min(most, moved) if by_power is None else min(most, moved, by_power), Quality.ESTIMATED


def _shape(powers: Sequence[Sample], common: Span, span: Span) -> Decimal:
    """The common part's share of the energy of a long gap: by the power, evenly where the power says nothing."""
    whole, part = integral(powers, span), integral(powers, common)
    if whole is None or part is None or whole <= 0:
        return Decimal(common.ticks) / span.ticks
    return min(part / whole, Decimal(1))


def _uncovered(stretches: Sequence[tuple[Sample, Sample]], window: Span) -> list[Part]:
    """Nothing is known before the first and after the last reading, unless a transaction began or ended there."""
    first, last = stretches[0][0], stretches[-1][1]
    begins_late = first.at > window.start and first.reading.reading.context != "Transaction.Begin"
    ends_early = last.at < window.end and last.reading.reading.context != "Transaction.End"
    return [Part(Decimal(0), Quality.ESTIMATED)] if begins_late or ends_early else []


def _sum(parts: Sequence[Part], stretches: Sequence[Part]) -> Part:
    """The whole. Evidence: the readings at both ends and around all that was not simply measured."""
    doubtful = [part for part in stretches if part.quality is not Quality.MEASURED]
    evidence = frozenset[int]().union(*(part.readings for part in (stretches[0], *doubtful, stretches[-1])))
    energy = sum((part.energy_wh for part in parts), Decimal(0))
    return Part(energy, worst(part.quality for part in parts), evidence)


def _power_part(powers: Sequence[Sample], window: Span, max_w: int) -> Part | None:
    """Energy from power alone: always an estimate, never more than the EVSE can do."""
    energy = integral(powers, window)
    if energy is None:
        return None
    inside = frozenset(sample.reading.id for sample in powers if window.start <= sample.at < window.end)
    return Part(min(energy, PLAUSIBLE * max_w * window.ticks / _TICKS_PER_HOUR), Quality.ESTIMATED, inside)


def integral(powers: Sequence[Sample], span: Span) -> Decimal | None:
    """Wh under the power between its samples (trapezoids, gaps of 15 min at most), None when none lies in the span."""
    pieces = [_trapezoid(pair, span) for pair in pairwise(powers)]
    known = [piece for piece in pieces if piece is not None]
    return sum(known, Decimal(0)) / _TICKS_PER_HOUR if known else None


def _trapezoid(pair: tuple[Sample, Sample], span: Span) -> Decimal | None:
    """W x microseconds between two samples, as far as it lies in the span."""
    first, second = pair
    whole = Span(first.at, second.at)
    common = whole.within(span)
    if common.end <= common.start or whole.end - whole.start > LONGEST_GAP:
        return None
    rise = second.value - first.value
    at_start = first.value + rise * Span(first.at, common.start).ticks / whole.ticks
    at_end = first.value + rise * Span(first.at, common.end).ticks / whole.ticks
    return max(Decimal(0), (at_start + at_end) / 2 * common.ticks)
