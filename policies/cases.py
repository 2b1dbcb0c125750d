"""One EVSE of one decision, with the figures its hard rules are about. Written apart from the corridor, to check it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from csms.domain.decision import Decision, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, SiteId
from csms.domain.snapshot import EvseState, Site, Snapshot, Use
from policies.corridor import MARGIN_H, MARGIN_SHARE, UNKNOWN_EFFICIENCY

_IN_USE = frozenset({Use.HELD, Use.PLAIN, Use.RESOURCE})


@dataclass(frozen=True, slots=True)
class Case:
    """One EVSE and its setpoint. ``event``: the one it names, when that is in force there."""

    evse: EvseState
    setpoint: Setpoint
    now: datetime
    horizon_h: float
    tariff_per_kwh: Decimal
    event: DrEvent | None

    @property
    def power_w(self) -> int:
        return self.setpoint.setpoint_w

    @property
    def charge_power_w(self) -> int:
        rated = self.evse.ratings.max_charge_w
        return rated if self.evse.battery is None else min(rated, self.evse.battery.max_charge_w)

    @property
    def minimum_w(self) -> int:
        """The least power that is not zero."""
        return min(self.evse.ratings.min_charge_w, self.charge_power_w)

    @property
    def unavoidable_w(self) -> int:
        """Flows whatever is asked, because 0 W would end the transaction."""
        return self.minimum_w if self.evse.use in _IN_USE and not self.evse.can_pause else 0

    @property
    def load_w(self) -> int:
        """What the fuse sees: a station that does not follow takes what it takes."""
        ignores = self.evse.uncontrolled_w is not None and self.evse.use is not Use.IDLE
        return self.evse.uncontrolled_w or 0 if ignores else self.power_w

    @property
    def sure_load_w(self) -> int:
        """What an export limit may count on: feeding in counts in full, charging only as far as it is metered."""
        return min(self.load_w, max(self.evse.observed_w or 0, 0))

    @property
    def inevitable_load_w(self) -> int:
        return self.load_w if self.evse.uncontrolled_w is not None else self.unavoidable_w

    @property
    def lacking_wh(self) -> float:
        """Energy to be bought to reach the required charge; 0 when it is reached. Unknown = as if empty."""
        battery = self.evse.battery
        if self.evse.use is not Use.RESOURCE:
            return 0.0
        if battery is None:
            return self.evse.terms.required_wh / UNKNOWN_EFFICIENCY
        return max(0.0, (self.evse.terms.required_wh - battery.energy_wh) / battery.charge_efficiency)

    @property
    def required_w(self) -> float:
        """Power without which the required charge cannot be reached before departure."""
        lacking = self.lacking_wh - self.charge_power_w * self._hours_afterwards
        if lacking <= 0:
            return 0.0
        power = max(min(lacking / self.horizon_h, self.charge_power_w), self.minimum_w)
        room_w = self.room_wh / self.horizon_h
        return min(power, room_w) if room_w >= self.minimum_w else 0.0

    @property
    def room_wh(self) -> float:
        """What the battery can still take, at the AC side; without a battery report, without end."""
        battery = self.evse.battery
        if battery is None:
            return float("inf")
        return max(0.0, (battery.capacity_wh - battery.energy_wh) / battery.charge_efficiency)

    @property
    def _hours_afterwards(self) -> float:
        departure = self.evse.terms.departure_at
        if departure is None:
            return 0.0
        left_h = (departure - self.now).total_seconds() / 3600
        return max(0.0, left_h - self.horizon_h - min(MARGIN_H, MARGIN_SHARE * left_h))

    def price_when(self, direction: Direction) -> Decimal:
        """Unit price of a flow: the event's, when one in force moves the vehicle in this direction, else the tariff."""
        if self.event is not None and self.event.direction is direction:
            return self.event.unit_price(self.tariff_per_kwh)
        return self.tariff_per_kwh


def case_of(snapshot: Snapshot, evse: EvseState, setpoint: Setpoint, area: AreaId) -> Case:
    """The case of one EVSE."""
    named = (event for event in snapshot.events if event.id == setpoint.event)
    in_force = (event for event in named if event.is_active(snapshot.now) and event.covers(area))
    return Case(
        evse=evse,
        setpoint=setpoint,
        now=snapshot.now,
        horizon_h=snapshot.horizon_s / 3600,
        tariff_per_kwh=snapshot.prices[area].at(snapshot.now),
        event=next(in_force, None),
    )


def cases_of(snapshot: Snapshot, decision: Decision) -> tuple[Case, ...]:
    """One case per EVSE; the decision has one setpoint per EVSE in the snapshot's order."""
    areas = {site.id: site.area for site in snapshot.sites}
    pairs = zip(snapshot.evses, decision.setpoints, strict=True)
    return tuple(case_of(snapshot, evse, setpoint, areas[evse.site]) for evse, setpoint in pairs)


def chains(sites: Sequence[Site]) -> Mapping[SiteId, tuple[Site, ...]]:
    """Each site with all its parents."""
    by_id = {site.id: site for site in sites}

    def upwards(site: Site) -> tuple[Site, ...]:
        return (site, *upwards(by_id[site.parent])) if site.parent else (site,)

    return {site.id: upwards(site) for site in sites}


def sums(
    cases: Sequence[Case], powers: Sequence[float], above: Mapping[SiteId, tuple[Site, ...]]
) -> dict[SiteId, float]:
    """Power of each site with all below it."""
    totals: dict[SiteId, float] = dict.fromkeys(above, 0)
    for case, power in zip(cases, powers, strict=True):
        for site in above[case.evse.site]:
            totals[site.id] += power
    return totals
