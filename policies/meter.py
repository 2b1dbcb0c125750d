"""What the meter of one EVSE has said since a plug-in: energy through the plug and power now, from whatever it tells.

Registers of any step, power, current x voltage. Findings A8, B10, F9. Live figures in float; money is counted exactly,
in ``policies.metering``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isfinite
from statistics import median

from csms.domain.facts import Reading
from csms.domain.frequent import frequent

JUMP_PERCENT = 10.0
"""A state of charge that moves further than this within a minute is wrong (V2G-33)."""

JITTER_WH = 10.0
QUANTUM_WH = 1_000.0
"""The greatest step of a register: so much may come at once, whenever it last moved."""
PLAUSIBLE = 1.1
LONGEST_GAP = timedelta(minutes=15)
UNRATED_W = 400_000
"""For an EVSE whose rating nobody gave: above every one there is."""
MARKS = 8
STALE_INTERVALS = 2.5
SHORTEST_INTERVAL_S = 10.0
DEFAULT_INTERVAL_S = 60.0
CLEAR_W = 250.0
"""A power from a register may be off by this, or by a quarter of itself."""
_RESOLUTIONS_WH = (1000.0, 100.0, 10.0, 1.0, 0.1)
_NEVER = datetime.min.replace(tzinfo=UTC)
_PHASES = ("L1", "L2", "L3")
_NOTHING = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Mark:
    """A register (Wh) or a power (W) at an instant."""

    at: datetime
    value: float


@frequent
class Counter:
    """One direction. ``total_wh``: since counting began. ``moved``: the newest register values that differed, in order;
    ``read_at``: when the register was last read. ``power``: the newest sample, used while there is no register."""

    total_wh: float = 0.0
    moved: tuple[Mark, ...] = ()
    read_at: datetime = _NEVER
    power: Mark | None = None


@frequent
class Told:
    """A state of charge as the station told it, and the counters at that time (Wh)."""

    percent: float
    at: datetime
    import_wh: float
    export_wh: float


@frequent
class Meter:
    """The meter of one EVSE since a plug-in. Begin with ``Meter(max_w=…)`` and give every reading to ``counted``.

    ``max_w``: the EVSE's greatest power. ``recent``: the newest readings, oldest first. ``metered_at``: the newest
    reading that said anything about energy.
    """

    max_w: int = UNRATED_W
    imported: Counter = Counter()
    exported: Counter = Counter()
    told: Told | None = None
    recent: tuple[Reading, ...] = ()
    metered_at: datetime | None = None

    @property
    def added_wh(self) -> float:
        """Import less export since the plug-in, AC side."""
        return self.imported.total_wh - self.exported.total_wh


def counted(meter: Meter, reading: Reading) -> Meter:
    """The meter after one more reading. One older than the newest changes nothing: registers make up for it."""
    if meter.recent and reading.at < meter.recent[-1].at:
        return meter
    power_in, power_out = _powers(reading)
    imported = _count(meter.imported, reading.at, reading.import_wh, power_in, meter.max_w)
    exported = _count(meter.exported, reading.at, reading.export_wh, power_out, meter.max_w)
    says = (reading.import_wh, reading.export_wh, power_in, power_out)
    return Meter(
        max_w=meter.max_w,
        imported=imported,
        exported=exported,
        told=_told(meter.told, reading.soc_percent, reading.at, imported, exported),
        recent=(*meter.recent[1 - MARKS :], reading),
        metered_at=meter.metered_at if says == _NOTHING else reading.at,
    )


def count_all(readings: Iterable[Reading], max_w: int = UNRATED_W) -> Meter:
    """The meter after readings in the order they came: what a restart begins with."""
    meter = Meter(max_w=max_w)
    for reading in readings:
        meter = counted(meter, reading)
    return meter


def told_soc(meter: Meter, percent: float, at: datetime) -> Meter:
    """The meter after a state of charge was told by the vehicle's needs; the impossible is dropped."""
    return replace(meter, told=_told(meter.told, percent, at, meter.imported, meter.exported))


def _told(
    before: Told | None, percent: float | None, at: datetime, imported: Counter, exported: Counter
) -> Told | None:
    """What is known of the state of charge after a reading; the impossible is dropped."""
    if percent is None or not 0 < percent <= 100 or (before is not None and at < before.at):
        return before
    if before is not None and abs(percent - before.percent) > JUMP_PERCENT and at - before.at <= timedelta(minutes=1):
        return before
    return Told(percent=percent, at=at, import_wh=imported.total_wh, export_wh=exported.total_wh)


def _count(counter: Counter, at: datetime, register: float | None, power: float | None, max_w: int) -> Counter:
    if register is not None and isfinite(register):
        return _by_register(counter, Mark(at, register), max_w)
    if power is None or not isfinite(power) or counter.moved:
        return counter
    last, moved_wh = counter.power, 0.0
    if last is not None and at - last.at <= LONGEST_GAP:
        moved_wh = (last.value + power) / 2 * hours(at - last.at)
    total_wh = counter.total_wh + min(moved_wh, _most_wh(at, last, max_w))
    return Counter(total_wh=total_wh, read_at=counter.read_at, power=Mark(at, power))


def _by_register(counter: Counter, mark: Mark, max_w: int) -> Counter:
    if not counter.moved:
        return _read(counter, counter.total_wh, (mark,), mark.at)
    last = counter.moved[-1]
    if mark.at == last.at:  # of two values at one instant the next reading tells which it was (F12)
        return counter
    if last.value - JITTER_WH <= mark.value <= last.value:
        return _read(counter, counter.total_wh, counter.moved, mark.at)
    if mark.value < last.value:  # it began again: across epochs nothing is known to have flowed
        return _read(counter, counter.total_wh, (mark,), mark.at)
    # Judged over the time since it last moved: a coarse register stands still between its steps (A8).
    moved_wh = min(mark.value - last.value, _most_wh(mark.at, last, max_w) + QUANTUM_WH)
    moved = (*counter.moved[1 - MARKS :], mark)
    return _read(counter, counter.total_wh + moved_wh, moved, mark.at)


def _read(before: Counter, total_wh: float, moved: tuple[Mark, ...], at: datetime) -> Counter:
    """``replace`` costs three times as much, and a meter is read twice in most messages."""
    return Counter(total_wh=total_wh, moved=moved, read_at=at, power=before.power)


def _most_wh(at: datetime, last: Mark | None, max_w: int) -> float:
    return 0.0 if last is None else PLAUSIBLE * max_w * hours(at - last.at)


def hours(time: timedelta) -> float:
    return time.total_seconds() / 3600


def _powers(reading: Reading) -> tuple[float | None, float | None]:
    """Power in and out, W: as told, else by current x voltage. None = not told."""
    if reading.power_w is not None:
        return reading.power_import_w, reading.power_export_w
    return current_power_w(reading, "Current.Import"), current_power_w(reading, "Current.Export")


def current_power_w(reading: Reading, measurand: str) -> float | None:
    """Current x voltage, W: over the phases where each is told, else of the one total. B10, F9."""
    extra = reading.extra or {}
    phases = [(_number(extra.get(f"{measurand}.{phase}")), _voltage(reading, phase)) for phase in _PHASES]
    products = [amps * volts for amps, volts in phases if amps is not None and volts is not None]
    if products:
        return sum(products)
    amps = reading.current_a if measurand == "Current.Import" else _number(extra.get(measurand))
    volts = reading.voltage_v if reading.voltage_v is not None else _voltage(reading, "L1")
    return None if amps is None or volts is None else max(amps * volts, 0.0)


def _voltage(reading: Reading, phase: str) -> float | None:
    extra = reading.extra or {}
    told = next((v for key in (phase, f"{phase}-N") if (v := _number(extra.get(f"Voltage.{key}"))) is not None), None)
    return reading.voltage_v if told is None else told


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def power_w(meter: Meter, now: datetime, interval_s: float | None = None) -> float | None:
    """Net power now, + into the vehicle: as told, by current x voltage, or by the registers' slope.

    None when nothing says it, or when the newest sample is older than 2.5 sample intervals (F9). ``interval_s``: the
    interval that was set; None = as the samples come.
    """
    shown = shown_power(meter, interval_s)
    return shown.power_w if shown.until is not None and now <= shown.until else None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a meter shows: net power, W, + into the vehicle; None = nothing says it. ``until``: it is too old then; None
    = it never said anything of energy."""

    power_w: float | None
    until: datetime | None


def shown_power(meter: Meter, interval_s: float | None = None) -> Shown:
    """What the meter's newest sample shows, whatever the time is; ``interval_s``: see ``power_w``."""
    if meter.metered_at is None:
        return Shown(None, None)
    until = meter.metered_at + timedelta(seconds=STALE_INTERVALS * (interval_s or _interval_s(meter.recent)))
    return Shown(_power_w(meter), until)


def power_since(meter: Meter, since: datetime, now: datetime) -> float | None:
    """``power_w`` of what was told since an instant only: a register's slope over a longer time says nothing about a
    setpoint that is newer. None = not known, or too coarse for the time since then."""
    return None if power_w(meter, now) is None else _power_w(meter, since)


def _power_w(meter: Meter, since: datetime = _NEVER) -> float | None:
    """As told; by the registers' slope where nothing is told, or where 0 is told while a register moves."""
    by_power = _told_power_w(meter.recent)
    if by_power is not None and not _is_silent(meter):
        return by_power  # nearly always: the slope, which costs more than all else here, is not asked for
    by_register = _register_power_w(meter, since)
    return by_register if by_power is None or _is_contradicted(meter, by_register) else by_power


def _interval_s(recent: Sequence[Reading]) -> float:
    gaps = [(b.at - a.at).total_seconds() for a, b in pairwise(recent) if b.at > a.at]
    return max(median(gaps), SHORTEST_INTERVAL_S) if gaps else DEFAULT_INTERVAL_S


def _told_power_w(recent: Sequence[Reading]) -> float | None:
    """Of the newest instant; its values may have come in several readings."""
    newest = [_powers(reading) for reading in reversed(recent) if reading.at == recent[-1].at]
    power_in = next((value for value, _ in newest if value is not None), None)
    power_out = next((value for _, value in newest if value is not None), None)
    return None if power_in is None and power_out is None else (power_in or 0.0) - (power_out or 0.0)


def _is_silent(meter: Meter) -> bool:
    """Power 0 in three samples."""
    last = meter.recent[-3:]
    return len(last) == 3 and all(abs((p[0] or 0.0) - (p[1] or 0.0)) < 1.0 for p in map(_powers, reversed(last)))


def _is_contradicted(meter: Meter, by_register: float | None) -> bool:
    """Power 0 in three samples, while a register moved in each: the power is not measured."""
    if by_register is None or abs(by_register) < 2 * CLEAR_W or not _is_silent(meter):
        return False
    return any(_moved_throughout(counter, meter.recent[-3].at) for counter in (meter.imported, meter.exported))


def _moved_throughout(counter: Counter, since: datetime) -> bool:
    return len([mark for mark in counter.moved if mark.at >= since]) >= 3


def _register_power_w(meter: Meter, since: datetime = _NEVER) -> float | None:
    counters = [counter for counter in (meter.imported, meter.exported) if counter.moved]
    powers = [_slope_w(_from(counter, since), _resolution_wh(counter)) for counter in counters]
    known = [power for power in powers if power is not None]
    if not known or len(known) < len(powers):
        return None
    return known[0] - (known[1] if len(known) > 1 else 0.0) if meter.imported.moved else -known[0]


def _from(counter: Counter, since: datetime) -> Counter:
    """The moves since an instant; without any it stands still since then, or since its only move."""
    last = counter.moved[-1]
    moved = tuple(mark for mark in counter.moved if mark.at >= since) or (Mark(max(since, last.at), last.value),)
    return replace(counter, moved=moved)


def _resolution_wh(counter: Counter) -> float:
    return next((r for r in _RESOLUTIONS_WH if all(_divides(r, m.value) for m in counter.moved)), 0.01)


def _slope_w(counter: Counter, resolution: float) -> float | None:
    """Power by a register: between moves, and no more than its next step allows since the last one. None = too coarse
    for the time it was watched."""
    first, last = counter.moved[0], counter.moved[-1]
    still_h = hours(counter.read_at - last.at)
    if len(counter.moved) == 1:
        return 0.0 if still_h > 0 and resolution / still_h <= CLEAR_W else None
    start = next(m for m in reversed(counter.moved[:-1]) if last.value - m.value >= 10 * resolution or m is first)
    watched_h = hours(last.at - start.at)
    if watched_h <= 0:
        return None
    power = (last.value - start.value) / watched_h
    if still_h > 0:
        power = min(power, resolution / still_h)
    return power if resolution / max(watched_h, still_h) <= max(CLEAR_W, power / 4) else None


def _divides(resolution: float, value: float) -> bool:
    steps = value / resolution
    return abs(steps - round(steps)) < 1e-6
