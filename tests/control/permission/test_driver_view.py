"""What a driver's terminal says of the vehicles that are plugged in: only what is so now. E1, P3, P11, P13."""

from decimal import Decimal
from pathlib import Path

from csms.control.permission.driver_view import PlugInState
from csms.domain.commands import Accepted, ApplySetpoint, Rejected
from csms.domain.conditions import Conditions
from csms.domain.ids import DrEventId, EvseRef, StationId
from csms.domain.permission import PermissionState
from tests.control.dispatch.dispatching import event, setpoint, tick
from tests.control.kit import AOI, CARD, E1, World, station, world


def shown(w: World) -> PlugInState:
    found = w.system.driver_view.of(AOI).shown
    assert found is not None
    return found


async def test_p11_nothing_is_said_to_be_earned_by_who_discharges_nothing(w: World) -> None:
    """E1: after a no, while it charges, in an event that pays less than its user asks."""
    await w.plug()
    await w.say(granted=False)
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(power_import_w=7400.0))
    await event(w)
    await tick(w)
    assert (shown(w).power_w, shown(w).sell_per_kwh, shown(w).price_per_kwh) == (7400, None, Decimal(30))


async def test_p5_an_event_below_the_selling_price_is_not_shown_as_earned(w: World) -> None:
    await w.resource(Conditions(required_soc_percent=30, min_sell_per_kwh=Decimal(100), max_buy_per_kwh=Decimal(1)))
    await event(w)
    await tick(w)
    assert (shown(w).setpoint_w, shown(w).sell_per_kwh) == (0, None)


async def test_p13_a_discharge_for_two_events_shows_what_both_pay_for_it(w: World) -> None:
    """3 kW at 30 + 10 and 3 kW at 30 + 60: 65 a kWh."""
    await w.resource()
    await event(w, 3000, incentive_per_kwh=Decimal(10))
    await event(w, 3000, id=DrEventId("dr-2"), incentive_per_kwh=Decimal(60))
    assert await tick(w) == [-6000]
    assert (shown(w).setpoint_w, shown(w).sell_per_kwh) == (-6000, Decimal(65))


async def test_p13_of_charging_that_stops_and_power_that_goes_out_the_last_watts_price_the_discharge(w: World) -> None:
    """7,360 W stop and 640 W go out: those are the last that are moved, and of the event that pays 30 + 10."""
    await w.resource(Conditions(required_soc_percent=30))
    await w.take(w.event(1, charging_state="Charging"))
    for second in range(3):
        w.clock.pass_(60)
        await w.take(w.metered(power_import_w=7360.0, import_wh=1000.0 + second * 123, soc_percent=80.0))
        await tick(w)
    await event(w, 4000, priority=9, incentive_per_kwh=Decimal(10))
    await event(w, 4000, id=DrEventId("dr-2"), incentive_per_kwh=Decimal(60))
    await tick(w, 60)
    assert [(part.power_w, part.price_per_kwh) for part in setpoint(w).parts] == [
        (4000, Decimal(90)),
        (4000, Decimal(40)),
    ]
    assert (shown(w).setpoint_w, shown(w).sell_per_kwh) == (-640, Decimal(40))


async def test_v2g_12_what_a_station_refused_or_has_not_taken_yet_earns_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.person()
        await w.resource()
        w.stations.answer = lambda command: Rejected("no") if isinstance(command, ApplySetpoint) else Accepted()
        await event(w)
        assert await tick(w) == [-4000]
        assert (shown(w).setpoint_w, shown(w).sell_per_kwh) == (-4000, None)


async def test_p11_a_setpoint_that_has_run_out_earns_nothing_more(w: World) -> None:
    await w.resource()
    await event(w)
    await tick(w)
    assert shown(w).sell_per_kwh == 50
    w.clock.at = setpoint(w).expires_at
    assert shown(w).sell_per_kwh is None


async def test_p3_the_open_question_of_one_vehicle_is_shown_before_another_that_came_later(w: World) -> None:
    """P1: several vehicles per user; each is asked of, and none hides another."""
    other = EvseRef(StationId("CS-2"), 1)
    await w.add(station(other.station))
    await w.plug()
    w.clock.pass_(60)
    await w.plug(AOI, other)
    places = w.system.driver_view.of(AOI).plug_ins
    assert [place.plug_in.evse for place in places] == [other, E1]
    await w.say(ref=other)
    places = w.system.driver_view.of(AOI).plug_ins
    assert [(place.plug_in.evse, place.plug_in.permission.state) for place in places] == [
        (E1, PermissionState.ASKED),
        (other, PermissionState.GRANTED),
    ]
    await w.say()
    assert [place.plug_in.evse for place in w.system.driver_view.of(AOI).plug_ins] == [other, E1]
