"""What a station answered and what its meter shows are two things. V2G-9, V2G-10, V2G-12."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csms.control.dispatch.setpoint_queue import after, profile_of
from csms.control.dispatch.snapshots import served_of
from csms.control.state import changes
from csms.domain.commands import (
    Accepted,
    ApplySetpoint,
    CallFailed,
    Offline,
    ReadSchedule,
    Rejected,
    TimedOut,
    UpdateSetpoint,
)
from csms.domain.conditions import Conditions
from csms.domain.dispatch import SetpointState
from csms.domain.facts import IdToken
from csms.domain.ids import DrEventId, EvseRef, StationId, VehicleId
from csms.domain.snapshot import Served
from csms.domain.station import ProbeState, Quirks, SetpointDriver
from policies.compliance import Compliance, Level
from policies.in_force import in_force
from tests.control.dispatch.dispatching import event, setpoint, shares, stored, tick
from tests.control.kit import E1, E2, KEN, LOW, World, station, world

DYNAMIC = Quirks(driver=SetpointDriver.OCPP21_DYNAMIC)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Accepted(), SetpointState.ACKNOWLEDGED),
        (Rejected("no"), SetpointState.REJECTED),
        (CallFailed("InternalError"), SetpointState.REJECTED),
        (TimedOut(), SetpointState.UNANSWERED),
        (Offline(), SetpointState.UNANSWERED),
    ],
)
async def test_an_answer_is_not_an_observation(w: World, outcome: Any, state: SetpointState) -> None:
    """V2G-12: desired, acknowledged and observed are three things."""
    await w.resource()
    await tick(w)
    told = after(replace(setpoint(w), state=SetpointState.DESIRED, observed_w=None), outcome)
    assert (told.state, told.observed_w) == (state, None)


async def test_a_station_that_refuses_to_discharge_is_told_so_no_more(w: World) -> None:
    """V2G-10, A11: one rung down after the third time, not after the first."""
    await w.resource()
    await event(w)
    w.stations.answer = lambda command: Rejected("negative")
    assert [await tick(w, 10 * bool(n)) for n in range(3)] == [[-4000]] * 3
    assert w.evse.told.compliance.level is Level.NO_DISCHARGE
    assert (await stored(w))[0].refusal == "negative"
    w.stations.answer = lambda command: Accepted()
    (sent,) = await tick(w, 1)
    assert sent >= 0
    assert w.stations.of(ApplySetpoint)[-1].driver is SetpointDriver.CHARGE_ONLY


async def test_a_setpoint_that_got_no_answer_is_sent_again(w: World) -> None:
    """V2G-50: whether it was done is unknown."""
    await w.resource()
    w.stations.answer = lambda command: TimedOut()
    await tick(w)
    assert setpoint(w).state is SetpointState.UNANSWERED
    assert await tick(w, 9) == []
    assert len(await tick(w, 1)) == 1


async def test_a_dynamic_profile_is_installed_once_and_then_updated(tmp_path: Path) -> None:
    """V2G-2, OCPP 2.1 K28; refused, it is installed anew."""
    async with world(tmp_path, quirks=DYNAMIC) as w:
        await w.person()
        await w.resource()
        await event(w)
        await tick(w)
        w.stations.answer = lambda command: Rejected("?") if isinstance(command, UpdateSetpoint) else Accepted()
        await w.system.events.cancel(DrEventId("dr-1"))
        assert len(await tick(w, 20)) == 1
        (update,) = w.stations.of(UpdateSetpoint)
        assert update.profile == profile_of(E1) == 1001
        assert setpoint(w).state is SetpointState.ACKNOWLEDGED
        assert w.evse.told.compliance.level is Level.FULL


async def test_the_others_make_room_for_an_evse_that_does_not_follow(tmp_path: Path) -> None:
    """Must hold 1: it is planned with what it draws, even above the fuse."""
    site = [{"id": "default", "import_limit_w": 3000, "export_limit_w": 3000}]
    async with world(tmp_path, station(), station(StationId("CS-2")), site=site) as w:
        await w.person()
        await w.resource(Conditions(required_soc_percent=95))
        other = w.at(EvseRef(StationId("CS-2"), 1))
        await w.take(w.event(0, "tx-9", other.ref, charging_state="Charging"))
        await w.take(w.metered(ref=other.ref, power_import_w=7000.0))
        assert (await w.system.rooms.dispatch.tick()).setpoints[0].setpoint_w > 0
        other.told.compliance = replace(other.told.compliance, level=Level.UNCONTROLLED)
        decision = await w.system.rooms.dispatch.tick()
        await w.quiet()
        assert [one.setpoint_w for one in decision.setpoints] == [0, 7000]


# --- the closed loop ---


async def test_power_that_follows_is_observed_after_the_vehicle_had_time_to_ramp(w: World) -> None:
    """V2G-9, V2G-12."""
    await w.resource()
    await event(w)
    await tick(w)
    w.clock.pass_(4)
    await w.take(w.metered(power_export_w=100.0))
    assert setpoint(w).state is SetpointState.ACKNOWLEDGED
    w.clock.pass_(2)
    await w.take(w.metered(power_export_w=3900.0))
    (record,) = await stored(w)
    assert (record.state, record.observed_w) == (SetpointState.OBSERVED, -3900)


async def test_power_that_does_not_come_is_asked_for_again_read_back_and_then_given_up(w: World) -> None:
    """V2G-9, V2G-10: re-sent, read back, one rung down; the plan is made anew."""
    await w.resource()
    await event(w)
    await tick(w)
    decided_at = setpoint(w).decided_at
    w.clock.pass_(10)
    for _ in range(5):
        await w.take(w.metered(power_import_w=0.0))
        w.clock.pass_(6)
    assert len(w.stations.of(ApplySetpoint)) == 2
    assert len(w.stations.of(ReadSchedule)) == 1
    assert w.evse.told.compliance.level is Level.NO_DISCHARGE
    assert w.system.rooms.dispatch._due.is_set()
    assert (await stored(w))[0].decided_at == decided_at


async def test_what_does_not_come_of_an_event_is_asked_of_others(tmp_path: Path) -> None:
    """Issue item 6, design §4: re-allocation, to the second vehicle and not to the one that does not give it."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.person(KEN, VehicleId("v-ken"), IdToken("CARD-KEN"))
        await w.resource()
        await event(w)
        assert await tick(w) == [-4000]
        await w.plug(KEN, E2)
        await w.say(conditions=LOW, ref=E2)
        w.at(E2).told.probe_state = ProbeState.PASSED
        await w.take(w.event(0, "tx-2", E2, token=IdToken("CARD-KEN"), charging_state="EVConnected"))
        await w.take(w.metered(ref=E2, soc_percent=80.0, power_import_w=0.0))
        w.at(E2).told.last_used_at = w.clock.now()  # asked second
        w.clock.pass_(10)
        await w.take(w.metered(power_export_w=2000.0, soc_percent=80.0))
        await w.system.rooms.dispatch.tick()
        await w.quiet()
        asked = [evse.told.setpoint.desired_w for evse in (w.evse, w.at(E2)) if evse.told.setpoint]
        assert (asked, shares(w)) == ([-4000, -2000], (6000, False))


async def test_what_is_missing_is_still_known_when_the_setpoint_is_renewed(w: World) -> None:
    """Design §4: the vehicles that stepped in are not sent away and called back."""
    await w.resource()
    await event(w, 6000)
    await tick(w)
    w.clock.pass_(91)
    await w.take(w.metered(power_export_w=400.0, soc_percent=80.0))
    first = setpoint(w)
    assert await tick(w) == [-6000]
    assert setpoint(w).id != first.id
    await tick(w)
    assert shares(w) == (6000, True)


async def test_of_a_vehicle_that_has_left_or_stopped_nothing_is_missing(w: World) -> None:
    """The plan counts on others already: counting twice would take too much."""
    await w.resource()
    await event(w)
    await tick(w)
    w.clock.pass_(10)
    await w.take(w.metered(power_export_w=400.0))
    assert served_of(w.evse) == Served(DrEventId("dr-1"), -4000, -400)
    await w.take(w.ended(1), w.metered(power_import_w=0.0))
    assert served_of(w.evse) is None
    assert w.evse.told.compliance.level is Level.FULL


# --- a no, silence, and what is too old (F9, F12, F8) ---


async def test_what_a_station_never_takes_is_asked_ever_more_rarely(w: World) -> None:
    """F12: NotImplemented was asked again each 11 s; here at most 12 times in an hour."""
    await w.resource()
    w.stations.answer = lambda command: CallFailed("NotImplemented")
    sent = 0
    for _ in range(360):
        sent += len(await tick(w, 10))
    assert 3 <= sent <= 12


async def test_a_sample_after_the_end_of_a_setpoint_does_not_count_against_it(w: World) -> None:
    """F12: 180 s later the station is at its failsafe limit, as it should be."""
    await w.resource()
    await event(w)
    await tick(w)
    w.clock.pass_(181)
    for _ in range(6):
        await w.take(w.metered(power_import_w=7000.0))
        w.clock.pass_(10)
    assert w.evse.told.compliance.misses == 0
    assert w.evse.told.compliance.level is Level.FULL


async def test_a_register_alone_shows_that_power_does_not_come(w: World) -> None:
    """F9: register-only stations were never found out."""
    await w.resource()
    await event(w)
    await tick(w)
    for _ in range(9):
        w.clock.pass_(10)
        await w.take(w.metered(import_wh=1000.3, export_wh=500.3))
    assert w.evse.told.compliance.level is Level.NO_DISCHARGE


async def test_an_evse_that_refuses_and_does_not_tell_its_power_is_not_counted_as_0_w(tmp_path: Path) -> None:
    """F9: after two refusals it was asked for 0 W, and its neighbour got all of the fuse."""
    site = [{"id": "default", "import_limit_w": 8000, "export_limit_w": 3000}]
    async with world(tmp_path, station(), station(StationId("CS-2")), site=site) as w:
        await w.person()
        await w.resource(Conditions(required_soc_percent=95))
        other = w.at(EvseRef(StationId("CS-2"), 1))
        await w.take(w.event(0, "tx-9", other.ref, charging_state="Charging"))
        other.told.compliance = replace(other.told.compliance, level=Level.UNCONTROLLED)
        decision = await w.system.rooms.dispatch.tick()
        await w.quiet()
        powers = {one.evse: one.setpoint_w for one in decision.setpoints}
        assert powers[E1] == 0, "8000 W less the rating of 7360 W is less than the least power"


async def test_a_no_of_a_station_that_was_away_meanwhile_is_no_inability(w: World) -> None:
    """F8: TxNotFound before it has replayed its queue."""
    await w.resource()
    await event(w)
    w.stations.gate.clear()
    w.stations.answer = lambda command: Rejected("TxNotFound")
    ticking = await w.system.rooms.dispatch.tick()
    assert ticking.setpoints[0].setpoint_w == -4000
    for _ in range(20):
        await w.store.writer.run(lambda _conn: None)
    w.system.rooms.dispatch.renew(changes.StationConnected(w.station))
    w.stations.gate.set()
    await w.quiet()
    assert (w.evse.told.compliance.refusals, w.evse.told.compliance.level) == (0, Level.FULL)


async def test_a_setpoint_that_is_sent_again_takes_nothing_from_what_the_first_one_commanded(w: World) -> None:
    """A12: its acknowledgement moved on, and what had been discharged by then was paid at the tariff."""
    await w.resource()
    await event(w)
    await tick(w)
    first = setpoint(w)
    for _ in range(2):
        w.clock.pass_(20)
        await w.take(w.metered(power_export_w=3000.0))
    again = setpoint(w)
    assert (again.desired_w, again.state) == (-4000, SetpointState.ACKNOWLEDGED)
    spans = in_force(await stored(w), w.plug_in.id)
    assert [(span.record.id, span.start) for span in spans] == [
        (first.id, first.acknowledged_at),
        (again.id, w.clock.now()),
    ]


@pytest.mark.parametrize("step_wh", [100, 1000])
async def test_a_coarse_register_s_slope_from_before_is_not_held_against_a_new_setpoint(w: World, step_wh: int) -> None:
    """F9: an EVSE that stopped at once was taken for one that does not follow, for the rest of its plug-in."""
    await w.resource(Conditions(required_soc_percent=30))
    await tick(w)
    for n in range(60):
        w.clock.pass_(60)
        await w.take(w.metered(import_wh=float(n * 7360 // 60 // step_wh * step_wh)))
        await tick(w)
    w.evse.told.compliance = Compliance(level=Level.NO_DISCHARGE)
    await event(w, 20_000)
    await tick(w)
    for _ in range(10):
        w.clock.pass_(60)
        await w.take(w.metered(import_wh=float(59 * 7360 // 60 // step_wh * step_wh)))
        await tick(w)
    assert (setpoint(w).desired_w, w.evse.told.compliance.level) == (0, Level.NO_DISCHARGE)


async def test_an_evse_that_goes_on_charging_is_found_out_by_its_coarse_register(w: World) -> None:
    """F9: over the renewals of the same setpoint."""
    await w.resource(Conditions(required_soc_percent=30))
    w.evse.told.compliance = Compliance(level=Level.NO_DISCHARGE)
    await event(w, 20_000)
    for n in range(30):
        await tick(w)
        w.clock.pass_(60)
        await w.take(w.metered(import_wh=float(n * 7360 // 60 // 100 * 100)))
    assert w.evse.told.compliance.level is Level.UNCONTROLLED
