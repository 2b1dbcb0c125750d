"""What could be adjusted, by direction: the answer to a request to take part. Requirements G1, G2, P12."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from csms.domain.decision import Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId
from csms.domain.snapshot import EvseState, Snapshot, Use
from policies.allocation import decide

EVERYTHING_W = 10**12
"""More than any fleet can give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """When the adjustment would be wanted, [starts_at, ends_at)."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """W that could be moved at once, Wh over the period, and by how many EVSEs. All >= 0, in the direction."""

    direction: Direction
    power_w: int
    energy_wh: int
    evses: int


def capacity(
    snapshot: Snapshot,
    direction: Direction,
    period: Period,
    areas: frozenset[AreaId] = frozenset(),
    price_per_kwh: Decimal | None = None,
) -> Capacity:
    """What the vehicles that are here now could give, under their users' conditions and the caps of the sites.

    ``price_per_kwh`` None = the tariff, no incentive. Vehicles that leave before the period count for nothing, those
    that leave during it for the time they are there.
    """
    asked = _everything(snapshot, direction, areas, price_per_kwh)
    staying = tuple(_at_start(evse, period) for evse in snapshot.evses)
    decision = decide(replace(snapshot, evses=staying, events=(asked,)))
    moved = [
        (evse, setpoint)
        for evse, setpoint in zip(staying, decision.setpoints, strict=True)
        if setpoint.event == asked.id
    ]
    return Capacity(
        direction=direction,
        power_w=decision.events[0].allotted_w,
        energy_wh=int(sum(_energy_wh(evse, setpoint, period) for evse, setpoint in moved)),
        evses=len(moved),
    )


def _everything(
    snapshot: Snapshot, direction: Direction, areas: frozenset[AreaId], price_per_kwh: Decimal | None
) -> DrEvent:
    """An event that asks for all there is, now."""
    return DrEvent(
        id=DrEventId("capacity"),
        direction=direction,
        requested_w=EVERYTHING_W,
        starts_at=snapshot.now,
        ends_at=datetime.max.replace(tzinfo=snapshot.now.tzinfo),
        areas=areas,
        price_per_kwh=price_per_kwh,
        created_at=snapshot.now,
    )


def _at_start(evse: EvseState, period: Period) -> EvseState:
    departure = evse.terms.departure_at
    return evse if departure is None or departure > period.starts_at else replace(evse, use=Use.IDLE)


def _energy_wh(evse: EvseState, setpoint: Setpoint, period: Period) -> float:
    """Over the time the vehicle is there, as far as its battery goes."""
    ends_at = min(period.ends_at, evse.terms.departure_at or period.ends_at)
    hours = max(0.0, (ends_at - period.starts_at).total_seconds() / 3600)
    change_w = setpoint.setpoint_w - setpoint.counterfactual_w
    battery = evse.battery
    if battery is None:
        return abs(change_w) * hours
    charge_room_wh = (battery.capacity_wh - battery.energy_wh) / battery.charge_efficiency
    if change_w > 0:
        return min(change_w * hours, charge_room_wh)
    sure_wh = battery.energy_wh - battery.error_wh - evse.terms.required_wh
    given_wh = min(max(0, -setpoint.setpoint_w) * hours, max(0.0, sure_wh * battery.discharge_efficiency))
    return given_wh + min((setpoint.counterfactual_w - max(0, setpoint.setpoint_w)) * hours, charge_room_wh)
