"""A fleet of mixed kinds, drawn by chance: vehicles, meters, drivers, connections. Same seed, same fleet."""

import random
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal

from csms.domain.conditions import Conditions
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, SiteId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.snapshot import Site
from csms.domain.station import Ratings
from csms.domain.tariff import PriceSeries, PriceStep
from simulators.twin.cases import START, Answer, Car, Case, MeterSpec, PowerTold, Visit

AREA = AreaId("area")
BEFORE_S = 2 * 3600
"""Most arrive in this time, before the event."""
EVENT_S = 4 * 3600
LATE_SHARE = 0.1
FULL_SHARE = 1 / 3
TELLS_SOC_SHARE = 0.5
OFFLINE_SHARE = 0.15
SITE_OF = 10
"""EVSEs behind one fuse."""
TARIFF = Decimal(30)
INCENTIVE = Decimal(25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of vehicle and EVSE. ``tells_soc``: its station tells the state of charge."""

    tells_soc: bool
    capacity_wh: int
    charge_w: int
    discharge_w: int
    step_wh: float
    interval_s: int
    power: PowerTold


V2G = tuple(
    Kind(
        tells_soc=True,
        capacity_wh=capacity_wh,
        charge_w=charge_w,
        discharge_w=discharge_w,
        step_wh=step_wh,
        interval_s=interval_s,
        power=PowerTold.POWER,
    )
    for capacity_wh, charge_w, discharge_w, step_wh, interval_s in (
        (40_000, 5900, 5900, 1.0, 30),
        (60_000, 7360, 6000, 10.0, 60),
        (75_000, 10_000, 10_000, 1.0, 20),
    )
)
CHARGING = tuple(
    Kind(
        tells_soc=False,
        capacity_wh=capacity_wh,
        charge_w=charge_w,
        discharge_w=0,
        step_wh=step_wh,
        interval_s=interval_s,
        power=power,
    )
    for capacity_wh, charge_w, step_wh, interval_s, power in (
        (40_000, 3680, 100.0, 60, PowerTold.POWER),
        (60_000, 7360, 10.0, 60, PowerTold.CURRENT),
        (75_000, 11_000, 1000.0, 60, PowerTold.POWER),
        (52_000, 7360, 100.0, 300, PowerTold.NOTHING),
        (24_000, 3300, 1.0, 30, PowerTold.POWER),
    )
)


def mixed_case(seed: int, vehicles: int, hours: float, *, share_w: float = 2500.0, tick_s: int = 60) -> Case:
    """The issue's case: a DOWN event of four hours that begins two hours after the start, on a mixed fleet.

    ``hours``: length of the run; what a vehicle would have taken is known only after the event. ``share_w``: asked of
    each vehicle, on average.
    """
    dice = random.Random(seed)  # noqa: S311 — repeatable on purpose
    visits = tuple(_visit(dice, number, int(hours * 3600)) for number in range(vehicles))
    event_at = START + timedelta(seconds=BEFORE_S)
    event = DrEvent(
        id=DrEventId("event"),
        direction=Direction.DOWN,
        requested_w=round(share_w * vehicles),
        starts_at=event_at,
        ends_at=event_at + timedelta(seconds=EVENT_S),
        incentive_per_kwh=INCENTIVE,
        created_at=event_at - timedelta(minutes=10),
    )
    return Case(
        seconds=int(hours * 3600),
        visits=visits,
        sites=_sites(dice, visits),
        prices={AREA: PriceSeries(currency="JPY", steps=(PriceStep(START - timedelta(days=1), TARIFF),))},
        events=(event,),
        tick_s=tick_s,
    )


def _visit(dice: random.Random, number: int, seconds: int) -> Visit:
    kind = dice.choice(V2G if dice.random() < TELLS_SOC_SHARE else CHARGING)
    is_late = dice.random() < LATE_SHARE
    arrives_s = _whole(dice.uniform(BEFORE_S, BEFORE_S + EVENT_S) if is_late else dice.uniform(0, 0.8 * BEFORE_S))
    leaves_s = _whole(dice.uniform(0.75, 0.98) * seconds if dice.random() < 0.8 else BEFORE_S + EVENT_S * dice.random())
    leaves_s = max(leaves_s, arrives_s + 3600)
    soc = dice.uniform(0.985, 1.0) if dice.random() < FULL_SHARE else dice.uniform(0.15, 0.85)
    efficiency = dice.choice((0.88, 0.9, 0.92))
    car = Car(
        capacity_wh=float(kind.capacity_wh),
        energy_wh=soc * kind.capacity_wh,
        max_charge_w=float(kind.charge_w),
        max_discharge_w=float(kind.discharge_w),
        charge_efficiency=efficiency,
        discharge_efficiency=efficiency,
        taper_from=dice.choice((0.95, 0.97, 0.99)),
    )
    return Visit(
        car=car,
        record=_record(number, car),
        meter=_meter(dice, kind),
        ratings=Ratings(max_charge_w=max(kind.charge_w, 7360), max_discharge_w=kind.discharge_w),
        site=SiteId(f"site-{number // SITE_OF}"),
        arrives_s=arrives_s,
        leaves_s=leaves_s,
        answer=dice.choices((Answer.YES, Answer.NO, Answer.NOTHING), (0.8, 0.1, 0.1))[0],
        answers_after_s=_whole(dice.uniform(10, 90)),
        conditions=_conditions(dice, kind, car, START + timedelta(seconds=leaves_s), leaves_s - arrives_s),
        offline=_spells(dice),
        latency_s=dice.choice((5, 10)),
        can_discharge=kind.discharge_w > 0,
    )


def _whole(seconds: float) -> int:
    """Whole minutes: the trail is kept by the minute."""
    return int(seconds) // 60 * 60


def _record(number: int, car: Car) -> Vehicle:
    """What the server knows of the vehicle: its limits and its size; of its losses the usual ones."""
    return Vehicle(
        id=VehicleId(f"vehicle-{number:03d}"),
        user=UserId(f"user-{number:03d}"),
        name="",
        capacity_wh=round(car.capacity_wh),
        max_charge_w=round(car.max_charge_w),
        max_discharge_w=round(car.max_discharge_w),
    )


def _meter(dice: random.Random, kind: Kind) -> MeterSpec:
    return MeterSpec(
        step_wh=kind.step_wh,
        interval_s=kind.interval_s,
        tells_soc=kind.tells_soc,
        power=kind.power,
        keeps=dice.random() < 0.5,
        offset_wh=float(dice.randrange(3_000_000)),
    )


def _conditions(dice: random.Random, kind: Kind, car: Car, leaves_at: datetime, stays_s: int) -> Conditions:
    """Required charges are within what half of the stay allows."""
    most_wh = min(0.5 * stays_s / 3600 * car.max_charge_w, 0.95 * car.capacity_wh - car.energy_wh)
    wanted_wh = max(0.0, most_wh * dice.uniform(0.1, 0.6))
    required = min(95.0, 100 * (car.energy_wh + wanted_wh * car.charge_efficiency) / car.capacity_wh)
    return Conditions(
        min_sell_per_kwh=dice.choice((None, Decimal(40), Decimal(50), Decimal(60))),
        max_buy_per_kwh=dice.choice((None, None, Decimal(35), Decimal(25))),
        required_soc_percent=float(int(required if kind.discharge_w == 0 else min(required, dice.uniform(20, 60)))),
        required_kwh=None if kind.tells_soc else Decimal(int(wanted_wh / 1000)),
        depart_at=time(leaves_at.hour, leaves_at.minute),
        zone="UTC",
        entrust=dice.random() < 0.1,
        discharge=dice.random() < 0.9,
    )


def _spells(dice: random.Random) -> tuple[tuple[int, int], ...]:
    """An offline spell within the event, or none."""
    if dice.random() >= OFFLINE_SHARE:
        return ()
    begins_s = _whole(dice.uniform(BEFORE_S, BEFORE_S + EVENT_S - 3600))
    return ((begins_s, begins_s + _whole(dice.uniform(600, 3000))),)


def _sites(dice: random.Random, visits: tuple[Visit, ...]) -> tuple[Site, ...]:
    """One root, and a fuse for each ten EVSEs that carries two thirds of them, or all."""
    leaves = []
    for id_ in dict.fromkeys(visit.site for visit in visits):
        whole_w = sum(visit.ratings.max_charge_w for visit in visits if visit.site == id_)
        import_w = round(whole_w * dice.choice((0.67, 1.0)))
        leaves.append(Site(id=id_, parent=SiteId("root"), area=AREA, import_limit_w=import_w, export_limit_w=import_w))
    whole_w = sum(site.import_limit_w for site in leaves)
    return (Site(id=SiteId("root"), area=AREA, import_limit_w=whole_w, export_limit_w=whole_w), *leaves)
