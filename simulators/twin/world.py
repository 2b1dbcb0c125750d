"""Physics: what really is in the batteries and what really went through the plugs. Power in W, + into the vehicle.

One number per visit in each array. It knows nothing of meters, setpoints' reasons or the server.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csms.domain.ids import SiteId
from csms.domain.snapshot import Site
from simulators.twin.cases import Visit

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

STEP_S = 5
"""Power is held over one step; energy is the sum over the steps, exactly."""
KEPT_EVERY_S = 60
LEAST_DISCHARGE_W = 200.0
"""An inverter does nothing below this."""
OVERLOAD = 1.01
"""A fuse carries this much of its rating for ever; beyond it is an overload."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Nodes of the site tree: which visits are ``below`` each (nodes x visits), and what it may carry."""

    below: Numbers
    import_w: Numbers
    export_w: Numbers


@dataclass(slots=True, kw_only=True)
class Overload:
    """How far and how long fuses were overloaded."""

    worst_w: float = 0.0
    seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """What was, every minute: rows of time, one column per visit, Wh through the plug and in the battery."""

    import_wh: Numbers
    export_wh: Numbers
    energy_wh: Numbers

    def net_wh(self, from_s: int, to_s: int) -> Numbers:
        """Import less export of each visit in [from, to); both are whole minutes."""
        return self.imported_wh(from_s, to_s) - self.exported_wh(from_s, to_s)

    def imported_wh(self, from_s: int, to_s: int) -> Numbers:
        return self._between(self.import_wh, from_s, to_s)

    def exported_wh(self, from_s: int, to_s: int) -> Numbers:
        return self._between(self.export_wh, from_s, to_s)

    def _between(self, kept: Numbers, from_s: int, to_s: int) -> Numbers:
        found: Numbers = kept[self._row(to_s)] - kept[self._row(from_s)]
        return found

    def _row(self, at_s: int) -> int:
        return min(max(at_s, 0) // KEPT_EVERY_S, len(self.import_wh) - 1)


class World:
    """All vehicles and plugs, from the start on."""

    def __init__(self, visits: Sequence[Visit], sites: Sequence[Site]) -> None:
        def of(read: Callable[[Visit], float]) -> Numbers:
            return np.array([read(visit) for visit in visits], dtype=np.float64)

        self._capacity_wh = of(lambda v: v.car.capacity_wh)
        self._charge_w = of(lambda v: min(v.car.max_charge_w, v.ratings.max_charge_w))
        self._car_charge_w = of(lambda v: v.car.max_charge_w)
        self._discharge_w = of(
            lambda v: min(v.car.max_discharge_w, v.ratings.max_discharge_w) if v.can_discharge else 0.0
        )
        self._least_w = of(lambda v: v.ratings.min_charge_w)
        self._in, self._out = of(lambda v: v.car.charge_efficiency), of(lambda v: v.car.discharge_efficiency)
        self._taper_from, self._taper_to = of(lambda v: v.car.taper_from), of(lambda v: v.car.taper_to)
        self._empty_wh = of(lambda v: v.car.empty_share * v.car.capacity_wh)
        self._limits = limits_of(visits, sites)
        self.overload = Overload()
        self.energy_wh = of(lambda v: v.car.energy_wh)
        self.import_wh = np.zeros(len(visits))
        self.export_wh = np.zeros(len(visits))
        self.power_w = np.zeros(len(visits))
        self.at_s = 0
        self._kept = [self._now()]

    def step(self, wanted_w: Numbers, flows: Flags) -> None:
        """One step of time. ``wanted_w``: what each EVSE is told; ``flows``: those whose contactor is closed."""
        hours = STEP_S / 3600
        charged = np.minimum(self._charging_w(wanted_w) * hours, self._room_wh()) * flows
        given = np.minimum(self._discharging_w(wanted_w) * hours, self._spare_wh()) * flows
        self.energy_wh = self.energy_wh + charged * self._in - given / self._out
        self.import_wh = self.import_wh + charged
        self.export_wh = self.export_wh + given
        self.power_w = (charged - given) / hours
        self.at_s += STEP_S
        self._note_overload()
        if self.at_s % KEPT_EVERY_S == 0:
            self._kept.append(self._now())

    def _charging_w(self, wanted_w: Numbers) -> Numbers:
        """The pilot signals nothing below its least current; the vehicle takes less when it is almost full."""
        offered = np.where(wanted_w >= self._least_w, np.minimum(wanted_w, self._charge_w), 0.0)
        share = np.clip((self.energy_wh / self._capacity_wh - self._taper_from) / (1 - self._taper_from), 0.0, 1.0)
        taken: Numbers = np.minimum(offered, self._car_charge_w * (1 - share * (1 - self._taper_to)))
        return taken

    def _discharging_w(self, wanted_w: Numbers) -> Numbers:
        given: Numbers = np.where(wanted_w <= -LEAST_DISCHARGE_W, np.minimum(-wanted_w, self._discharge_w), 0.0)
        return given

    def _room_wh(self) -> Numbers:
        room: Numbers = np.maximum(self._capacity_wh - self.energy_wh, 0.0) / self._in
        return room

    def _spare_wh(self) -> Numbers:
        spare: Numbers = np.maximum(self.energy_wh - self._empty_wh, 0.0) * self._out
        return spare

    def _note_overload(self) -> None:
        load = self._limits.below @ self.power_w
        beyond = np.maximum(load - self._limits.import_w * OVERLOAD, -load - self._limits.export_w * OVERLOAD)
        worst = float(beyond.max(initial=0.0))
        if worst > 0:
            self.overload.worst_w = max(self.overload.worst_w, worst)
            self.overload.seconds += STEP_S

    def _now(self) -> tuple[Numbers, Numbers, Numbers]:
        return self.import_wh, self.export_wh, self.energy_wh

    @property
    def trail(self) -> Trail:
        columns = [np.array(kept) for kept in zip(*self._kept, strict=True)]
        return Trail(import_wh=columns[0], export_wh=columns[1], energy_wh=columns[2])


def limits_of(visits: Sequence[Visit], sites: Sequence[Site]) -> Limits:
    """The tree of fuses over the visits."""
    parents = {site.id: site.parent for site in sites}
    paths = [path_of(visit.site, parents) for visit in visits]
    below = np.array([[float(site.id in path) for path in paths] for site in sites])
    export_w = np.array([float(site.export_limit_w) for site in sites])
    return Limits(below, np.array([float(site.import_limit_w) for site in sites]), export_w)


def path_of(site: SiteId, parents: dict[SiteId, SiteId | None]) -> frozenset[SiteId]:
    """A site and all above it."""
    path: list[SiteId] = []
    node: SiteId | None = site
    while node is not None:
        path.append(node)
        node = parents[node]
    return frozenset(path)
