"""A traction battery seen from the AC side, as pure functions.

Charging stores ``power x charge_efficiency``; discharging takes ``power / discharge_efficiency`` out of the cells.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Battery:
    """Energy in the cells, Wh. The battery itself refuses to leave ``min_soc``..``max_soc`` (fractions of capacity).

    From ``taper_soc`` on, the power it takes falls linearly to ``taper_floor`` of the rating at ``max_soc``.
    """

    capacity_wh: float
    energy_wh: float
    min_soc: float = 0.05
    max_soc: float = 1.0
    charge_efficiency: float = 0.94
    discharge_efficiency: float = 0.94
    taper_soc: float = 0.8
    taper_floor: float = 0.1

    def __post_init__(self) -> None:
        if self.capacity_wh <= 0 or not 0 <= self.energy_wh <= self.capacity_wh:
            raise ValueError("battery: energy_wh must lie between 0 and capacity_wh, and capacity_wh above 0")

    @property
    def soc(self) -> float:
        """State of charge, 0..1."""
        return self.energy_wh / self.capacity_wh


def taper(battery: Battery) -> float:
    """The part of its rated charging power that the battery takes now, 0..1."""
    if battery.soc >= battery.max_soc:
        return 0.0
    if battery.soc <= battery.taper_soc or battery.max_soc <= battery.taper_soc:
        return 1.0
    progress = (battery.soc - battery.taper_soc) / (battery.max_soc - battery.taper_soc)
    return 1.0 - progress * (1.0 - battery.taper_floor)


def exchange(battery: Battery, power_w: float, seconds: float) -> tuple[Battery, float]:
    """The battery after ``seconds`` at an AC power, and the mean AC power, W, that its bounds allowed."""
    if power_w >= 0:
        return _charge(battery, power_w, seconds)
    return _discharge(battery, -power_w, seconds)


def _charge(battery: Battery, power_w: float, seconds: float) -> tuple[Battery, float]:
    room_wh = max(0.0, battery.max_soc * battery.capacity_wh - battery.energy_wh)
    stored_wh = min(power_w * seconds / 3600 * battery.charge_efficiency, room_wh)
    after = replace(battery, energy_wh=min(battery.capacity_wh, battery.energy_wh + stored_wh))
    return after, _mean_w(stored_wh / battery.charge_efficiency, seconds)


def _discharge(battery: Battery, power_w: float, seconds: float) -> tuple[Battery, float]:
    spare_wh = max(0.0, battery.energy_wh - battery.min_soc * battery.capacity_wh)
    taken_wh = min(power_w * seconds / 3600 / battery.discharge_efficiency, spare_wh)
    after = replace(battery, energy_wh=max(0.0, battery.energy_wh - taken_wh))
    return after, -_mean_w(taken_wh * battery.discharge_efficiency, seconds)


def _mean_w(energy_wh: float, seconds: float) -> float:
    return energy_wh * 3600 / seconds if seconds > 0 else 0.0
