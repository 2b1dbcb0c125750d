"""One EVSE of one decision, with the figures its hard rules are about.

Written apart from what decides: nothing here comes from the corridor, the prices or the allocation, so that no error is
made twice. Margins are preferences of the plan; the rules state the requirement itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from csms.domain.decision import Decision, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, SiteId
from csms.domain.snapshot import EvseState, Site, Snapshot, Use

_IN_USE = frozenset({Use.HELD, Use.PLAIN, Use.RESOURCE})
_CHARGEABLE = frozenset({Use.PLAIN, Use.NOTHING, Use.RESOURCE})
NOISE_WH = 1e-6
"""Of floats: no energy."""
EMPTY_EFFICIENCY = 0.9
"""A battery of which nothing is known counts as empty at the plug-in; what was metered is in it, less a tenth."""


@dataclass(frozen=True, slots=True)
class Case:
    """One EVSE and its setpoint. ``event``: the one it names first, when that is in force there; ``events``: by id, all
    that it names and that are in force there."""

    evse: EvseState
    setpoint: Setpoint
    now: datetime
    horizon_h: float
    tariff_per_kwh: Decimal
    event: DrEvent | None
    events: Mapping[DrEventId, DrEvent] = field(default_factory=dict)

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
    def follows(self) -> bool:
        """What it is told reaches it, and is kept."""
        return self.evse.uncontrolled_w is None and self.evse.reserved_w <= 0

    @property
    def reserved_w(self) -> int:
        return max(self.evse.reserved_w, self.evse.uncontrolled_w or 0, 0)

    @property
    def drawn_w(self) -> int:
        """What an import limit counts: charging in full, and never relief by a vehicle that feeds in."""
        return max(self.power_w, 0) if self.follows else self.reserved_w

    @property
    def sure_load_w(self) -> int:
        """What an export limit may count on: feeding in counts in full, charging only as far as it is metered."""
        fed_w = self.power_w if self.follows else self.evse.uncontrolled_w or 0
        return min(fed_w, max(self.evse.observed_w or 0, 0))

    @property
    def inevitable_drawn_w(self) -> int:
        return self.unavoidable_w if self.follows else self.reserved_w

    @property
    def inevitable_fed_w(self) -> int:
        return 0 if self.follows else min(self.evse.uncontrolled_w or 0, 0)

    @property
    def content_wh(self) -> float:
        """The least that is in the battery."""
        if self.evse.battery is None:
            return max(0.0, self.evse.added_wh) * EMPTY_EFFICIENCY
        return self.evse.battery.energy_wh

    @property
    def lacking_wh(self) -> float:
        """Energy to be bought to reach the required charge, whatever the permission; 0 when it is reached (P7)."""
        if self.evse.use not in _CHARGEABLE:
            return 0.0
        efficiency = self.evse.battery.charge_efficiency if self.evse.battery else EMPTY_EFFICIENCY
        content = (self.evse.terms.required_wh - self.content_wh) / efficiency
        to_add = self.evse.terms.required_added_wh
        return max(0.0, content, to_add - self.evse.added_wh if to_add > 0 else 0.0)

    @property
    def due_w(self) -> float:
        """Power without which the required charge cannot be reached before departure."""
        lacking = self.lacking_wh - self.charge_power_w * max(0.0, self.stay_h - self.horizon_h)
        if lacking <= NOISE_WH:
            return 0.0
        power = max(min(lacking / self.horizon_h, self.charge_power_w), self.minimum_w)
        room_w = self.room_wh / self.horizon_h
        return min(power, room_w) if room_w >= self.minimum_w else 0.0

    @property
    def required_w(self) -> float:
        """The same, as far as the vehicle was not seen to take less: that much it can claim from others."""
        if self.evse.drawn_w is None:
            return self.due_w
        return min(self.due_w, max(self.evse.drawn_w, self.minimum_w, 1))

    @property
    def room_wh(self) -> float:
        """What the battery can still take, at the AC side; without end where none of it is told."""
        battery = self.evse.battery
        if battery is None or not battery.is_told:
            return float("inf")
        return max(0.0, (battery.capacity_wh - battery.energy_wh) / battery.charge_efficiency)

    @property
    def is_bound(self) -> bool:
        """The user's terms leave nothing now but the required charge."""
        terms = self.evse.terms
        is_dear = terms.max_buy_per_kwh is not None and self.tariff_per_kwh > terms.max_buy_per_kwh
        return not terms.charge or (is_dear and not terms.entrust)

    @property
    def plain_w(self) -> int:
        """What plain charging comes to while nothing is in its way; beyond a required charge."""
        if self.is_bound:
            return 0
        power = int(min(self.charge_power_w, self.room_wh / self.horizon_h))
        return power if power >= self.minimum_w else 0

    @property
    def stay_h(self) -> float:
        """Hours until departure; 0 where none is known: then a required charge is due at once."""
        departure = self.evse.terms.departure_at
        return max(0.0, (departure - self.now).total_seconds() / 3600) if departure else 0.0

    @property
    def is_raised(self) -> bool:
        """An upward event has asked for this charging."""
        return self.event is not None and self.event.direction is Direction.UP

    @property
    def sale_price(self) -> Decimal:
        """What a discharged kWh is paid: the price frozen into the setpoint, else the tariff; where events share the
        setpoint, the least that any of the last watts is paid, as the vehicle stops charging first."""
        is_upward = self.event is not None and self.event.direction is Direction.UP
        if self.setpoint.parts and not is_upward:
            return min(self._prices_from_the_end(max(0, -self.power_w)), default=self.tariff_per_kwh)
        frozen = self.setpoint.price_per_kwh
        return self.tariff_per_kwh if frozen is None or is_upward else frozen

    @property
    def purchase_price(self) -> Decimal:
        """What a charged kWh costs: an upward event's frozen price, else the tariff; where events share the setpoint,
        the dearest watt beyond what is still required."""
        is_upward = self.event is not None and self.event.direction is Direction.UP
        if self.setpoint.parts and is_upward:
            return self._dearest_beyond_required()
        frozen = self.setpoint.price_per_kwh
        return frozen if is_upward and frozen is not None else self.tariff_per_kwh

    def _prices_from_the_end(self, power_w: int) -> list[Decimal]:
        """Prices of the parts that hold the last so many watts."""
        found: list[Decimal] = []
        for part in reversed(self.setpoint.parts):
            if power_w > 0:
                found.append(part.price_per_kwh)
            power_w -= part.power_w
        return found

    def _dearest_beyond_required(self) -> Decimal:
        required_w = self.lacking_wh / self.horizon_h
        dearest_first = sorted(self.setpoint.parts, key=lambda part: part.price_per_kwh, reverse=True)
        for part in dearest_first:
            required_w -= part.power_w
            if required_w < -1:
                return part.price_per_kwh
        return dearest_first[-1].price_per_kwh


def case_of(snapshot: Snapshot, evse: EvseState, setpoint: Setpoint, area: AreaId) -> Case:
    """The case of one EVSE."""
    names = setpoint.events
    named = (event for event in snapshot.events if event.id in names) if names else iter(())
    in_force = {event.id: event for event in named if event.is_active(snapshot.now) and event.covers(area)}
    return Case(
        evse=evse,
        setpoint=setpoint,
        now=snapshot.now,
        horizon_h=snapshot.horizon_s / 3600,
        tariff_per_kwh=snapshot.prices[area].at(snapshot.now),
        event=in_force.get(setpoint.event) if setpoint.event else None,
        events=in_force,
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
