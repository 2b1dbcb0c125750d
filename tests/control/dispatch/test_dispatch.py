"""From the present to setpoints at stations: what is decided, stored, sent and when."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from csms.domain.commands import (
    Accepted,
    ApplySetpoint,
    Command,
)
from csms.domain.conditions import Conditions
from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointState
from csms.domain.dr import Direction
from csms.domain.facts import NeedsReported
from csms.domain.ids import DrEventId, StationId
from csms.domain.permission import PermissionState
from csms.domain.snapshot import Use
from csms.domain.station import ConnectorStatus, ProbeState
from csms.store import reads
from tests.control.dispatch.dispatching import event, setpoint, shares, stored, tick
from tests.control.kit import AOI, CARD, E1, World, state_of, station, until, world

# --- the snapshot ---


async def test_a_state_of_charge_counts_less_the_older_it_is_and_is_not_told_once_it_says_too_little(w: World) -> None:
    """V2G-33: a tenth of 40 kWh is too much; 6 kW at the plug, and 250 W beside it, may have gone since, unmetered. The
    record stays known (A6)."""
    await w.resource()
    fresh = w.system.rooms.dispatch.snapshots.snapshot().evses[0].battery
    w.clock.pass_(30 * 60)
    old = w.system.rooms.dispatch.snapshots.snapshot().evses[0].battery
    w.clock.pass_(10 * 60)
    too_old = w.system.rooms.dispatch.snapshots.snapshot().evses[0].battery
    assert fresh is not None
    assert old is not None
    assert too_old is not None
    assert (fresh.energy_wh, fresh.error_wh, fresh.is_told) == (32_000, 200, True)
    assert (old.energy_wh, old.is_told) == (32_000, True)
    assert old.error_wh == pytest.approx(200 + (6000 / 0.9 + 250) / 2)
    assert (too_old.is_told, too_old.capacity_wh) == (False, 40_000)


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
    battery = w.system.rooms.dispatch.snapshots.snapshot().evses[0].battery
    assert battery is not None
    assert (battery.capacity_wh, battery.max_discharge_w, battery.max_charge_w) == (60_000, 2000, 7360)


async def test_the_vehicles_own_word_on_its_limits_holds_after_a_restart_and_not_for_the_next_vehicle(w: World) -> None:
    """Must hold 3: the newest that was said since the cable is in."""
    await w.resource()
    for capacity_wh in (50_000, 60_000):
        said = NeedsReported(origin=w.origin(), evse=E1, iso20=True, bidirectional=True, capacity_wh=capacity_wh)
        await w.take(said)
    before = w.seen().battery
    await w.restart()
    assert before is not None
    assert before.capacity_wh == 60_000
    assert w.seen().battery == before
    w.clock.pass_(60)
    await w.take(w.ended(1, stopped_reason="EVDisconnected"), w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.OCCUPIED))
    await w.restart()
    assert w.evse.meter.needs is None
    assert w.evse.plug_in is not None


async def test_conditions_become_energies_and_instants_and_the_required_charge_outlasts_a_no(w: World) -> None:
    """P7: 30 % of 40 kWh, whatever the permission; a no forbids the discharge."""
    await w.resource()
    granted = w.system.rooms.dispatch.snapshots.snapshot().evses[0].terms
    assert (granted.required_wh, granted.discharge) == (12_000, True)
    await w.say(granted=False)
    refused = w.system.rooms.dispatch.snapshots.snapshot().evses[0].terms
    assert (refused.required_wh, refused.discharge) == (12_000, False)


async def test_an_evse_that_cannot_be_reached_is_planned_with_the_power_it_takes(w: World) -> None:
    """Design §4: its setpoint reaches nobody."""
    await w.resource()
    await w.take(w.metered(power_import_w=3000.0))
    w.station.version = None
    seen = w.system.rooms.dispatch.snapshots.snapshot().evses[0]
    assert (seen.uncontrolled_w, seen.can_discharge) == (3000, False)
    assert await tick(w) == []


async def test_an_evse_at_a_site_that_is_not_configured_stops_nobody_else(tmp_path: Path) -> None:
    """Must hold 1: it has no known limits; it takes no part."""
    lost = station(StationId("lost"), site="removed")
    async with world(tmp_path, station(), lost) as w:
        await w.person()
        await w.resource()
        assert len(await tick(w)) == 1
        assert [state.ref for state in w.system.rooms.dispatch.snapshots.snapshot().evses] == [E1]


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
    w.evse.told.probe_state = ProbeState.PASSED
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(soc_percent=80.0))
    await event(w)
    assert await tick(w) == [0]
    await w.say(granted=False)
    assert all(sent >= 0 for sent in await tick(w, 20))


@pytest.mark.parametrize(("required", "sent"), [(75, [0]), (95, [7360])], ids=["reached", "not reached"])
async def test_the_host_gives_nothing_after_a_no_but_the_required_charge(
    tmp_path: Path, required: float, sent: list[int]
) -> None:
    """P4, B13: P7 stands above the host's choice; the vehicle is at 80 %."""
    async with world(tmp_path, permission={"on_refusal": "nothing"}) as w:
        await w.person()
        await w.resource(Conditions(required_soc_percent=required))
        await w.say(granted=False)
        assert w.system.rooms.dispatch.snapshots.snapshot().evses[0].use is Use.NOTHING
        assert await tick(w) == sent


async def test_only_what_is_new_is_sent_and_half_way_to_its_end_it_is_renewed(w: World) -> None:
    """Design §4: every setpoint ends; 180 s by default."""
    await w.resource()
    await event(w)
    assert len(await tick(w)) == 1
    await w.take(w.metered(power_export_w=4000.0, soc_percent=80.0))
    assert await tick(w, 80) == []
    await w.take(w.metered(power_export_w=4000.0, soc_percent=80.0))
    assert len(await tick(w, 11)) == 1


async def test_min_change_delays_what_takes_more_and_nothing_else(w: World) -> None:
    """A10: an increase waits ``min_change_s`` = 10 s; what gives room leaves a second later."""
    await w.resource(Conditions(required_soc_percent=30))
    assert await tick(w) == [7360]
    await event(w, 20_000)
    assert await tick(w, 1) == [0], "the stop at once, the discharge later"
    assert await tick(w, 8) == []
    (sent,) = await tick(w, 2)
    assert sent < 0


async def test_a_cancelled_event_ends_its_setpoints_at_once(w: World) -> None:
    """A11: it ran on for up to 180 s, and was paid at the tariff."""
    await w.resource()
    await event(w)
    assert await tick(w) == [-4000]
    await w.system.events.cancel(DrEventId("dr-1"))
    assert await tick(w, 1) == [0]
    assert setpoint(w).event is None


async def test_a_discharge_ends_at_once_where_charging_that_follows_has_to_wait(w: World) -> None:
    """A10, A11: −4 kW to 7.36 kW is an end and an increase; the end does not wait for the increase."""
    await w.resource(Conditions(required_soc_percent=30))
    await event(w, 20_000)
    assert (await tick(w))[0] < 0
    await w.system.events.cancel(DrEventId("dr-1"))
    sent = await tick(w, 1)
    assert sent == [0]
    assert await tick(w, 10) == [7360]


async def test_the_newest_setpoint_of_an_evse_wins_while_the_station_is_busy(w: World) -> None:
    """V2G-52."""
    await w.resource()
    await event(w)
    w.stations.gate.clear()
    await w.system.rooms.dispatch.tick()
    await until(lambda: len(w.stations.of(ApplySetpoint)) == 1)
    for _ in range(3):
        await w.system.rooms.dispatch.tick()
        w.system.rooms.dispatch.queue.put(
            w.evse, replace(setpoint(w), id=f"s-{w.counter}", desired_w=-1000 - w.counter)
        )
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
    known = len(w.stations.sent)
    w.system.rooms.dispatch.queue.put(w.evse, replace(setpoint(w), id="one", state=SetpointState.DESIRED))
    await until(lambda: len(w.stations.sent) > known)
    w.system.rooms.dispatch.queue.put(w.evse, replace(setpoint(w), id="two"))
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
    assert w.evse.told.setpoint is None
    w.system.rooms.dispatch.queue.put(w.evse, record)
    await w.quiet()
    assert len(w.stations.sent) == before


async def test_a_vehicle_that_comes_while_the_decision_is_stored_gets_nothing_of_it(w: World) -> None:
    """P4: the setpoint was for the one before."""
    await w.resource()
    await event(w)
    deciding = asyncio.ensure_future(w.system.rooms.dispatch.tick())
    await asyncio.sleep(0)
    w.evse.cable.plugged = w.evse.answer = None
    w.evse.run.transaction = None
    w.system.rooms.intake.receive(w.event(0, "tx-2", charging_state="EVConnected"), lambda answer: None)
    await deciding
    await w.quiet()
    assert [sent for sent in w.stations.of(ApplySetpoint) if sent.setpoint_w < 0] == []


async def test_a_no_that_comes_while_the_decision_is_stored_is_obeyed(w: World) -> None:
    """P4."""
    await w.resource()
    await event(w)
    deciding = asyncio.ensure_future(w.system.rooms.dispatch.tick())
    await asyncio.sleep(0)
    assert w.evse.answer is not None
    w.evse.answer.permission = replace(w.plug_in.permission, state=PermissionState.REFUSED)
    await deciding
    await w.quiet()
    sent = [command.setpoint_w for command in w.stations.of(ApplySetpoint)]
    assert all(power >= 0 for power in sent)


# --- what must not wait ---


async def test_a_question_takes_no_power_back_and_a_no_does_at_once_where_the_host_gives_nothing_then(w: World) -> None:
    """P4, S1: everybody may charge here; then somebody is asked."""
    w.evse.evse = replace(w.evse.evse, on_refusal="nothing")
    await w.take(w.event(0, charging_state="Charging"), w.metered(soc_percent=50.0))
    assert (await tick(w))[0] > 0
    await w.system.rooms.matching.claim(AOI, E1)
    assert await tick(w, 1) == []
    await w.say(granted=False)
    assert w.system.rooms.dispatch._due.is_set()
    assert await tick(w, 1) == [0]
    assert await tick(w, 1) == []


async def test_nothing_flows_while_the_holder_of_a_card_is_looked_up(w: World) -> None:
    """P4: the question is about to be put; a tick in between must not send the power of a plain charge."""
    w.system.rooms.intake.receive(w.started(), lambda answer: None)
    await w.store.writer.run(lambda _conn: None)
    assert (state_of(w), w.evse.run.authorized) == (PermissionState.UNASKED, True)
    assert w.system.rooms.dispatch.snapshots.snapshot().evses[0].use is Use.HELD
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


async def test_a_raised_required_charge_ends_a_discharge_within_one_tick(w: World) -> None:
    """B2: the vehicle stayed at −6,000 W after "95 %"."""
    await w.resource(Conditions(required_soc_percent=30))
    await event(w, 20_000)
    assert (await tick(w))[0] < -5000
    await w.say(conditions=Conditions(required_soc_percent=95))
    (sent,) = await tick(w, 1)
    assert sent >= 0


async def test_an_event_never_takes_a_watt_from_a_vehicle_without_permission(w: World) -> None:
    """B13, P4: plain charging goes on through a DOWN event of any size."""
    await w.plug()
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(soc_percent=50.0))
    await w.say(granted=False)
    await event(w, 1_000_000)
    assert await tick(w) == [7360]
    assert setpoint(w).event is None
