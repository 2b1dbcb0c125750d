"""What is kept from decision to decision while an event runs, and over a restart in the middle of it. A1, A2, A11."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from csms.control.dispatch import deciding as room
from csms.control.state import changes
from csms.domain.commands import Offline
from csms.domain.conditions import Conditions
from csms.domain.decision import Decision, Reason
from csms.domain.errors import BadRequest
from csms.domain.ids import AreaId, EvseRef, StationId
from csms.domain.snapshot import Snapshot, Virtual
from csms.domain.station import ConnectorStatus, ProbeState, Version
from csms.domain.tariff import PriceStep
from csms.store import reads
from policies import decide
from policies.plugs import Policies
from tests.control.dispatch.dispatching import event, setpoint, stored, tick
from tests.control.kit import E1, LOW, S, World, station, world

OTHER = EvseRef(StationId("CS-2"), 1)


def virtual(w: World) -> Virtual:
    return w.system.rooms.dispatch.snapshots.virtual[E1]


async def kept(w: World) -> dict[EvseRef, Virtual]:
    return await w.store.read(reads.counterfactual)


async def back(w: World) -> None:
    """After a restart the station connects again."""
    w.station.version = w.stations.versions[S] = Version.V21
    w.station.is_settled = True
    w.system.rooms.dispatch.renew(changes.StationConnected(w.station))


async def test_the_counterfactual_begins_as_it_is_and_is_carried_from_decision_to_decision(w: World) -> None:
    """A1: a discharge changes the battery, not what would have been."""
    await w.resource()
    await event(w)
    await tick(w)
    first = virtual(w)
    assert (first.energy_wh, first.added_wh, first.power_w) == (32_000, 0, 0)
    w.clock.pass_(600)
    await w.take(w.metered(power_export_w=4000.0, soc_percent=78.0))
    await tick(w)
    assert (virtual(w).frozen_at, virtual(w).energy_wh, virtual(w).at) == (first.frozen_at, 32_000, w.clock.now())


async def test_the_counterfactual_is_stored_with_its_decision_and_ends_with_the_event(w: World) -> None:
    """A1: in the same work, before anything is sent."""
    await w.resource()
    made = await event(w)
    await tick(w)
    assert await kept(w) == {E1: virtual(w)}
    await w.system.events.cancel(made.id)
    await tick(w, 1)
    assert (w.system.rooms.dispatch.snapshots.virtual, await kept(w)) == ({}, {})


async def test_after_a_restart_in_the_middle_of_an_event_the_counterfactual_goes_on(w: World) -> None:
    """A1: it would begin anew, as the event has left the battery: the discharged energy would seem avoided charging."""
    await w.resource(Conditions(required_soc_percent=30))
    await event(w, 20_000)
    await tick(w)
    before = virtual(w)
    assert before.power_w == 7360
    await w.take(w.metered(power_export_w=6000.0, soc_percent=80.0))
    await w.restart()
    await back(w)
    w.evse.told.probe_state = ProbeState.PASSED
    await tick(w, 360)
    assert virtual(w).frozen_at == before.frozen_at
    assert virtual(w).energy_wh == pytest.approx(32_000 + 736 * 0.9, abs=10)


async def test_a_setpoint_and_its_decision_name_price_counterfactual_and_policies(w: World) -> None:
    """P11, must hold 4: 30 + 20 per kWh."""
    await w.resource()
    await event(w)
    await tick(w)
    (record,) = await stored(w)
    assert (record.price_per_kwh, record.counterfactual_w) == (Decimal(50), 0)
    named = await w.store.read(partial(reads.policies_of, at=w.clock.now()))
    assert named is not None
    assert "objective=merit-1" in named


async def test_a_priority_outlasts_a_restart(w: World) -> None:
    """A11: joint allocation goes by it."""
    made = await event(w, priority=3)
    await w.restart()
    assert w.system.events.open() == [made]


# --- what was learnt of a vehicle (A2) ---


async def full(w: World) -> None:
    """A vehicle that takes 100 W of 7360 outside any event."""
    await w.resource(Conditions(required_soc_percent=30))
    await tick(w)
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=100.0))
    assert w.evse.told.drawn_w == 100


async def test_what_a_vehicle_was_seen_to_take_outlasts_a_reconnect(w: World) -> None:
    """A2: a full vehicle was reported with 7,360 Wh delivered after one socket drop."""
    await full(w)
    w.system.rooms.intake.disconnected(S)
    w.system.rooms.intake.connected(S, Version.V21)
    w.station.is_settled = True
    await event(w)
    await tick(w, 1)
    assert w.evse.told.drawn_w == 100
    assert setpoint(w).counterfactual_w == 100


async def test_what_a_vehicle_was_seen_to_take_is_derived_again_after_a_restart(w: World) -> None:
    """A2: from the newest setpoint outside any event, though an event's came after it."""
    await full(w)
    await event(w)
    await tick(w)
    await w.restart()
    assert w.evse.told.drawn_w == 100


async def test_the_next_vehicle_inherits_nothing(w: World) -> None:
    """A2, P4."""
    await full(w)
    await w.take(w.ended(1, stopped_reason="EVDisconnected"), w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(300)
    await w.system.reactions.sweep()
    assert w.evse.plug_in is None
    assert w.evse.told.drawn_w is None


async def test_energy_since_the_plug_in_is_counted_by_the_register_and_again_after_a_restart(w: World) -> None:
    """A6: 7.36 kW for half an hour; the register does not begin at 0."""
    await w.plug()
    await w.say(conditions=LOW)
    await w.take(w.event(0, charging_state="Charging"), w.metered(import_wh=50_000.0))
    for n in range(1, 31):
        w.clock.pass_(60)
        await w.take(w.metered(import_wh=50_000.0 + n * 122.6))
    seen = w.system.rooms.dispatch.snapshots.snapshot().evses[0]
    assert seen.added_wh == pytest.approx(3678)
    assert seen.battery is not None
    assert (seen.battery.is_told, seen.battery.energy_wh) == (False, pytest.approx(3678 * 0.9))
    assert seen.observed_w == pytest.approx(7356, abs=10), "F9: from the register alone"
    await w.restart()
    again = w.system.rooms.dispatch.snapshots.snapshot().evses[0]
    assert (again.added_wh, again.battery) == (seen.added_wh, seen.battery)


async def test_power_is_not_known_once_its_sample_is_old(w: World) -> None:
    """F9: 7,000 W was shown 80 s after it; here the samples came each minute."""
    await w.resource()
    for _ in range(3):
        w.clock.pass_(60)
        await w.take(w.metered(power_import_w=7000.0))
    assert w.system.rooms.dispatch.snapshots.snapshot().evses[0].observed_w == 7000
    w.clock.pass_(151)
    assert w.system.rooms.dispatch.snapshots.snapshot().evses[0].observed_w is None


# --- a broken rule costs its site only (A11) ---


async def test_a_violation_costs_its_site_and_the_others_keep_their_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A11: one violation sent the whole fleet to its floor."""
    sites = [{"id": name, "import_limit_w": 50_000, "export_limit_w": 50_000} for name in ("default", "b")]
    async with world(tmp_path, station(), station(OTHER.station, site="b"), site=sites) as w:
        await w.person()
        await w.resource()
        w.at(OTHER).run.authorized = True
        await w.take(w.event(0, "tx-b", OTHER, charging_state="Charging"))
        w.at(OTHER).run.authorized = True
        await event(w)

        def careless(snapshot: Snapshot, policies: Policies) -> Decision:
            made = decide(snapshot, policies)
            wrong = (replace(one, setpoint_w=99_000) if one.evse == OTHER else one for one in made.setpoints)
            return replace(made, setpoints=tuple(wrong))

        monkeypatch.setattr(room, "decide", careless)
        await tick(w)
        decision = w.system.rooms.dispatch.decision
        assert decision is not None
        powers = {one.evse: (one.setpoint_w, Reason.FAILSAFE_LIMIT in one.reasons) for one in decision.setpoints}
        assert powers[E1] == (-4000, False)
        assert 0 <= powers[OTHER][0] <= 7360


async def test_an_event_that_ends_earlier_than_its_setpoint_was_told_shortens_it(w: World) -> None:
    """A11."""
    await w.resource()
    made = await event(w)
    await tick(w)
    shorter = replace(made, ends_at=w.clock.now() + timedelta(seconds=60))
    w.system.events.load([shorter])
    assert await tick(w, 1) == [-4000]
    assert setpoint(w).expires_at == shorter.ends_at


@pytest.mark.parametrize("seconds", [1, 20 * 86_400])
async def test_an_event_that_would_begin_in_the_past_is_refused_with_the_remedy(w: World, seconds: int) -> None:
    """A5: one posted late for 20 days ago turned -180 into -3,000 JPY."""
    with pytest.raises(BadRequest, match=r"starts_at: .* is in the past; leave it out to start now") as refused:
        await event(w, starts_at=w.clock.now() - timedelta(seconds=seconds))
    assert refused.value.field == "starts_at"
    assert w.system.events.open() == []


async def test_prices_published_over_each_other_are_the_same_after_a_restart(w: World) -> None:
    """P11, A11: the later one holds where both do."""
    now, area = w.clock.now(), AreaId("default")
    await w.system.prices.put(area, [PriceStep(now, Decimal(40))], now + timedelta(hours=4))
    await w.system.prices.put(area, [PriceStep(now + timedelta(hours=1), Decimal(50))], now + timedelta(hours=2))
    for _ in range(2):
        read = w.system.prices.series(area, now)
        assert [read.at(now + timedelta(hours=n)) for n in range(6)] == [40, 50, 40, 40, 30, 30]
        await w.restart()


async def test_a_plug_in_sweeps_its_own_evse_and_a_sweep_only_where_something_may_be_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A14: at 10,000 EVSEs each plug-in walked through all of them."""
    async with world(tmp_path, station(evses=20), station(OTHER.station, evses=20)) as w:
        swept: list[EvseRef] = []
        monkeypatch.setattr(type(w.system.rooms.probing), "sweep", lambda _self, _station, evse: swept.append(evse.ref))
        await w.plug(None)
        assert set(swept) == {E1}
        swept.clear()
        await w.system.reactions.sweep()
        assert swept == [E1]


async def test_an_event_that_starts_now_is_taken_though_the_clock_went_on_while_it_was_read(w: World) -> None:
    """A5: without ``starts_at`` it starts as it is taken in, never before."""
    asked_at = w.clock.now()
    w.clock.pass_(0.02)
    made = await event(w, starts_at=asked_at, created_at=asked_at)
    assert made.starts_at == w.clock.now()
    assert w.system.events.open() == [made]


async def test_a_counterfactual_that_moves_is_stored_though_the_setpoint_stays_the_same(tmp_path: Path) -> None:
    """A1, A12: it was renewed with the setpoint only, at half time: what had ended went on for up to 450 s."""
    async with world(tmp_path, dispatch={"setpoint_validity_s": 900}) as w:
        await w.person()
        await w.resource(Conditions(required_soc_percent=30))
        w.clock.pass_(60)
        await w.take(w.metered(soc_percent=85.0, power_import_w=7360.0))
        w.clock.pass_(60)
        await w.take(w.metered(soc_percent=94.0, power_import_w=7360.0))
        w.clock.pass_(60)
        await w.take(w.metered(soc_percent=99.0, power_import_w=7360.0))
        await event(w, 20_000)
        seen = set()
        for _ in range(60):
            await tick(w, 10)
            decision = w.system.rooms.dispatch.decision
            assert decision is not None
            seen.add(decision.setpoints[0].counterfactual_w)
            assert setpoint(w).counterfactual_w == pytest.approx(
                decision.setpoints[0].counterfactual_w, rel=0.12, abs=50
            )
        assert (max(seen) > 1500, min(seen)) == (True, 0)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_evse_out_of_reach_is_reserved_at_what_it_last_acknowledged(w: World, *, is_restarted: bool) -> None:
    """A3, A10: 7,360 W were acknowledged, the line went before the 0 W that followed: its neighbours got the room."""
    await w.resource(Conditions(required_soc_percent=30))
    w.station.failsafe_limit_w = 0
    await tick(w)
    w.stations.answer = lambda _command: Offline()
    await event(w, 7360)
    await tick(w, 12)
    del w.stations.versions[S]
    w.system.rooms.intake.disconnected(S)
    if is_restarted:
        await w.restart()
        w.station.failsafe_limit_w = 0
    assert w.seen().reserved_w == 7360
    w.clock.pass_(181)
    assert w.seen().reserved_w == 0
