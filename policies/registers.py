"""A register's samples as steps: jitter, epochs, coarse steps, what is plausible. Reference v2g-over-ocpp §4; A8, F3.

Bound: over any time a register is off by one of its steps at most, for steps of up to 1 kWh.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from math import gcd, isfinite

from csms.domain.facts import Reading
from csms.domain.metering import Quality, StoredReading

JITTER_WH = Decimal(10)
"""A smaller drop is the meter's jitter; a greater one means that the register began again: a new epoch."""
LEAST_STEP_WH = Decimal(10)
COARSEST_STEP_WH = Decimal(1000)
"""A register moves by steps between these: by so much one move may be ahead of the energy."""
COARSE_STEPS_WH = (Decimal(1000), Decimal(100))
"""Steps that take longer than a sample interval; their energy flowed since the step before."""
PLAUSIBLE = Decimal("1.1")
LONGEST_GAP = timedelta(minutes=15)
"""Between readings further apart, energy at an edge is estimated and no longer interpolated."""
STILL_FOR = timedelta(hours=1)
MOVES_TO_TELL = 3

_BETWEEN_TRANSACTIONS = ("Transaction.End", "Transaction.Begin")
_TICK = timedelta(microseconds=1)
TICKS_PER_HOUR = timedelta(hours=1) // _TICK


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
class Step:
    """What a register did between two samples in turn. ``moved_wh`` is what is believed of it."""

    first: Sample
    second: Sample
    moved_wh: Decimal
    quality: Quality

    @property
    def span(self) -> Span:
        return Span(self.first.at, self.second.at)

    @property
    def is_still(self) -> bool:
        return self.first.value == self.second.value

    @property
    def readings(self) -> frozenset[int]:
        return frozenset({self.first.reading.id, self.second.reading.id})

    def overlaps(self, window: Span) -> bool:
        common = self.span.within(window)
        return common.start < common.end


def samples_of(readings: Sequence[StoredReading], of: Callable[[Reading], float | None]) -> list[Sample]:
    """One quantity's samples in order of time, each (time, value) once."""
    found: dict[tuple[datetime, Decimal], Sample] = {}
    for stored in sorted(readings, key=lambda stored: stored.id):
        value = of(stored.reading)
        if value is not None and isfinite(value):
            sample = Sample(stored.reading.at, Decimal(repr(value)), stored)
            found.setdefault((sample.at, sample.value), sample)
    return sorted(found.values(), key=lambda sample: (sample.at, sample.value))


def consistent(samples: Sequence[Sample], max_w: int) -> list[Sample]:
    """Without those registers of a transaction's start or stop that the meter's samples contradict: some stations count
    them from 0, beside samples that never begin again (F3)."""
    return [
        sample for n, sample in enumerate(samples) if not sample.reading.is_of_transaction or _fits(samples, n, max_w)
    ]


def _fits(samples: Sequence[Sample], n: int, max_w: int) -> bool:
    is_begin = samples[n].reading.reading.context == "Transaction.Begin"
    others = samples[n + 1 :] if is_begin else samples[:n][::-1]
    neighbour = next((other for other in others if not other.reading.is_of_transaction), None)
    if neighbour is None:
        return True
    first, second = (samples[n], neighbour) if is_begin else (neighbour, samples[n])
    return -JITTER_WH <= second.value - first.value <= _most_wh(first.at, second.at, max_w) + COARSEST_STEP_WH


def _most_wh(start: datetime, end: datetime, max_w: int) -> Decimal:
    return PLAUSIBLE * max_w * Span(start, end).ticks / TICKS_PER_HOUR


def monotone(samples: Sequence[Sample]) -> list[Sample]:
    """The register without jitter: a small drop stays at the value before. Great drops remain: new epochs. Of several
    values at one instant the least that goes on from the value before is taken (F12)."""
    result: list[Sample] = []
    for _, group in groupby(samples, key=lambda sample: sample.at):
        alike = list(group)
        highest = result[-1].value if result else alike[-1].value
        sample = next((each for each in alike if each.value >= highest - JITTER_WH), alike[-1])
        is_jitter = sample.value < highest
        jitters = is_jitter and sample.value >= highest - JITTER_WH
        result.append(Sample(sample.at, highest, sample.reading) if jitters else sample)
    return result


def steps_of(registers: Sequence[Sample], powers: Sequence[Sample], max_w: int) -> list[Step]:
    """What the register moved from sample to sample. A move is believed as far as the EVSE can have done it in the time
    since the register last moved, and one step of the register more; what is left of that step counts for the next."""
    step_wh = _step_wh(registers)
    found: list[Step] = []
    room_wh = step_wh
    for first, second in pairwise(registers):
        room_wh += _most_wh(first.at, second.at, max_w)
        found.append(_step(first, second, room_wh, powers))
        if second.value < first.value:
            room_wh = step_wh
        elif second.value > first.value:
            room_wh = min(room_wh - found[-1].moved_wh, step_wh)
    return found


def _step_wh(registers: Sequence[Sample]) -> Decimal:
    """The register's step, as far as its moves tell: what divides them all, in 10 Wh to 1 kWh."""
    moves = [int((b.value - a.value) * 1000) for a, b in pairwise(registers) if b.value > a.value]
    return min(max(Decimal(gcd(*moves)) / 1000, LEAST_STEP_WH), COARSEST_STEP_WH)


def _step(first: Sample, second: Sample, room_wh: Decimal, powers: Sequence[Sample]) -> Step:
    """Across epochs nothing is known to have flowed (and nothing has between two transactions); a move that is not
    plausible is cut to what the power says, at most to what the EVSE can do."""
    moved_wh = second.value - first.value
    if moved_wh < 0:
        contexts = (first.reading.reading.context, second.reading.reading.context)
        is_pause = contexts == _BETWEEN_TRANSACTIONS
        return Step(first, second, Decimal(0), Quality.MEASURED if is_pause else Quality.ESTIMATED)
    if moved_wh <= room_wh:
        return Step(first, second, moved_wh, Quality.MEASURED)
    by_power = integral(powers, Span(first.at, second.at))
    believed = min(room_wh, moved_wh) if by_power is None else min(room_wh, moved_wh, by_power)
    return Step(first, second, believed, Quality.ESTIMATED)


def spread(steps: Sequence[Step], whole: Span) -> list[Step]:
    """A coarse register stands still while energy flows: one step of it is spread over the time since the step before,
    no more than an hour, where all of that lies in the whole."""
    coarse_wh = _coarse_wh(steps)
    if coarse_wh is None:
        return list(steps)
    found: list[Step] = []
    still: list[Step] = []
    for step in steps:
        if step.is_still and step.first.at >= whole.start:
            still.append(step)
            continue
        if still and step.moved_wh <= coarse_wh and step.second.at <= whole.end:
            start = next(each for each in still if step.second.at - each.first.at <= STILL_FOR or each is still[-1])
            found += [each for each in still if each.first.at < start.first.at]
            found.append(Step(start.first, step.second, step.moved_wh, step.quality))
        else:
            found += [*still, step]
        still = []
    return [*found, *still]


def _coarse_wh(steps: Sequence[Step]) -> Decimal | None:
    """The step of a coarse register; None for a fine one, and until three moves have shown it."""
    moves = [step.moved_wh for step in steps if step.moved_wh > 0]
    if len(moves) < MOVES_TO_TELL:
        return None
    return next((coarse for coarse in COARSE_STEPS_WH if all(move % coarse == 0 for move in moves)), None)


def integral(powers: Sequence[Sample], span: Span) -> Decimal | None:
    """Wh under the power between its samples (trapezoids, gaps of 15 min at most), None when none lies in the span."""
    pieces = [_trapezoid(pair, span) for pair in pairwise(powers)]
    known = [piece for piece in pieces if piece is not None]
    return sum(known, Decimal(0)) / TICKS_PER_HOUR if known else None


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
