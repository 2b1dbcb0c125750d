"""What a station tells of the truth: registers in steps, a rounded state of charge, power or current or neither."""

from datetime import datetime
from math import floor

from csms.domain.facts import Reading
from simulators.twin.cases import PowerTold, Visit
from simulators.twin.world import World

NOISE_A = 0.1
"""Currents are told in whole tenths of an ampere."""


def read(visit: Visit, world: World, place: int, at: datetime, context: str = "Sample.Periodic") -> Reading:
    """One MeterValue of the visit at ``place`` of the world."""
    meter, power_w = visit.meter, float(world.power_w[place])
    tells_power = meter.power is PowerTold.POWER
    tells_current = meter.power is PowerTold.CURRENT
    soc = 100 * float(world.energy_wh[place]) / visit.car.capacity_wh
    return Reading(
        at=at,
        context=context,
        import_wh=register(visit, float(world.import_wh[place])),
        export_wh=register(visit, float(world.export_wh[place])) if visit.can_discharge else None,
        power_import_w=round(max(power_w, 0.0), 1) if tells_power else None,
        power_export_w=round(max(-power_w, 0.0), 1) if tells_power and visit.can_discharge else None,
        current_a=_current_a(visit, power_w) if tells_current else None,
        voltage_v=float(visit.ratings.voltage_v) if tells_current else None,
        soc_percent=float(round(soc)) if meter.tells_soc else None,
    )


def register(visit: Visit, energy_wh: float) -> float:
    """The register shows whole steps only."""
    return floor((visit.meter.offset_wh + energy_wh) / visit.meter.step_wh + 1e-9) * visit.meter.step_wh


def _current_a(visit: Visit, power_w: float) -> float:
    amperes = max(power_w, 0.0) / (visit.ratings.voltage_v * visit.ratings.phases)
    return round(amperes / NOISE_A) * NOISE_A
