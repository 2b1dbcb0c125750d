"""Fleets for the tests of the policies: one EVSE at a time by hand, or any fleet by hypothesis."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from csms.domain.decision import Decision, Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, SiteId, StationId
from csms.domain.snapshot import Battery, EvseState, Served, Site, Snapshot, Terms, Use
from csms.domain.station import Ratings
from csms.domain.tariff import PriceSeries, PriceStep

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
HOME = AreaId("home")
AWAY = AreaId("away")


def prices(*per_kwh: float, every_h: float = 1.0) -> PriceSeries:
    """Prices that change every ``every_h`` from now on."""
    steps = (
        PriceStep(NOW + timedelta(hours=every_h * step), Decimal(str(price))) for step, price in enumerate(per_kwh)
    )
    return PriceSeries(currency="JPY", steps=tuple(steps))


def event(direction: Direction = Direction.DOWN, requested_w: int = 100_000, **changes: Any) -> DrEvent:
    """An event that has begun and pays 50 per kWh (or charges 10)."""
    given = {
        "id": DrEventId("event"),
        "direction": direction,
        "requested_w": requested_w,
        "starts_at": NOW - timedelta(minutes=1),
        "ends_at": NOW + timedelta(hours=1),
        "created_at": NOW - timedelta(hours=1),
        "price_per_kwh": Decimal(50 if direction is Direction.DOWN else 10),
    }
    return DrEvent(**(given | changes))  # type: ignore[arg-type]


def resource(number: int = 1, *, site: str = "site", **changes: Any) -> EvseState:
    """A permitted vehicle, half full (20 of 40 kWh), 30 % required, that can discharge 6 kW and charge 7 kW."""
    state = EvseState(
        ref=EvseRef(StationId(f"s{number}"), 1),
        site=SiteId(site),
        ratings=Ratings(max_charge_w=7360, max_discharge_w=6000),
        use=Use.RESOURCE,
        battery=Battery(capacity_wh=40_000, energy_wh=20_000, max_charge_w=7000, max_discharge_w=6000),
        terms=Terms(required_wh=12_000, departure_at=NOW + timedelta(hours=8)),
        can_discharge=True,
    )
    return replace(state, **changes)


def site(name: str = "site", parent: str | None = None, *, limit_w: int = 1_000_000, area: AreaId = HOME) -> Site:
    """A site with the same limit both ways."""
    return Site(
        id=SiteId(name),
        parent=SiteId(parent) if parent else None,
        area=area,
        import_limit_w=limit_w,
        export_limit_w=limit_w,
    )


def snapshot(*evses: EvseState, **changes: Any) -> Snapshot:
    """These EVSEs at one roomy site at a flat price of 30, setpoints valid for 180 s."""
    given = Snapshot(
        now=NOW, horizon_s=180, sites=(site(),), evses=evses, prices={HOME: prices(30), AWAY: prices(20, 40)}
    )
    return replace(given, **changes)


def moved_w(setpoint: Setpoint) -> Counter[DrEventId]:
    """Watts of each event in a setpoint: of its parts, else all of them of the one event."""
    found: Counter[DrEventId] = Counter()
    for part in setpoint.parts:
        found[part.event] += part.power_w
    if setpoint.event is not None and not setpoint.parts:
        found[setpoint.event] = abs(setpoint.setpoint_w - setpoint.counterfactual_w)
    return found


def got_w(decision: Decision) -> dict[DrEventId, int]:
    """Watts of each event in a decision."""
    found = sum((moved_w(setpoint) for setpoint in decision.setpoints), Counter())
    return {share.event: found[share.event] for share in decision.events}


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


per_kwh = st.integers(0, 60).map(Decimal)
instants = st.integers(-60, 24 * 60).map(lambda minutes: NOW + timedelta(minutes=minutes))


@st.composite
def batteries(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Battery:
    capacity = draw(st.integers(5_000, 90_000))
    return Battery(
        capacity_wh=capacity,
        energy_wh=draw(st.floats(0, 1)) * capacity,
        error_wh=draw(st.sampled_from([0.0, 500.0, 4000.0])),
        max_charge_w=draw(st.sampled_from([1000, 3000, 7000, 50_000])),
        max_discharge_w=draw(st.sampled_from([0, 3000, 6000, 50_000])),
        charge_efficiency=draw(st.sampled_from([0.85, 0.9, 1.0])),
        discharge_efficiency=draw(st.sampled_from([0.85, 0.9, 1.0])),
    )


@st.composite
def terms(draw: Callable[[st.SearchStrategy[Any]], Any], capacity_wh: int) -> Terms:
    return Terms(
        min_sell_per_kwh=draw(maybe(per_kwh)),
        max_buy_per_kwh=draw(maybe(per_kwh)),
        min_incentive_per_kwh=draw(maybe(per_kwh)),
        required_wh=draw(st.floats(0, 1)) * capacity_wh,
        departure_at=draw(maybe(instants)),
        entrust=draw(st.booleans()),
        charge=draw(st.sampled_from([True, True, False])),
        discharge=draw(st.sampled_from([True, True, False])),
        permitted_until=draw(maybe(instants)),
    )


def served() -> st.SearchStrategy[Served]:
    """Of one of the events that may be there, or of one that is over."""
    names = st.integers(0, 3).map(lambda number: DrEventId(f"event{number}"))
    return st.builds(Served, names, st.integers(-6000, 7000), st.sampled_from([-6000, -2500, 0, 1000, 3000, 7000]))


@st.composite
def evses(draw: Callable[[st.SearchStrategy[Any]], Any], number: int, sites: list[SiteId]) -> EvseState:
    battery = draw(st.none() | batteries() | batteries())
    return EvseState(
        ref=EvseRef(StationId(f"s{number}"), 1),
        site=draw(st.sampled_from(sites)),
        ratings=Ratings(
            max_charge_w=draw(st.sampled_from([3680, 7360, 11_000])),
            min_charge_w=draw(st.sampled_from([0, 1380, 3600])),
            max_discharge_w=draw(st.sampled_from([0, 6000, 10_000])),
        ),
        use=draw(st.sampled_from([Use.RESOURCE, Use.RESOURCE, *Use])),
        battery=battery,
        terms=draw(terms(battery.capacity_wh if battery else 40_000)),
        can_discharge=draw(st.booleans()),
        can_pause=draw(st.sampled_from([True, True, True, False])),
        uncontrolled_w=draw(st.sampled_from([None, None, None, None, -3000, 0, 500, 9000])),
        observed_w=draw(st.sampled_from([None, -3000, 0, 2000, 7000])),
        drawn_w=draw(st.sampled_from([None, None, 0, 900, 3000])),
        served=draw(maybe(served())),
        last_used_at=draw(maybe(instants)),
    )


@st.composite
def willing(draw: Callable[[st.SearchStrategy[Any]], Any], number: int, sites: list[SiteId]) -> EvseState:
    """A vehicle that can and may be discharged, for a price."""
    battery = replace(draw(batteries()), max_discharge_w=draw(st.sampled_from([3000, 6000])), error_wh=0.0)
    required = draw(st.floats(0, 0.9)) * battery.energy_wh
    return resource(
        number,
        site=draw(st.sampled_from(sites)),
        battery=battery,
        observed_w=draw(st.sampled_from([None, 0, 2000, 7000])),
        served=draw(maybe(served())),
        terms=replace(
            draw(terms(battery.capacity_wh)), required_wh=required, discharge=True, min_sell_per_kwh=draw(per_kwh)
        ),
    )


@st.composite
def trees(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[Site, ...]:
    names = [SiteId(f"site{number}") for number in range(draw(st.integers(1, 5)))]
    return tuple(
        Site(
            id=name,
            parent=draw(st.none() | st.sampled_from(names[:index])) if index else None,
            area=draw(st.sampled_from([HOME, AWAY])),
            import_limit_w=draw(st.integers(0, 40_000)),
            export_limit_w=draw(st.integers(0, 20_000)),
        )
        for index, name in enumerate(names)
    )


@st.composite
def events(draw: Callable[[st.SearchStrategy[Any]], Any], number: int) -> DrEvent:
    price = draw(maybe(per_kwh) | st.sampled_from([Decimal(5), Decimal(55)]))
    return DrEvent(
        id=DrEventId(f"event{number}"),
        direction=draw(st.sampled_from([Direction.DOWN, *Direction])),
        requested_w=draw(st.integers(1, 60_000) | st.just(100_000)),
        starts_at=NOW - timedelta(minutes=10),
        ends_at=NOW + timedelta(seconds=draw(st.sampled_from([1, 60, 3600]))),
        areas=draw(st.sampled_from([frozenset(), frozenset({HOME}), frozenset({AWAY})])),
        price_per_kwh=price,
        incentive_per_kwh=None if price is not None else draw(per_kwh),
        created_at=NOW - timedelta(hours=draw(st.integers(1, 5))),
    )


@st.composite
def snapshots(draw: Callable[[st.SearchStrategy[Any]], Any], max_evses: int = 12) -> Snapshot:
    """Any fleet, tree, prices and events."""
    tree = draw(trees())
    names = [node.id for node in tree]
    count = draw(st.integers(0, max_evses))
    return Snapshot(
        now=NOW,
        horizon_s=draw(st.sampled_from([10, 180, 900])),
        sites=tree,
        evses=tuple(draw(evses(number, names) | willing(number, names)) for number in range(count)),
        events=tuple(draw(events(number)) for number in range(draw(st.integers(0, 3)))),
        prices={
            area: prices(*draw(st.lists(st.integers(0, 60), min_size=1, max_size=4)), every_h=0.5)
            for area in (HOME, AWAY)
        },
    )
