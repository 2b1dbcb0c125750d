"""The world without the event is frozen when the event starts, and lives on by itself. Findings A1, A16."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from csms.domain.dr import Direction
from csms.domain.ids import DrEventId, PlugInId
from csms.domain.snapshot import Battery, EvseState, Snapshot, Terms, Use
from policies import decide
from tests.policies.fleets import NOW, event, resource, snapshot
from tests.policies.worlds import World, pair


def vehicle(number: int, energy_wh: float, capacity_wh: int = 60_000, **changes: object) -> EvseState:
    battery = Battery(capacity_wh=capacity_wh, energy_wh=energy_wh, max_charge_w=7000, max_discharge_w=6000)
    given: dict[str, object] = {
        "battery": battery,
        "plug_in": PlugInId(f"p{number}"),
        "terms": Terms(required_wh=20_000),
        "observed_w": 7000,
    }
    return resource(number, **given | changes)


def lasting(hours: float, requested_w: int, **changes: object) -> Snapshot:
    return snapshot(
        events=(event(requested_w=requested_w, starts_at=NOW, ends_at=NOW + timedelta(hours=hours)),), **changes
    )


def test_a_full_vehicle_that_discharges_is_never_said_to_have_been_stopped_from_charging() -> None:
    """A1, A16: 6 kW for 1 h. Before: 6,238 Wh stated, 244 Wh on the registers."""
    state = replace(lasting(1, 6000), evses=(vehicle(1, 60_000),))
    with_event, without = pair(state, 1)
    true_wh = without.net_wh - with_event.net_wh
    assert true_wh == pytest.approx(6000, rel=0.01)
    assert with_event.stated_wh() == pytest.approx(true_wh, rel=0.01)
    assert with_event.allotted_wh() == pytest.approx(true_wh, rel=0.01)
    assert all(setpoint.setpoint_w == -6000 for d in with_event.decisions for setpoint in d.setpoints)


@pytest.mark.parametrize("hours", [1, 4])
@pytest.mark.parametrize("requested_w", [5_000, 20_000, 60_000])
def test_what_is_stated_is_what_the_paired_run_shows(hours: int, requested_w: int) -> None:
    """A1: vehicles from nearly empty to full, half of them charging only. Before: 28.0 kWh stated, 17.8 true."""
    evses = tuple(vehicle(n, 22_000 + 5_400 * n, can_discharge=n % 2 == 0) for n in range(8))
    state = replace(lasting(hours, requested_w), evses=evses)
    with_event, without = pair(state, hours)
    true_wh = without.net_wh - with_event.net_wh
    assert with_event.stated_wh() == pytest.approx(true_wh, rel=0.02)


def test_an_upward_event_states_what_the_paired_run_shows() -> None:
    evses = tuple(vehicle(n, 30_000 + 6_000 * n, terms=Terms(max_buy_per_kwh=Decimal(15))) for n in range(4))
    up = event(Direction.UP, 14_000, starts_at=NOW, ends_at=NOW + timedelta(hours=3))
    with_event, without = pair(snapshot(*evses, events=(up,)), 3)
    assert with_event.net_wh - without.net_wh == pytest.approx(-with_event.stated_wh(), rel=0.02)
    assert with_event.net_wh > 30_000


def test_the_counterfactual_of_a_charging_vehicle_ends_where_its_battery_would_have_been_full() -> None:
    """A1: 6.3 kWh from the grid fill it in 54 minutes; after that nothing is there to be stopped."""
    state = replace(lasting(2, 7000), evses=(vehicle(1, 54_300, can_discharge=False),))
    with_event = World(state).run(2)
    powers = [d.setpoints[0].counterfactual_w for d in with_event.decisions]
    assert powers[:50] == [7000] * 50
    assert powers[60:] == [0] * 60
    assert with_event.net_wh == 0


def test_what_was_given_up_is_not_taken_back_while_the_event_lasts() -> None:
    """A vehicle that made room for another does not charge beyond its counterfactual within the event."""
    state = replace(lasting(1, 5000), evses=(vehicle(1, 60_000), vehicle(2, 60_000)))
    used = World(state).run(0.5)
    assert {s.setpoint_w > 0 for d in used.decisions for s in d.setpoints} == {False}


def test_the_counterfactual_begins_with_the_first_event_of_an_area_and_ends_with_the_last() -> None:
    first = event(starts_at=NOW, ends_at=NOW + timedelta(minutes=10), requested_w=6000)
    second = event(
        starts_at=NOW + timedelta(minutes=5), ends_at=NOW + timedelta(minutes=20), requested_w=6000, id=DrEventId("two")
    )
    run = World(snapshot(vehicle(1, 60_000), events=(first, second))).run(0.5)
    frozen = [d.virtual[0].frozen_at if d.virtual else None for d in run.decisions]
    assert frozen == [NOW] * 20 + [None] * 10


def test_a_new_plug_in_has_a_counterfactual_of_its_own() -> None:
    state = replace(lasting(1, 6000), evses=(vehicle(1, 60_000),))
    first = decide(state)
    later = replace(state, now=NOW + timedelta(minutes=5), virtual={v.evse: v for v in first.virtual})
    swapped = replace(later, evses=(replace(vehicle(1, 30_000), plug_in=PlugInId("another")),))
    (virtual,) = decide(swapped).virtual
    assert (virtual.plug_in, virtual.frozen_at, virtual.energy_wh) == ("another", later.now, 30_000)


def test_who_is_no_resource_has_no_counterfactual_but_what_is_done() -> None:
    state = replace(lasting(1, 6000), evses=(vehicle(1, 30_000, use=Use.PLAIN),))
    decision = decide(state)
    assert decision.virtual == ()
    assert (decision.setpoints[0].setpoint_w, decision.setpoints[0].counterfactual_w) == (7000, 7000)


def test_a_decision_taken_twice_rolls_nothing_twice() -> None:
    state = replace(lasting(1, 6000), evses=(vehicle(1, 50_000),))
    first = decide(state)
    later = replace(state, now=NOW + timedelta(minutes=5), virtual={v.evse: v for v in first.virtual})
    assert decide(later) == decide(later)
    again = replace(later, virtual={v.evse: v for v in decide(later).virtual})
    assert decide(again) == decide(later)


def test_without_a_state_of_charge_the_register_is_what_the_counterfactual_rolls() -> None:
    """A6, A1: an AC vehicle that tells nothing is stopped once it has charged for a quarter of an hour; what would have
    been added grows minute by minute."""
    battery = Battery(capacity_wh=60_000, energy_wh=0, max_charge_w=7000, max_discharge_w=0, is_told=False)
    state = replace(lasting(1, 7000), evses=(vehicle(1, 0, battery=battery, terms=Terms()),))
    with_event, without = pair(state, 1)
    assert without.net_wh - with_event.net_wh == pytest.approx(5250, rel=0.02)
    assert with_event.allotted_wh() == pytest.approx(5250, rel=0.02)
    unseen_minute, decided = 1, 60
    added_wh = (decided - 1 - unseen_minute) * 7000 / 60
    assert with_event.decisions[-1].virtual[0].added_wh == pytest.approx(added_wh, rel=0.01)


def test_a_vehicle_that_tells_nothing_has_nothing_to_stop_before_it_was_seen_to_charge() -> None:
    """A2: it may be full. It charges on, its counterfactual is nothing, and the event says that it falls short."""
    battery = Battery(capacity_wh=60_000, energy_wh=0, max_charge_w=7000, max_discharge_w=0, is_told=False)
    state = replace(lasting(1, 7000), evses=(vehicle(1, 0, battery=battery, terms=Terms()),))
    decision = decide(state)
    assert (decision.setpoints[0].setpoint_w, decision.setpoints[0].event) == (7000, None)
    assert decision.virtual[0].power_w == 0
    assert decision.events[0].allotted_w == 0
