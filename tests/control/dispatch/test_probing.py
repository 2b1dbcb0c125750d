"""The supervised discharge probe. V2G-8."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from csms.control.dispatch.probing import broken_by
from csms.control.state import changes
from csms.domain.commands import (
    Accepted,
    ApplySetpoint,
    Command,
    ReadSchedule,
    Rejected,
)
from csms.domain.conditions import Conditions
from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointState
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.snapshot import Site, Terms
from csms.domain.station import ProbeState, Quirks, SetpointDriver
from csms.store import reads
from policies.constraints import violations
from policies.probe import may_probe
from tests.control.dispatch.dispatching import event, setpoint, tick
from tests.control.kit import E1, KEN, LOW, World, station, world

SITE = Site(id=SiteId("default"), import_limit_w=50_000, export_limit_w=50_000)
DYNAMIC = Quirks(driver=SetpointDriver.OCPP21_DYNAMIC)


# --- the probe ---


async def resting(w: World, conditions: Conditions = LOW) -> None:
    """Told 0 W, and the meter has shown since that nothing flows; nothing is proven yet."""
    await w.resource(conditions)
    await tick(w)
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=0.0))
    w.evse.told.probe_state = ProbeState.UNTRIED


async def probing(w: World, conditions: Conditions = LOW) -> None:
    await resting(w, conditions)
    await tick(w, 10)


async def test_discharge_is_proven_before_it_is_used(w: World) -> None:
    """V2G-8: -1 kW; export is the proof, kept for the firmware."""
    await probing(w)
    assert [sent.setpoint_w for sent in w.stations.of(ApplySetpoint)] == [0, -1000]
    assert w.evse.told.probe_state is ProbeState.RUNNING
    w.clock.pass_(10)
    await w.take(w.metered(power_export_w=950.0))
    assert w.evse.told.probe_state is ProbeState.PASSED
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
    assert w.evse.told.probe_state is state
    if state is not ProbeState.RUNNING:
        await event(w)
        assert all(sent >= 0 for sent in await tick(w))


async def test_a_probe_that_the_station_refuses_has_failed_at_once(w: World) -> None:
    """V2G-8, V2G-10: there is nothing to wait for."""
    w.stations.answer = lambda command: Rejected("no") if getattr(command, "setpoint_w", 0) < 0 else Accepted()
    await probing(w)
    await w.system.reactions.sweep()
    assert w.evse.told.probe_state is ProbeState.FAILED


async def test_a_probe_without_any_reading_fails_in_two_minutes(w: World) -> None:
    """V2G-8."""
    await probing(w)
    w.clock.pass_(121)
    await w.system.reactions.sweep()
    assert w.evse.told.probe_state is ProbeState.FAILED


async def test_what_was_sampled_before_a_probe_says_nothing_about_it(w: World) -> None:
    """V2G-8: a late value of 5 kW import does not make the model unsafe for ever."""
    await probing(w)
    before = w.clock.now() - timedelta(seconds=1)
    w.evse.meter.reading = None
    w.clock.pass_(5)
    await w.take(w.metered(at=before, power_import_w=5000.0))
    assert w.evse.told.probe_state is ProbeState.RUNNING


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
        await w.system.reactions.sweep()
    w.clock.pass_(200)
    await w.system.reactions.sweep()
    await w.quiet()
    assert (w.evse.told.probe, w.evse.told.probe_state) == (None, ProbeState.UNTRIED)
    assert (await w.store.read(reads.live_state)).probes == ()


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(required_soc_percent=79.5),
        Conditions(required_soc_percent=30, min_sell_per_kwh=Decimal(151)),
        Conditions(required_soc_percent=30, discharge=False),
    ],
    ids=["no margin", "beyond any price", "not allowed"],
)
async def test_no_probe_breaks_a_users_conditions(w: World, conditions: Conditions) -> None:
    """P5, P7, V2G-8."""
    await probing(w, conditions)
    assert w.evse.told.probe_state is ProbeState.UNTRIED


async def test_no_probe_breaks_a_sites_export_limit_nor_do_two_together(tmp_path: Path) -> None:
    """Must hold 1: probes count against the limit like everything that is fed back."""
    site = [{"id": "default", "import_limit_w": 50_000, "export_limit_w": 1500}]
    async with world(tmp_path, station(), station(StationId("CS-2")), site=site) as w:
        await w.person()
        await w.person(KEN, None, None)
        await w.resource()
        w.evse.told.probe_state = ProbeState.UNTRIED
        snapshot = w.system.rooms.dispatch.snapshots.snapshot()
        (mine,) = snapshot.evses
        other = replace(mine, ref=EvseRef(StationId("CS-2"), 1))
        assert may_probe(mine, snapshot)
        feeding = replace(snapshot, evses=(mine, replace(other, uncontrolled_w=-1000)))
        assert not may_probe(mine, feeding)
        drawing = replace(snapshot, evses=(mine, replace(other, uncontrolled_w=3000)))
        assert may_probe(mine, drawing)


async def test_two_probes_of_one_tick_share_the_export_limit(tmp_path: Path) -> None:
    """Must hold 1."""
    site = [{"id": "default", "import_limit_w": 50_000, "export_limit_w": 1500}]
    async with world(tmp_path, station(), station(StationId("CS-2")), site=site) as w:
        await w.person()
        await w.resource()
        second = w.at(EvseRef(StationId("CS-2"), 1))
        second.cable.plugged = replace(w.plug_in, evse=second.ref)
        second.answer, second.run = w.evse.answer, w.evse.run
        w.evse.told.probe_state = ProbeState.UNTRIED
        decision = await w.system.rooms.dispatch.tick()
        await w.quiet()
        assert [w.evse.told.probe_state, second.told.probe_state].count(ProbeState.RUNNING) == 1
        assert sum(one.setpoint_w for one in decision.setpoints) >= -1500


async def test_an_unsafe_model_is_never_probed_again_even_through_another_driver(w: World) -> None:
    """V2G-8: it reads negative as unlimited. A proof through one driver is none for another."""
    await w.resource()
    w.quirks = DYNAMIC
    w.system.rooms.setup.booted(changes.StationBooted(w.station))
    assert w.evse.told.probe_state is ProbeState.UNTRIED
    w.evse.told.probe_state = ProbeState.UNSAFE
    w.quirks = Quirks()
    w.system.rooms.setup.booted(changes.StationBooted(w.station))
    await w.quiet()
    assert w.evse.told.probe_state is ProbeState.UNSAFE


async def test_a_probes_setpoint_is_stored_before_it_is_sent(w: World) -> None:
    """Must hold 4."""
    await resting(w)
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
    [(1000, 30, 0, True), (999, 30, 0, False), (1000, 31, 0, True), (1000, 32, 1, True), (1000, 151, 0, False)],
    ids=["within both", "over the export limit", "paid more", "an event pays less", "asks five times the tariff"],
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
        w.evse.told.probe_state = ProbeState.UNTRIED
        await tick(w)
        assert (w.evse.told.probe is not None) is begins
        assert w.system.rooms.dispatch.decision is not None
        assert violations(w.system.rooms.dispatch.snapshots.snapshot(), w.system.rooms.dispatch.decision) == ()


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
        w.evse.told.probe_state = ProbeState.UNTRIED
        snapshot = w.system.rooms.dispatch.snapshots.snapshot()
        careless = replace(snapshot, sites=(SITE,), evses=(replace(snapshot.evses[0], terms=Terms()),))
        record = w.system.rooms.probing.begin(w.station, w.evse, careless.evses[0], careless)
        assert record is not None
        broken = broken_by(record, w.system.rooms.dispatch.snapshots.snapshot())
        assert [one.rule for one in broken] == rules


async def test_a_probe_is_paid_by_the_users_own_condition(w: World) -> None:
    """P5, A11: minimum 31 at a tariff of 30; an event that pays 5 has no part in it. Before: paid 5."""
    await w.resource(replace(LOW, min_sell_per_kwh=Decimal(31)))
    await event(w, 100, price_per_kwh=Decimal(5), incentive_per_kwh=None)
    w.evse.told.probe_state = ProbeState.FAILED
    await tick(w)
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=0.0))
    w.evse.told.probe_state = ProbeState.UNTRIED
    assert await tick(w) == [-1000]
    assert (setpoint(w).price_per_kwh, setpoint(w).event) == (Decimal(31), None)


async def test_a_probe_ends_with_the_users_no(w: World) -> None:
    """P4: the vehicle is not discharged until the probe's own end."""
    await probing(w)
    await w.say(granted=False)
    assert w.evse.told.probe is not None
    (sent,) = await tick(w, 1)
    assert sent >= 0
    assert (w.evse.told.probe, w.evse.told.probe_state) == (None, ProbeState.UNTRIED)


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
    w.evse.told.probe_state, w.evse.told.probed_at = state, w.clock.now()
    if state is ProbeState.UNSAFE:
        await w.take(w.boot("2.0"))
    w.clock.pass_(hours * 3600)
    w.evse.cable.plugged = replace(
        w.plug_in, plugged_at=w.clock.now() if new_plug_in else w.plug_in.plugged_at, soc_at=w.clock.now()
    )
    await w.take(w.metered(soc_percent=80.0, power_import_w=0.0))
    await tick(w)
    assert (w.evse.told.probe is not None) is again


# --- from rest, and what the station says of it (F10) ---


async def test_a_probe_begins_at_0_w_where_power_flows_and_goes_on_once_the_meter_shows_rest(w: World) -> None:
    """F10: begun at full power, a rise to "unlimited" does not show."""
    await w.resource(Conditions(required_soc_percent=30))
    assert await tick(w) == [7360]
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=7300.0, soc_percent=80.0))
    w.evse.told.probe_state = ProbeState.UNTRIED
    assert await tick(w, 5) == [0]
    w.clock.pass_(5)
    await w.take(w.metered(power_import_w=6000.0))
    assert await tick(w) == [], "it has not come to rest"
    w.clock.pass_(5)
    await w.take(w.metered(power_import_w=0.0))
    assert await tick(w) == [-1000]
    w.clock.pass_(5)
    await w.take(w.metered(power_import_w=5000.0))
    assert w.evse.told.probe_state is ProbeState.UNSAFE


async def test_a_vehicle_that_does_not_come_to_rest_has_failed_the_probe(w: World) -> None:
    """F10, V2G-8."""
    await w.resource(Conditions(required_soc_percent=30))
    await tick(w)
    await w.take(w.metered(power_import_w=7300.0))
    w.evse.told.probe_state = ProbeState.UNTRIED
    await tick(w, 5)
    w.clock.pass_(121)
    await w.take(w.metered(power_import_w=7300.0))
    assert (w.evse.told.probe, w.evse.told.probe_state) == (None, ProbeState.FAILED)


@pytest.mark.parametrize(
    ("periods", "state"),
    [
        ([[0, 33_120.0]], ProbeState.UNSAFE),
        ([[0, -1000.0]], ProbeState.RUNNING),
        ([[0, -1000.0], [20, 7360.0]], ProbeState.RUNNING),
        ([[0, 0.0]], ProbeState.RUNNING),
        ([], ProbeState.RUNNING),
    ],
    ids=["unlimited", "as told", "the failsafe limit after its end", "clipped to 0", "says nothing"],
)
async def test_what_the_station_makes_of_the_negative_value_is_read_back(
    w: World, periods: list[list[float]], state: ProbeState
) -> None:
    """F10: a composite schedule of 33,120 W was judged FAILED, and tried again the next day."""

    def answer(command: Command) -> Accepted:
        return Accepted({"periods": periods}) if isinstance(command, ReadSchedule) else Accepted()

    w.stations.answer = answer
    await probing(w)
    await w.system.reactions.sweep()
    await w.quiet()
    await w.system.reactions.sweep()
    await w.quiet()
    assert w.evse.told.probe_state is state
    assert len(w.stations.of(ReadSchedule)) == 1


async def test_a_probe_is_judged_by_the_registers_where_no_power_is_told(w: World) -> None:
    """F9: 950 W out, by the export register alone."""
    await resting(w)
    assert await tick(w) == [-1000]
    out_wh = 1000.0
    for _ in range(5):
        w.clock.pass_(10)
        out_wh += 950 / 360
        await w.take(w.metered(import_wh=500.3, export_wh=out_wh))
    assert w.evse.told.probe_state is ProbeState.PASSED


async def test_a_sample_from_before_the_station_took_the_negative_value_is_no_verdict(w: World) -> None:
    """V2G-8: a vehicle that was about to begin to charge would make its model unsafe for ever."""
    await probing(w)
    w.evse.told.setpoint = replace(setpoint(w), acknowledged_at=w.clock.now() + timedelta(seconds=5))
    w.clock.pass_(4)
    await w.take(w.metered(power_import_w=7000.0))
    assert w.evse.told.probe_state is ProbeState.RUNNING


async def test_what_flows_between_the_beginning_of_a_probe_and_its_sending_is_no_verdict(w: World) -> None:
    """V2G-8: the charge from before still holds until then; judged by it, a healthy model was unsafe for ever."""
    await w.resource(Conditions(required_soc_percent=30))
    assert await tick(w) == [7360]
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=0.0))
    w.evse.told.probe_state = ProbeState.UNTRIED
    snapshot = w.system.rooms.dispatch.snapshots.snapshot()
    record = w.system.rooms.probing.begin(w.station, w.evse, snapshot.evses[0], snapshot)
    assert record is not None
    w.clock.pass_(1)
    await w.take(w.metered(power_import_w=7000.0))
    await w.quiet()
    assert w.evse.told.probe_state is ProbeState.RUNNING
    assert w.stations.of(ReadSchedule) == []


async def test_a_vehicle_that_has_not_begun_to_charge_yet_is_not_at_rest(w: World) -> None:
    """V2G-8: told 7360 W it draws nothing for a moment; its rise, seen in a probe, was held against its model."""
    await w.resource(Conditions(required_soc_percent=30))
    assert await tick(w) == [7360]
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=0.0))
    w.evse.told.probe_state = ProbeState.UNTRIED
    assert await tick(w) == [0]
    await w.take(w.metered(power_import_w=0.0))
    assert await tick(w) == [], "the 0 W was taken just now"
    w.clock.pass_(1)
    await w.take(w.metered(power_import_w=7000.0))
    assert w.evse.told.probe_state is ProbeState.RUNNING
    w.clock.pass_(10)
    await w.take(w.metered(power_import_w=0.0))
    assert await tick(w) == [-1000]
