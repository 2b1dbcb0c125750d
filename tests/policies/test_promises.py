"""What users were promised, in the words of the mission and with its own arithmetic: nothing here is taken from what it
checks. Requirements P4, P5, P8, P16; finding D3."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.decision import Setpoint
from csms.domain.dr import Direction, DrEvent
from csms.domain.snapshot import EvseState, Terms, Use
from policies import decide
from tests.policies.fleets import AWAY, HOME, NOW, event, prices, resource, snapshot

TARIFF = Decimal(30)
FULL_CHARGE_W = 7000
FULL_DISCHARGE_W = 6000
NIGHT = timedelta(hours=8)

money = st.integers(0, 120).map(Decimal)
margins = st.sampled_from(["-50", "-1", "-0.01", "0", "0.01", "1", "50"]).map(Decimal)
"""How far an ask is from what is paid."""
efficiencies = st.sampled_from([0.8, 0.85, 0.9, 0.95, 1.0])


def told(evse: EvseState, *events: DrEvent, tariff: float = 30) -> Setpoint:
    return decide(snapshot(evse, events=events, prices={HOME: prices(tariff), AWAY: prices(1)})).setpoints[0]


def vehicle(number: int = 1, *, charge: float = 0.9, discharge: float = 0.9, **terms: object) -> EvseState:
    """Half full, 30 % required; what flows into it or out of it an event has asked for."""
    made = resource(number)
    assert made.battery is not None
    battery = replace(made.battery, charge_efficiency=charge, discharge_efficiency=discharge)
    wanted = Terms(required_wh=12_000, departure_at=NOW + NIGHT, charge=False)
    return replace(made, battery=battery, terms=replace(wanted, **terms))  # type: ignore[arg-type]


# --- P4: only a yes makes a resource


@given(
    st.lists(st.sampled_from(list(Use)), min_size=1, max_size=6),
    st.sampled_from(list(Direction)),
    st.sampled_from([1, 4_000, 100_000]),
)
def test_an_event_moves_permitted_vehicles_and_leaves_all_others_as_they_would_be_without_it(
    uses: list[Use], direction: Direction, requested_w: int
) -> None:
    """P4: all of them could, and would be paid well; only those with a yes do."""
    asked = event(direction, requested_w)
    charging = direction is Direction.DOWN
    terms = Terms(required_wh=12_000, departure_at=NOW + NIGHT, max_buy_per_kwh=Decimal(100 if charging else 15))
    fleet = [resource(number, use=use, terms=terms, observed_w=FULL_CHARGE_W) for number, use in enumerate(uses)]
    with_event = decide(snapshot(*fleet, events=(asked,))).setpoints
    without = decide(snapshot(*fleet)).setpoints
    for use, now, before in zip(uses, with_event, without, strict=True):
        if use is not Use.RESOURCE:
            assert (now.event, now.setpoint_w) == (None, before.setpoint_w)
    moved = [use for use, now in zip(uses, with_event, strict=True) if now.event is not None]
    assert bool(moved) is (Use.RESOURCE in uses)


# --- P5: never discharged below the user's price


@given(pays=money, more=margins)
def test_a_vehicle_is_discharged_exactly_when_the_event_pays_what_its_user_asks(pays: Decimal, more: Decimal) -> None:
    """P5, with a price of its own: to the last part of a yen."""
    ask = max(pays + more, Decimal(0))
    setpoint = told(vehicle(min_sell_per_kwh=ask), event(price_per_kwh=pays))
    assert setpoint.setpoint_w == (-FULL_DISCHARGE_W if pays >= ask else 0)


@given(incentive=money, more=margins)
def test_an_incentive_counts_on_top_of_the_tariff(incentive: Decimal, more: Decimal) -> None:
    """P5, P11."""
    ask = max(TARIFF + incentive + more, Decimal(0))
    paid = event(price_per_kwh=None, incentive_per_kwh=incentive)
    setpoint = told(vehicle(min_sell_per_kwh=ask), paid)
    assert setpoint.setpoint_w == (-FULL_DISCHARGE_W if TARIFF + incentive >= ask else 0)


@given(pays=money, more=margins)
def test_a_vehicle_is_discharged_exactly_when_it_gains_what_its_user_asks_on_the_tariff(
    pays: Decimal, more: Decimal
) -> None:
    """P5: a minimum incentive per kWh; the greater of it and a minimum price holds."""
    gain = max(pays - TARIFF + more, Decimal(0))
    setpoint = told(vehicle(min_incentive_per_kwh=gain), event(price_per_kwh=pays))
    assert setpoint.setpoint_w == (-FULL_DISCHARGE_W if pays - TARIFF >= gain else 0)
    both = told(vehicle(min_incentive_per_kwh=gain, min_sell_per_kwh=pays + 1), event(price_per_kwh=pays))
    assert both.setpoint_w == 0


@given(costs=money, more=margins)
def test_a_vehicle_is_charged_for_an_event_exactly_when_that_is_as_much_cheaper_as_its_user_asks(
    costs: Decimal, more: Decimal
) -> None:
    """P6: a minimum incentive binds what the aggregator asks for; by itself the vehicle buys up to its own maximum."""
    costs = min(costs, TARIFF)
    gain = max(TARIFF - costs + more, Decimal(0))
    dear = vehicle(charge=0.9, min_incentive_per_kwh=gain, max_buy_per_kwh=TARIFF - Decimal("0.01"))
    buys = replace(dear, terms=replace(dear.terms, charge=True, departure_at=None, required_wh=0.0))
    setpoint = told(buys, event(Direction.UP, 100_000, price_per_kwh=costs))
    is_charged = TARIFF - costs >= gain and costs < TARIFF
    assert (setpoint.setpoint_w > 0, setpoint.event is not None) == (is_charged, is_charged)
    free = replace(buys, terms=replace(buys.terms, max_buy_per_kwh=None))
    assert told(free).setpoint_w > 0


@given(st.lists(money, min_size=2, max_size=8), money)
def test_in_a_fleet_nobody_sells_below_the_own_price(asks: list[Decimal], pays: Decimal) -> None:
    """P5: also where the event falls short without them."""
    fleet = [vehicle(number, min_sell_per_kwh=ask) for number, ask in enumerate(asks)]
    setpoints = decide(snapshot(*fleet, events=(event(price_per_kwh=pays),))).setpoints
    sold = [setpoint.setpoint_w < 0 for setpoint in setpoints]
    assert sold == [pays >= ask for ask in asks]


# --- P8: entrust


@given(ask=money, pays=money, tariff=st.integers(1, 40), charge=efficiencies, discharge=efficiencies)
def test_an_entrusted_vehicle_never_sells_for_less_than_the_same_energy_costs_again(
    ask: Decimal, pays: Decimal, tariff: int, charge: float, discharge: float
) -> None:
    """P8: a kWh sold is bought again with the losses both ways, whatever selling price is left from before."""
    given = vehicle(charge=charge, discharge=discharge, min_sell_per_kwh=ask, entrust=True)
    again = tariff / (charge * discharge)
    setpoint = told(given, event(price_per_kwh=pays), tariff=tariff)
    if float(pays) < again:
        assert setpoint.setpoint_w >= 0
    if float(pays) >= 1.1 * again:  # a tenth covers the wear
        assert setpoint.setpoint_w == -FULL_DISCHARGE_W


@pytest.mark.parametrize(("entrust", "power_w"), [(True, FULL_CHARGE_W), (False, 0)], ids=["entrusted", "own price"])
def test_the_price_at_which_an_entrusted_vehicle_charges_is_the_aggregators_choice(entrust: bool, power_w: int) -> None:
    """P6, P8: a maximum price below the tariff stands aside, and binds whoever decides by themselves."""
    made = vehicle()
    picky = replace(made.terms, charge=True, entrust=entrust, max_buy_per_kwh=Decimal(1))
    assert told(replace(made, terms=picky)).setpoint_w == power_w


@pytest.mark.parametrize(("entrust", "power_w"), [(True, 0), (False, FULL_CHARGE_W)], ids=["entrusted", "own price"])
def test_an_entrusted_vehicle_waits_for_cheaper_hours_and_another_does_not(entrust: bool, power_w: int) -> None:
    """P8: the times are the aggregator's choice too. 20 kWh fit into the seven cheap hours."""
    patient = replace(vehicle(), terms=Terms(required_wh=12_000, departure_at=NOW + NIGHT, entrust=entrust))
    cheap_soon = {HOME: prices(30, 20), AWAY: prices(1)}
    assert decide(snapshot(patient, prices=cheap_soon)).setpoints[0].setpoint_w == power_w


@pytest.mark.parametrize("energy_wh", [5_000, 11_900, 12_000])
def test_the_required_charge_of_an_entrusted_vehicle_is_never_sold(energy_wh: float) -> None:
    """P7, P8."""
    given = vehicle(entrust=True)
    assert given.battery is not None
    low = replace(given, battery=replace(given.battery, energy_wh=energy_wh))
    assert told(low, event(price_per_kwh=Decimal(1000))).setpoint_w >= 0


def test_an_entrusted_vehicle_is_charged_in_time_whatever_is_cheaper_later() -> None:
    """P7, P8: 18 kWh before a departure in three hours leave no time to wait."""
    hurried = vehicle(entrust=True, required_wh=38_000, departure_at=NOW + timedelta(hours=3))
    cheap_soon = {HOME: prices(30, 30, 30, 1), AWAY: prices(1)}
    asked = event(price_per_kwh=Decimal(1000))
    assert decide(snapshot(hurried, prices=cheap_soon, events=(asked,))).setpoints[0].setpoint_w == FULL_CHARGE_W


# --- P16: the vehicles for which it costs least


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["first", "second"])
def test_of_two_vehicles_the_one_that_loses_less_sells_first(order: tuple[int, int]) -> None:
    """P16: 30 bought back at 95 % both ways costs 33; at 85 % it costs 42. The order in the list says nothing."""
    good, poor = (vehicle(order[0], charge=0.95, discharge=0.95), vehicle(order[1], charge=0.85, discharge=0.85))
    fleet = sorted((good, poor), key=lambda evse: evse.ref)
    setpoints = decide(snapshot(*fleet, events=(event(requested_w=FULL_DISCHARGE_W),))).setpoints
    assert {s.evse: s.setpoint_w for s in setpoints} == {good.ref: -FULL_DISCHARGE_W, poor.ref: 0}


@pytest.mark.parametrize("side", ["charge", "discharge"])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["first", "second"])
def test_the_losses_of_either_way_count(side: str, order: tuple[int, int]) -> None:
    """P16: one way is the same, the other is not."""
    good, poor = vehicle(order[0], **{side: 0.95}), vehicle(order[1], **{side: 0.8})
    setpoints = decide(snapshot(poor, good, events=(event(requested_w=FULL_DISCHARGE_W),))).setpoints
    assert [setpoint.setpoint_w for setpoint in setpoints] == [0, -FULL_DISCHARGE_W]


@pytest.mark.parametrize("kept", [(0.8, 0.95), (0.95, 0.8)], ids=["second", "first"])
def test_an_upward_event_goes_first_to_the_vehicle_that_keeps_more_of_it(kept: tuple[float, float]) -> None:
    """P16, P12."""
    made = [vehicle(number, charge=share, max_buy_per_kwh=Decimal(10)) for number, share in enumerate(kept)]
    fleet = [replace(evse, terms=replace(evse.terms, charge=True)) for evse in made]
    setpoints = decide(snapshot(*fleet, events=(event(Direction.UP, FULL_CHARGE_W),))).setpoints
    assert [setpoint.setpoint_w for setpoint in setpoints] == [FULL_CHARGE_W if share == 0.95 else 0 for share in kept]


def test_wear_is_a_cost() -> None:
    """P16: at no loss a kWh costs its user's 38.2; at 90 % both ways 37.04 and the wear of the battery, which is more
    than the 1.16 between them."""
    lossless = vehicle(2, charge=1.0, discharge=1.0, min_sell_per_kwh=Decimal("38.2"))
    lossy = vehicle(1)
    setpoints = decide(snapshot(lossy, lossless, events=(event(requested_w=FULL_DISCHARGE_W),))).setpoints
    assert [setpoint.setpoint_w for setpoint in setpoints] == [0, -FULL_DISCHARGE_W]
