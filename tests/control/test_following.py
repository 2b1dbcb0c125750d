"""What a station answered and what its meter shows are two things. V2G-9, V2G-10, V2G-12."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csms.control.dispatch.setpoint_queue import after, profile_of
from csms.control.dispatch.snapshots import served_of
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
from policies.compliance import Level
from tests.control.dispatching import event, setpoint, shares, stored, tick
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
    """V2G-10: one rung down at once."""
    await w.resource()
    await event(w)
    w.stations.answer = lambda command: Rejected("negative")
    assert await tick(w) == [-4000]
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
        other.compliance = replace(other.compliance, level=Level.UNCONTROLLED)
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
