"""A vehicle: a battery behind an on-board charger, pure."""

from dataclasses import dataclass, replace
from datetime import datetime

from simulators.battery import Battery, exchange, taper


@dataclass(frozen=True, slots=True)
class Ev:
    """Ratings are AC magnitudes in W. ``required_soc`` (0..1) by ``departs_at`` is told in NotifyEVChargingNeeds."""

    battery: Battery
    max_charge_w: float = 7400.0
    max_discharge_w: float = 0.0
    departs_at: datetime | None = None
    required_soc: float = 0.8
    evcc_id: str = ""

    @property
    def soc(self) -> float:
        return self.battery.soc


def corridor_w(ev: Ev) -> tuple[float, float]:
    """What the vehicle itself would do now: (most discharge as a negative, most charge), W."""
    low = -ev.max_discharge_w if ev.battery.soc > ev.battery.min_soc else 0.0
    return low, ev.max_charge_w * taper(ev.battery)


def drive_power(ev: Ev, power_w: float, seconds: float) -> tuple[Ev, float]:
    """The vehicle after ``seconds`` at the power it was offered, and the power it really took, W."""
    low, high = corridor_w(ev)
    battery, taken_w = exchange(ev.battery, min(max(power_w, low), high), seconds)
    return replace(ev, battery=battery), taken_w
