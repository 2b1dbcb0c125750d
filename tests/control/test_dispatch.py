"""From the present to setpoints at stations, and whether the meter shows them."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from csms.control.outbox import after, profile_of
from csms.control.probing import broken_by, may_probe
from csms.control.snapshots import SOC_STALE_AFTER, served_of
from csms.domain.commands import (
    Accepted,
    ApplySetpoint,
    CallFailed,
    Command,
    Offline,
    ReadSchedule,
    Rejected,
    TimedOut,
    UpdateSetpoint,
)
from csms.domain.conditions import Conditions
from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import NeedsReported
from csms.domain.ids import DrEventId, EvseRef, SiteId, StationId, VehicleId
from csms.domain.permission import PermissionState
from csms.domain.snapshot import Served, Site, Terms, Use
from csms.domain.station import ProbeState, Quirks, SetpointDriver
from csms.store import reads
from policies.constraints import violations
from policies.setpoints import Level
from tests.control.kit import AOI, CARD, E1, E2, KEN, LOW, STRANGER, World, state_of, station, world

SITE = Site(id=SiteId("default"), import_limit_w=50_000, export_limit_w=50_000)
DYNAMIC = Quirks(driver=SetpointDriver.OCPP21_DYNAMIC)


async def event(w: World, requested_w: int = 4000, **changed: Any) -> DrEvent:
    made = DrEvent(
        id=DrEventId("dr-1"),
        direction=Direction.DOWN,
        requested_w=requested_w,
        starts_at=w.clock.now(),
        ends_at=w.clock.now() + timedelta(hours=1),
        incentive_per_kwh=Decimal(20),
        created_at=w.clock.now(),
    )
    return await w.system.events.create(replace(made, **changed))


async def tick(w: World, seconds: float = 0) -> list[int]:
    """The setpoints that one tick sends, W."""
    w.clock.pass_(seconds)
    before = len(w.stations.of(ApplySetpoint))
    await w.system.dispatch.tick()
    await w.quiet()
    return [sent.setpoint_w for sent in w.stations.of(ApplySetpoint)[before:]]


async def stored(w: World, ref: EvseRef = E1) -> list[SetpointRecord]:
    return await w.store.read(partial(reads.setpoints, evse=ref))


def shares(w: World) -> tuple[int, bool]:
    """What the newest decision allots to its event, and whether it falls short."""
    assert w.system.dispatch.decision is not None
    (share,) = w.system.dispatch.decision.events
    return share.allotted_w, Reason.DR_SHORTFALL in share.reasons


def setpoint(w: World) -> SetpointRecord:
    assert w.evse.setpoint is not None
    return w.evse.setpoint


# --- the snapshot ---


async def test_a_state_of_charge_is_unknown_once_it_is_old(w: World) -> None:
    """V2G-33: and its error grows until then."""
    await w.resource()
    fresh = w.system.present.snapshot().evses[0].battery
    w.clock.pass_(SOC_STALE_AFTER.total_seconds())
    old = w.system.present.snapshot().evses[0].battery
    assert fresh is not None
    assert old is not None
    assert (fresh.energy_wh, fresh.error_wh) == (32_000, 200)
    assert old.error_wh == 200 + 6000 / 4
    w.clock.pass_(1)
    assert w.system.present.snapshot().evses[0].battery is None


async def test_the_vehicles_own_word_on_its_limits_counts(w: World) -> None:
    """NotifyEVChargingNeeds: the lesser power, its own capacity."""
    await w.resource()
    needs = NeedsReported(
        origin=w.origin(),
        evse=E1,
        iso20=True,
        bidirectional=True,
        capacity_wh=60_000,
        max_discharge_w=2000,
        max_charge_w=99_000,
    )
    await w.take(needs)
    battery = w.system.present.snapshot().evses[0].battery
    assert battery is not None
    assert (battery.capacity_wh, battery.max_discharge_w, battery.max_charge_w) == (60_000, 2000, 7360)


async def test_conditions_become_energies_and_instants_only_for_a_resource(w: World) -> None:
    """P7: 30 % of 40 kWh."""
    await w.resource()
    assert w.system.present.snapshot().evses[0].terms.required_wh == 12_000
    await w.say(granted=False)
    assert w.system.present.snapshot().evses[0].terms == Terms()


async def test_an_evse_that_cannot_be_reached_is_planned_with_the_power_it_takes(w: World) -> None:
    """Design §4: its setpoint reaches nobody."""
    await w.resource()
    await w.take(w.metered(power_import_w=3000.0))
    w.station.version = None
    seen = w.system.present.snapshot().evses[0]
    assert (seen.fixed_w, seen.can_discharge) == (3000, False)
    assert await tick(w) == []


async def test_an_evse_at_a_site_that_is_not_configured_stops_nobody_else(tmp_path: Path) -> None:
    """Must hold 1: it has no known limits; it takes no part."""
    lost = station(StationId("lost"), site="removed")
    async with world(tmp_path, station(), lost) as w:
        await w.person()
        await w.resource()
        assert len(await tick(w)) == 1
        assert [state.ref for state in w.system.present.snapshot().evses] == [E1]


# --- from decision to station ---


async def test_a_decision_is_stored_before_anything_of_it_is_sent(w: World) -> None:
    """Must hold 4."""
    await w.resource()
    made = await event(w)
    kept: list[int] = []

    def answer(command: Command) -> Accepted:
        with w.store._reading.connect() as conn:
            kept.append(len(reads.decisions_of(conn, made.id)))
        return Accepted()

    w.stations.answer = answer
    await tick(w)
    assert kept == [1]


async def test_a_permitted_vehicle_discharges_in_an_event_and_the_why_is_kept(w: World) -> None:
    """P12, must hold 4."""
    await w.resource()
    made = await event(w)
    assert await tick(w) == [-4000]
    (record,) = await stored(w)
    assert (record.event, record.plug_in, record.transaction) == (made.id, w.plug_in.id, "tx-1")
    assert (record.state, record.acknowledged_at, record.observed_w) == (
        SetpointState.ACKNOWLEDGED,
        w.clock.now(),
        None,
    )
    assert Reason.DR_DISCHARGE in record.reasons


async def test_an_upward_event_charges_and_falls_short_of_what_is_missing(w: World) -> None:
    """P12, G11: the sign is the event's."""
    await w.resource(Conditions(required_soc_percent=30, max_buy_per_kwh=Decimal(15)))
    await event(w, direction=Direction.UP)
    assert await tick(w) == [4000]
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=1500.0))
    assert await tick(w) == []
    assert shares(w) == (4000, True)


async def test_a_vehicle_without_permission_is_never_told_to_discharge(w: World) -> None:
    """P4: held at 0 W, then plainly charged."""
    await w.plug()
    w.evse.probe_state = ProbeState.PASSED
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(soc_percent=80.0))
    await event(w)
    assert await tick(w) == [0]
    await w.say(granted=False)
    assert all(sent >= 0 for sent in await tick(w, 20))


async def test_the_host_gives_nothing_after_a_no_when_that_is_the_rule(tmp_path: Path) -> None:
    """P4."""
    async with world(tmp_path, permission={"on_refusal": "nothing"}) as w:
        await w.person()
        await w.resource(Conditions(required_soc_percent=95))
        await tick(w)
        await w.say(granted=False)
        assert w.system.present.snapshot().evses[0].use is Use.NOTHING
        assert await tick(w, 20) == [0]


async def test_only_what_is_new_is_sent_and_half_way_to_its_end_it_is_renewed(w: World) -> None:
    """Design §4: every setpoint ends; 180 s by default."""
    await w.resource()
    await event(w)
    assert len(await tick(w)) == 1
    await w.take(w.metered(power_export_w=4000.0, soc_percent=80.0))
    assert await tick(w, 80) == []
    await w.take(w.metered(power_export_w=4000.0, soc_percent=80.0))
    assert len(await tick(w, 11)) == 1


async def test_setpoints_change_no_faster_than_is_allowed(w: World) -> None:
    """``min_change_s``."""
    await w.resource()
    await event(w)
    await tick(w)
    await w.system.events.cancel(DrEventId("dr-1"))
    assert await tick(w, 9) == []
    assert await tick(w, 1) != []


async def test_the_newest_setpoint_of_an_evse_wins_while_the_station_is_busy(w: World) -> None:
    """V2G-52."""
    await w.resource()
    await event(w)
    w.stations.gate.clear()
    for _ in range(3):
        await w.system.dispatch.tick()
        await asyncio.sleep(0.01)
        w.system.outbox.put(w.evse, replace(setpoint(w), id=f"s-{w.counter}", desired_w=-1000 - w.counter))
        w.counter += 1
    last = setpoint(w)
    w.stations.gate.set()
    await w.quiet()
    sent = [command.setpoint_w for command in w.stations.of(ApplySetpoint)]
    assert len(sent) == 2
    assert sent[-1] == last.desired_w
    assert setpoint(w).state is SetpointState.ACKNOWLEDGED


async def test_a_setpoint_that_is_stale_is_dropped_and_never_sent_late(w: World) -> None:
    """V2G-52."""
    await w.resource()
    await tick(w)
    w.stations.gate.clear()
    w.system.outbox.put(w.evse, replace(setpoint(w), id="one", state=SetpointState.DESIRED))
    await asyncio.sleep(0.01)
    w.system.outbox.put(w.evse, replace(setpoint(w), id="two"))
    before = len(w.stations.sent)
    w.clock.pass_(179)
    w.stations.gate.set()
    await w.quiet()
    assert len(w.stations.sent) == before


async def test_a_setpoint_of_a_transaction_that_is_over_is_not_sent(w: World) -> None:
    """V2G-52: the next vehicle must not get it."""
    await w.resource()
    await tick(w)
    record = replace(setpoint(w), id="late")
    before = len(w.stations.sent)
    await w.take(w.ended(1))
    assert w.evse.setpoint is None
    w.system.outbox.put(w.evse, record)
    await w.quiet()
    assert len(w.stations.sent) == before


async def test_a_vehicle_that_comes_while_the_decision_is_stored_gets_nothing_of_it(w: World) -> None:
    """P4: the setpoint was for the one before."""
    await w.resource()
    await event(w)
    deciding = asyncio.ensure_future(w.system.dispatch.tick())
    await asyncio.sleep(0)
    w.evse.forget_vehicle()
    w.system.intake.receive(w.event(0, "tx-2", charging_state="EVConnected"), lambda answer: None)
    await deciding
    await w.quiet()
    assert [sent for sent in w.stations.of(ApplySetpoint) if sent.setpoint_w < 0] == []


async def test_a_no_that_comes_while_the_decision_is_stored_is_obeyed(w: World) -> None:
    """P4."""
    await w.resource()
    await event(w)
    deciding = asyncio.ensure_future(w.system.dispatch.tick())
    await asyncio.sleep(0)
    w.evse.plug_in = replace(w.plug_in, permission=replace(w.plug_in.permission, state=PermissionState.REFUSED))
    await deciding
    await w.quiet()
    sent = [command.setpoint_w for command in w.stations.of(ApplySetpoint)]
    assert all(power >= 0 for power in sent)


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
    assert w.evse.following.level is Level.NO_DISCHARGE
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
        assert w.evse.following.level is Level.FULL


async def test_the_others_make_room_for_an_evse_that_does_not_follow(tmp_path: Path) -> None:
    """Must hold 1: it is planned with what it draws, even above the fuse."""
    site = [{"id": "default", "import_limit_w": 3000, "export_limit_w": 3000}]
    async with world(tmp_path, station(), station(StationId("CS-2")), site=site) as w:
        await w.person()
        await w.resource(Conditions(required_soc_percent=95))
        other = w.at(EvseRef(StationId("CS-2"), 1))
        await w.take(w.event(0, "tx-9", other.ref, charging_state="Charging"))
        await w.take(w.metered(ref=other.ref, power_import_w=7000.0))
        assert (await w.system.dispatch.tick()).setpoints[0].setpoint_w > 0
        other.following = replace(other.following, level=Level.FIXED)
        decision = await w.system.dispatch.tick()
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
    assert w.evse.following.level is Level.NO_DISCHARGE
    assert w.system.dispatch._due.is_set()
    assert (await stored(w))[0].decided_at == decided_at


async def test_what_does_not_come_of_an_event_is_asked_of_others(tmp_path: Path) -> None:
    """Issue item 6, design §4: re-allocation, to the second vehicle and not to the one that does not give it."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.person(KEN, VehicleId("v-ken"), None)
        await w.resource()
        await event(w)
        assert await tick(w) == [-4000]
        await w.plug(KEN, E2)
        await w.say(conditions=LOW, ref=E2)
        w.at(E2).probe_state = ProbeState.PASSED
        await w.take(w.event(0, "tx-2", E2, token=CARD, charging_state="EVConnected"))
        await w.take(w.metered(ref=E2, soc_percent=80.0, power_import_w=0.0))
        w.at(E2).last_used_at = w.clock.now()  # asked second
        w.clock.pass_(10)
        await w.take(w.metered(power_export_w=2000.0, soc_percent=80.0))
        await w.system.dispatch.tick()
        await w.quiet()
        asked = [evse.setpoint.desired_w for evse in (w.evse, w.at(E2)) if evse.setpoint]
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
    assert w.evse.following.level is Level.FULL


# --- the probe ---


async def probing(w: World, conditions: Conditions = LOW) -> None:
    await w.resource(conditions)
    await tick(w)
    w.evse.probe_state = ProbeState.UNTRIED
    await tick(w, 20)


async def test_discharge_is_proven_before_it_is_used(w: World) -> None:
    """V2G-8: -1 kW; export is the proof, kept for the firmware."""
    await probing(w)
    assert [sent.setpoint_w for sent in w.stations.of(ApplySetpoint)] == [0, -1000]
    assert w.evse.probe_state is ProbeState.RUNNING
    w.clock.pass_(10)
    await w.take(w.metered(power_export_w=950.0))
    assert w.evse.probe_state is ProbeState.PASSED
    (kept,) = (await w.store.read(reads.live_state)).probes
    assert (kept.evse, kept.state) == (E1, ProbeState.PASSED)


@pytest.mark.parametrize(
    ("seconds", "reading", "state"),
    [
        (10, {"power_import_w": 5000.0}, ProbeState.UNSAFE),
        (61, {"power_import_w": 0.0}, ProbeState.FAILED),
        (30, {"power_import_w": 0.0}, ProbeState.RUNNING),
    ],
    ids=["negative means unlimited", "nothing in a minute", "not yet"],
)
async def test_a_probe_judges_by_the_meter(
    w: World, seconds: float, reading: dict[str, float], state: ProbeState
) -> None:
    """V2G-8."""
    await probing(w)
    w.clock.pass_(seconds)
    await w.take(w.metered(**reading))
    assert w.evse.probe_state is state
    if state is not ProbeState.RUNNING:
        await event(w)
        assert all(sent >= 0 for sent in await tick(w))


async def test_a_probe_that_the_station_refuses_has_failed_at_once(w: World) -> None:
    """V2G-8, V2G-10: there is nothing to wait for."""
    w.stations.answer = lambda command: Rejected("no") if getattr(command, "setpoint_w", 0) < 0 else Accepted()
    await probing(w)
    await w.system.sweep()
    assert w.evse.probe_state is ProbeState.FAILED


async def test_a_probe_without_any_reading_fails_in_two_minutes(w: World) -> None:
    """V2G-8."""
    await probing(w)
    w.clock.pass_(121)
    await w.system.sweep()
    assert w.evse.probe_state is ProbeState.FAILED


async def test_what_was_sampled_before_a_probe_says_nothing_about_it(w: World) -> None:
    """V2G-8: a late value of 5 kW import does not make the model unsafe for ever."""
    await probing(w)
    before = w.clock.now() - timedelta(seconds=1)
    w.evse.reading = None
    w.clock.pass_(5)
    await w.take(w.metered(at=before, power_import_w=5000.0))
    assert w.evse.probe_state is ProbeState.RUNNING


@pytest.mark.parametrize("how", ["unplugged", "ended", "offline"])
async def test_a_probe_that_is_cut_short_has_proven_nothing(w: World, how: str) -> None:
    """V2G-8: it is not held against the model; it is begun anew."""
    await probing(w)
    if how == "ended":
        await w.take(w.ended(1))
    elif how == "unplugged":
        await w.take(w.ended(1, stopped_reason="EVDisconnected"))
    else:
        w.station.version = None
        await w.system.sweep()
    w.clock.pass_(200)
    await w.system.sweep()
    await w.quiet()
    assert (w.evse.probe, w.evse.probe_state) == (None, ProbeState.UNTRIED)
    assert (await w.store.read(reads.live_state)).probes == ()


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(required_soc_percent=79.5),
        Conditions(required_soc_percent=30, min_sell_per_kwh=Decimal(31)),
        Conditions(required_soc_percent=30, discharge=False),
    ],
    ids=["no margin", "below the price", "not allowed"],
)
async def test_no_probe_breaks_a_users_conditions(w: World, conditions: Conditions) -> None:
    """P5, P7, V2G-8."""
    await probing(w, conditions)
    assert w.evse.probe_state is ProbeState.UNTRIED


async def test_no_probe_breaks_a_sites_export_limit_nor_do_two_together(tmp_path: Path) -> None:
    """Must hold 1: probes count against the limit like everything that is fed back."""
    site = [{"id": "default", "import_limit_w": 50_000, "export_limit_w": 1500}]
    async with world(tmp_path, station(), station(StationId("CS-2")), site=site) as w:
        await w.person()
        await w.person(KEN, None, None)
        await w.resource()
        w.evse.probe_state = ProbeState.UNTRIED
        snapshot = w.system.present.snapshot()
        (mine,) = snapshot.evses
        other = replace(mine, ref=EvseRef(StationId("CS-2"), 1))
        assert may_probe(mine, snapshot)
        feeding = replace(snapshot, evses=(mine, replace(other, fixed_w=-1000)))
        assert not may_probe(mine, feeding)
        drawing = replace(snapshot, evses=(mine, replace(other, fixed_w=3000)))
        assert may_probe(mine, drawing)


async def test_two_probes_of_one_tick_share_the_export_limit(tmp_path: Path) -> None:
    """Must hold 1."""
    site = [{"id": "default", "import_limit_w": 50_000, "export_limit_w": 1500}]
    async with world(tmp_path, station(), station(StationId("CS-2")), site=site) as w:
        await w.person()
        await w.resource()
        second = w.at(EvseRef(StationId("CS-2"), 1))
        second.plug_in = replace(w.plug_in, evse=second.ref)
        second.vehicle, second.transaction, second.authorized = w.evse.vehicle, w.evse.transaction, True
        w.evse.probe_state = ProbeState.UNTRIED
        decision = await w.system.dispatch.tick()
        await w.quiet()
        assert [w.evse.probe_state, second.probe_state].count(ProbeState.RUNNING) == 1
        assert sum(one.setpoint_w for one in decision.setpoints) >= -1500


async def test_an_unsafe_model_is_never_probed_again_even_through_another_driver(w: World) -> None:
    """V2G-8: it reads negative as unlimited. A proof through one driver is none for another."""
    await w.resource()
    w.quirks = DYNAMIC
    w.system.provisioning.booted(w.station)
    assert w.evse.probe_state is ProbeState.UNTRIED
    w.evse.probe_state = ProbeState.UNSAFE
    w.quirks = Quirks()
    w.system.provisioning.booted(w.station)
    await w.quiet()
    assert w.evse.probe_state is ProbeState.UNSAFE


async def test_a_probes_setpoint_is_stored_before_it_is_sent(w: World) -> None:
    """Must hold 4."""
    await w.resource()
    w.evse.probe_state = ProbeState.UNTRIED
    kept: list[SetpointState] = []

    def answer(command: Command) -> Accepted:
        with w.store._reading.connect() as conn:
            kept.extend(one.state for one in reads.setpoints(conn, evse=E1) if one.reasons == (Reason.PROBE,))
        return Accepted()

    w.stations.answer = answer
    assert await tick(w) == [-1000]
    assert kept == [SetpointState.DESIRED]


@pytest.mark.parametrize(
    ("export_limit_w", "min_sell", "incentive", "begins"),
    [(1000, 30, 0, True), (999, 30, 0, False), (1000, 31, 0, False), (1000, 31, 1, True), (1000, 32, 1, False)],
    ids=["within both", "over the export limit", "below the price", "an event pays enough", "an event pays too little"],
)
async def test_the_hard_rules_hold_with_the_probe_in_the_decision(
    tmp_path: Path, export_limit_w: int, min_sell: int, incentive: int, begins: bool
) -> None:
    """Must hold 1, P5: a probe is judged by the same rules as everything that is sent; the tariff is 30."""
    site = [{"id": "default", "import_limit_w": 50_000, "export_limit_w": export_limit_w}]
    async with world(tmp_path, site=site) as w:
        await w.person()
        await w.resource(replace(LOW, min_sell_per_kwh=Decimal(min_sell)))
        if incentive:
            await event(w, 100, incentive_per_kwh=Decimal(incentive))
        w.evse.probe_state = ProbeState.UNTRIED
        await tick(w)
        assert (w.evse.probe is not None) is begins
        assert w.system.dispatch.decision is not None
        assert violations(w.system.present.snapshot(), w.system.dispatch.decision) == ()


@pytest.mark.parametrize(
    ("export_limit_w", "conditions", "rules"),
    [
        (1000, LOW, []),
        (999, LOW, ["site_export_limit"]),
        (1000, replace(LOW, min_sell_per_kwh=Decimal(31)), ["discharge_below_min_sell"]),
        (1000, replace(LOW, min_sell_per_kwh=Decimal(31), entrust=True), []),
        (1000, replace(LOW, required_soc_percent=79.5), ["discharge_below_required"]),
        (1000, replace(LOW, discharge=False), ["discharge_without_permission"]),
    ],
    ids=["none", "export limit", "price", "entrusted", "required charge", "no discharge"],
)
async def test_a_probe_that_would_break_a_hard_rule_is_known_before_it_is_sent(
    tmp_path: Path, export_limit_w: int, conditions: Conditions, rules: list[str]
) -> None:
    """Must hold 1, P5, P7: whatever led to it."""
    site = [{"id": "default", "import_limit_w": 50_000, "export_limit_w": export_limit_w}]
    async with world(tmp_path, site=site) as w:
        await w.person()
        await w.resource(conditions)
        w.evse.probe_state = ProbeState.UNTRIED
        snapshot = w.system.present.snapshot()
        careless = replace(snapshot, sites=(SITE,), evses=(replace(snapshot.evses[0], terms=Terms()),))
        record = w.system.probing.begin(w.station, w.evse, careless.evses[0], careless)
        assert record is not None
        broken = broken_by(record, w.system.present.snapshot())
        assert [one.rule for one in broken] == rules


async def test_a_probe_ends_with_the_event_that_pays_for_it(w: World) -> None:
    """P5: cut short, it has proven nothing."""
    await w.resource(replace(LOW, min_sell_per_kwh=Decimal(31)))
    made = await event(w, 100, ends_at=w.clock.now() + timedelta(seconds=30))
    w.evse.probe_state = ProbeState.UNTRIED
    assert await tick(w) == [-1000]
    assert setpoint(w).expires_at == made.ends_at
    assert await tick(w, 30) == [0]
    assert w.evse.probe_state is ProbeState.UNTRIED


async def test_a_probe_ends_with_the_users_no(w: World) -> None:
    """P4: the vehicle is not discharged until the probe's own end."""
    await probing(w)
    await w.say(granted=False)
    assert w.evse.probe is not None
    (sent,) = await tick(w, 1)
    assert sent >= 0
    assert (w.evse.probe, w.evse.probe_state) == (None, ProbeState.UNTRIED)


@pytest.mark.parametrize(
    ("state", "hours", "new_plug_in", "again"),
    [
        (ProbeState.FAILED, 24, True, True),
        (ProbeState.FAILED, 23.9, True, False),
        (ProbeState.FAILED, 48, False, False),
        (ProbeState.UNSAFE, 48, True, False),
    ],
    ids=["a day later", "too soon", "the same plug-in", "unsafe"],
)
async def test_a_probe_that_failed_is_tried_once_more_a_day_later_with_another_plug_in(
    w: World, state: ProbeState, hours: float, new_plug_in: bool, again: bool
) -> None:
    """V2G-8: it may have been that vehicle. UNSAFE is for ever, another firmware or not."""
    await w.take(w.boot("1.0"))
    await w.resource()
    w.evse.probe_state, w.evse.probed_at = state, w.clock.now()
    if state is ProbeState.UNSAFE:
        await w.take(w.boot("2.0"))
    w.clock.pass_(hours * 3600)
    w.evse.plug_in = replace(
        w.plug_in, plugged_at=w.clock.now() if new_plug_in else w.plug_in.plugged_at, soc_at=w.clock.now()
    )
    await tick(w)
    assert (w.evse.probe is not None) is again


# --- what must not wait ---


async def test_an_open_question_takes_power_back_at_once(w: World) -> None:
    """P4: a card started a plain charge a second ago; then its holder is known, and asked."""
    await w.take(w.started(STRANGER, at=w.clock.now()), w.metered(soc_percent=50.0))
    w.evse.authorized = True
    assert (await tick(w))[0] > 0
    await w.system.permissions.claim(AOI, E1)
    await w.quiet()
    assert w.system.dispatch._due.is_set()
    assert await tick(w, 1) == [0]
    assert await tick(w, 1) == []


async def test_nothing_flows_while_the_holder_of_a_card_is_looked_up(w: World) -> None:
    """P4: the question is about to be put; a tick in between must not send the power of a plain charge."""
    w.system.intake.receive(w.started(), lambda answer: None)
    await w.store.writer.run(lambda _conn: None)
    assert (state_of(w), w.evse.authorized) == (PermissionState.UNASKED, True)
    assert w.system.present.snapshot().evses[0].use is Use.HELD
    await w.quiet()
    assert state_of(w) is PermissionState.ASKED


async def test_a_discharge_is_taken_back_at_once_when_the_user_says_no(w: World) -> None:
    """P4: ``min_change_s`` spares stations, not users."""
    await w.resource()
    await event(w)
    assert await tick(w) == [-4000]
    await w.say(granted=False)
    (sent,) = await tick(w, 1)
    assert sent >= 0
