"""One EVSE: ratings, ramps, dead band and two energy registers; pure.

Registers are in Wh, count import (into the vehicle) and export apart, and never fall.
"""

from dataclasses import dataclass, replace

from simulators.ev import Ev, corridor_w, drive_power


@dataclass(frozen=True, slots=True)
class EvseSpec:
    """Ratings at the AC connection point. ``max_discharge_w`` is a magnitude.

    AC pilots cannot signal less than ``min_current_a`` per phase (IEC 61851): less becomes a pause.
    """

    max_charge_w: float = 7360.0
    max_discharge_w: float = 0.0
    phases: int = 1
    voltage_v: float = 230.0
    min_current_a: float = 6.0
    min_discharge_w: float = 200.0
    ramp_w_per_s: float = 2000.0

    @property
    def min_charge_w(self) -> float:
        return self.min_current_a * self.voltage_v * self.phases


@dataclass(frozen=True, slots=True)
class Meter:
    """Power of this instant (signed) and the two registers."""

    power_w: float = 0.0
    import_wh: float = 0.0
    export_wh: float = 0.0


def reachable_w(spec: EvseSpec, wanted_w: float) -> float:
    """A wanted power inside the ratings and outside the dead band."""
    power = min(max(wanted_w, -spec.max_discharge_w), spec.max_charge_w)
    if 0 < power < spec.min_charge_w - 1e-6 or -spec.min_discharge_w < power < 0:
        return 0.0
    return power


def step(spec: EvseSpec, meter: Meter, ev: Ev | None, wanted_w: float, seconds: float) -> tuple[Meter, Ev | None]:
    """EVSE and vehicle after ``seconds`` (keep it <= 1: the power is held over the step)."""
    if ev is None:
        return replace(meter, power_w=0.0), None
    offered = _ramped(spec, meter.power_w, _agreed(ev, reachable_w(spec, wanted_w)), seconds)
    after, taken_w = drive_power(ev, offered, seconds)
    return _counted(meter, taken_w, seconds), after


def _agreed(ev: Ev, wanted_w: float) -> float:
    low, high = corridor_w(ev)
    return min(max(wanted_w, low), high)


def _ramped(spec: EvseSpec, from_w: float, to_w: float, seconds: float) -> float:
    stride = spec.ramp_w_per_s * seconds
    return min(max(to_w, from_w - stride), from_w + stride)


def _counted(meter: Meter, power_w: float, seconds: float) -> Meter:
    energy_wh = power_w * seconds / 3600
    return Meter(power_w, meter.import_wh + max(energy_wh, 0.0), meter.export_wh + max(-energy_wh, 0.0))
