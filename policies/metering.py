"""Energy through an EVSE's registers in a window, import and export apart. Reference v2g-over-ocpp §4, V2G-36, V2G-37.

Exact in Decimal. Late, lost, repeated and shuffled readings and registers that start again give the same result or a
lower quality, never more energy than the registers moved. Bound: over any time a register is off by one of its steps
at most, for steps of up to 1 kWh (A8).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from csms.domain.facts import Reading
from csms.domain.ids import EvseRef
from csms.domain.metering import Quality, StoredReading, WindowEnergy
from policies.meter import current_power_w
from policies.registers import (
    LONGEST_GAP,
    PLAUSIBLE,
    TICKS_PER_HOUR,
    Sample,
    Span,
    Step,
    consistent,
    integral,
    monotone,
    samples_of,
    spread,
    steps_of,
)

EARLIEST_YEAR = 2000
"""Readings from before come from a station without a clock; they cannot be placed."""

_WORST = (Quality.MEASURED, Quality.INTERPOLATED, Quality.ESTIMATED, Quality.MISSING)


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


def _power_of(told: Callable[[Reading], float | None], measurand: str) -> Callable[[Reading], float | None]:
    """The power told, else current x voltage where no power is told at all (F9, B10)."""
    return lambda reading: told(reading) if reading.power_w is not None else current_power_w(reading, measurand)


IMPORT = Direction(lambda reading: reading.import_wh, _power_of(lambda r: r.power_import_w, "Current.Import"))
EXPORT = Direction(lambda reading: reading.export_wh, _power_of(lambda r: r.power_export_w, "Current.Export"))


def energy_in_window(
    evse: EvseRef,
    readings: Sequence[StoredReading],
    start: datetime,
    end: datetime,
    max_w: int,
    *,
    whole: Span | None = None,
) -> WindowEnergy:
    """Energy in [start, end). ``readings``: those inside, with the last before and the first after, in any order.

    ``max_w``: the EVSE's greatest power in either direction, for the check of plausibility.
    ``whole``: with it a coarse register's steps are spread over the time since the step before, within this. All parts
    of one whole are then to be asked with it.
    """
    window = Span(start, end)
    placed = [reading for reading in readings if reading.reading.at.year >= EARLIEST_YEAR]
    parts = [_part(placed, direction, window, max_w, whole) for direction in (IMPORT, EXPORT)]
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


def _part(
    readings: Sequence[StoredReading], direction: Direction, window: Span, max_w: int, whole: Span | None
) -> Part | None:
    """From the register where there is one, else from the power; None when neither says anything about the window."""
    powers = samples_of(readings, direction.power)
    registers = monotone(consistent(samples_of(readings, direction.register), max_w))
    steps = steps_of(registers, powers, max_w)
    covered = [step for step in steps if step.overlaps(window)]
    if covered:
        believed = steps if whole is None else spread(steps, whole)
        parts = [_step_part(step, powers, window) for step in believed if step.overlaps(window)]
        return _sum([*parts, *_uncovered(covered, window)], parts)
    return _power_part(powers, window, max_w)


def _step_part(step: Step, powers: Sequence[Sample], window: Span) -> Part:
    """The part of the energy between two register readings that lies in the window."""
    span, common = step.span, step.span.within(window)
    if common == span or step.moved_wh == 0:
        return Part(step.moved_wh, step.quality, step.readings)
    if span.end - span.start <= LONGEST_GAP:
        quality = worst((step.quality, Quality.INTERPOLATED))
        return Part(step.moved_wh * common.ticks / span.ticks, quality, step.readings)
    return Part(step.moved_wh * _shape(powers, common, span), Quality.ESTIMATED, step.readings)


def _shape(powers: Sequence[Sample], common: Span, span: Span) -> Decimal:
    """The common part's share of the energy of a long gap: by the power, evenly where the power says nothing."""
    whole, part = integral(powers, span), integral(powers, common)
    if whole is None or part is None or whole <= 0:
        return Decimal(common.ticks) / span.ticks
    return min(part / whole, Decimal(1))


def _uncovered(steps: Sequence[Step], window: Span) -> list[Part]:
    """Nothing is known before the first and after the last reading, unless a transaction began or ended there."""
    first, last = steps[0].first, steps[-1].second
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
    return Part(min(energy, PLAUSIBLE * max_w * window.ticks / TICKS_PER_HOUR), Quality.ESTIMATED, inside)
