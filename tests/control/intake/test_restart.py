"""A restart in the middle of everything: what was committed is there again, and nothing else. Must hold 3."""

from datetime import timedelta
from functools import partial

import pytest

from csms.control.intake import transactions
from csms.control.state.use import use_now
from csms.domain.answers import TokenStatus
from csms.domain.commands import StartTransaction
from csms.domain.errors import NotFound
from csms.domain.facts import IdToken, TokenType
from csms.domain.ids import EvseRef
from csms.domain.people import IdTokenRecord
from csms.domain.permission import PermissionState
from csms.domain.snapshot import Use
from csms.domain.station import BootState, ConnectorStatus, ProbeState, Version
from csms.store import reads, writes
from tests.control.dispatch.test_probing import probing
from tests.control.kit import AOI, CARD, E1, LEAF, STRANGER, S, World, state_of


def use(w: World) -> Use:
    return use_now(w.evse, w.settings.permission, w.clock.now())


async def test_a_question_is_still_open_after_a_restart(w: World) -> None:
    """P3, P4."""
    await w.plug()
    before = w.plug_in
    await w.restart()
    assert w.plug_in == before
    await w.say()
    assert state_of(w) is PermissionState.GRANTED


async def test_a_permitted_vehicle_is_still_a_resource_after_a_restart(w: World) -> None:
    """P4: with its user, vehicle, transaction and conditions."""
    await w.resource()
    w.evse.told.probe_state = ProbeState.UNTRIED
    before = w.plug_in
    await w.restart()
    evse = w.evse
    assert (evse.run.transaction, evse.run.authorized, evse.is_over) == ("tx-1", True, False)
    assert (evse.vehicle.id if evse.vehicle else None, w.plug_in.permission) == (LEAF, before.permission)
    assert use(w) is Use.RESOURCE


async def test_where_everybody_may_charge_energy_flows_on_after_a_restart(w: World) -> None:
    """P4: 2.x, NoAuthorization; the events that follow need not say again that it charges."""
    await w.plug()
    await w.take(w.event(0, token=IdToken("", TokenType.NONE), charging_state="Charging"))
    await w.say()
    await w.restart()
    await w.take(w.event(1, trigger="MeterValuePeriodic"))
    assert (w.evse.run.authorized, use(w)) == (True, Use.RESOURCE)


async def test_what_has_ended_is_not_started_again_after_a_restart(w: World) -> None:
    """P4: the transaction is over, the cable is in."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.ended(1))
    await w.restart()
    w.station.version = w.stations.versions[S] = Version.V21
    w.clock.pass_(60)
    await w.system.reactions.sweep()
    await w.quiet()
    assert w.evse.is_over
    assert len(w.stations.of(StartTransaction)) == 1


async def test_an_open_transaction_of_a_vehicle_long_gone_does_not_hold_up_the_next_one(w: World) -> None:
    """Field lesson 13: its stop never came."""
    await w.take(w.started())
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(151)
    await w.system.reactions.sweep()
    w.clock.pass_(3600)
    await w.plug()
    await w.restart()
    assert (w.evse.run.transaction, w.evse.run.authorized) == (None, False)
    assert w.plug_in.user == AOI


async def test_a_transaction_that_we_know_nothing_of_is_taken_over_as_it_runs(w: World) -> None:
    """Field lesson 25: an empty database, or another server's customer. Plain charging, until its user says more."""
    w.system.rooms.intake.connected(S, Version.V16)
    await w.take(w.metered(transaction=4711, power_import_w=3000.0))
    assert w.evse.run.transaction is None, "no cable, no status that speaks of one"
    await w.take(w.status(ConnectorStatus.CHARGING))
    w.clock.pass_(60)
    await w.take(w.metered(transaction=4711, power_import_w=3000.0, soc_percent=50.0))
    assert (w.evse.run.transaction, w.evse.run.authorized, w.plug_in.transaction) == ("4711", True, "4711")
    assert use(w) is Use.PLAIN
    (record,) = await w.store.read(reads.open_transactions)
    assert (record.id, record.evse, record.started_at, record.meter_start_wh) == ("4711", E1, None, None)
    assert record.incomplete
    await w.store.writer.run(partial(writes.save_boot, fact=w.boot(), version=Version.V16, state=BootState.ACCEPTED))
    await w.restart()
    assert (w.evse.run.transaction, w.evse.run.authorized) == ("4711", True)
    await w.system.rooms.matching.claim(AOI, E1)
    await w.quiet()
    assert (use(w), state_of(w)) == (Use.PLAIN, PermissionState.ASKED), "the question pauses nothing (S1)"
    await w.take(w.stopped(4711))
    assert w.evse.run.transaction is None
    assert await w.store.read(reads.open_transactions) == []
    w.clock.pass_(60)
    await w.take(w.metered(transaction=4711, power_import_w=3000.0))
    assert w.evse.run.transaction is None


@pytest.mark.parametrize(
    ("transaction", "late_s", "after_s"),
    [("-1", 0, 60), ("0", 0, 60), ("x", 0, 60), ("4711", 301, 400), ("4711", 100, 60)],
    ids=["never answered", "zero", "no number", "from a queue", "before the cable"],
)
async def test_other_values_make_no_transaction(w: World, transaction: str, late_s: float, after_s: float) -> None:
    """Field lessons 11 and 15, V2G-55."""
    await w.plug(None)
    now = w.clock.pass_(after_s)
    await w.take(w.metered(transaction=transaction, at=now - timedelta(seconds=late_s), power_import_w=3000.0))
    assert w.evse.run.transaction is None
    assert await w.store.read(reads.open_transactions) == []


async def test_a_start_gets_an_id_that_no_adopted_transaction_has(w: World) -> None:
    """V2G-55: another server's ids are no part of our sequence."""
    await w.plug(None)
    taken = await w.store.writer.run(partial(writes.reserve_transaction_ids, count=1)) - 1000
    w.clock.pass_(60)
    await w.take(w.metered(transaction=taken, power_import_w=3000.0))
    assert w.evse.run.transaction == str(taken)
    (answer,) = await w.take(w.started(ref=EvseRef(S, 2)))
    assert answer.transaction != taken  # type: ignore[union-attr]
    assert answer.transaction > 0  # type: ignore[union-attr]


async def test_a_refused_token_is_not_accepted_by_a_restart(w: World) -> None:
    """P4."""
    await w.token(IdTokenRecord(token="BAD", status=TokenStatus.BLOCKED))
    for token in (STRANGER, IdToken("BAD")):
        await w.take(w.started(token))
        assert not w.evse.run.authorized
        await w.restart()
        assert w.evse.run.transaction is not None
        assert not w.evse.run.authorized


async def test_p4_a_card_that_had_expired_is_not_accepted_by_a_restart(w: World) -> None:
    """Nor is one that has expired since its transaction began refused."""
    await w.token(IdTokenRecord(token="OLD", expires_at=w.clock.now() - timedelta(days=1)))
    await w.token(IdTokenRecord(token="SOON", expires_at=w.clock.now() + timedelta(minutes=10)))
    for token, is_accepted in ((IdToken("OLD"), False), (IdToken("SOON"), True)):
        await w.take(w.started(token))
        assert w.evse.run.authorized == is_accepted
        w.clock.pass_(900 if is_accepted else 60)
        await w.restart()
        assert (w.evse.run.transaction is not None, w.evse.run.authorized) == (True, is_accepted)


async def test_b1_the_token_of_a_start_that_never_came_about_authorizes_nothing_after_a_restart(w: World) -> None:
    """1.6: Aoi has left, the station still waits for a cable; the next car was refused, and accepted by a restart."""
    await w.plug()
    await w.say()
    await w.system.reactions.sweep()
    await w.quiet()
    (command, *_) = w.stations.of(StartTransaction)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(6)
    await w.take(w.status(ConnectorStatus.PREPARING), w.started(command.token))
    for _ in range(2):
        assert (w.plug_in.user, w.evse.run.authorized) == (None, False)
        await w.restart()


async def test_no_power_flows_after_a_restart_where_no_transaction_runs(w: World) -> None:
    """Field lesson 19."""
    await w.take(w.started())
    await w.take(w.metered(power_import_w=5000.0), w.stopped(w.evse.run.transaction))
    await w.restart()
    assert w.evse.power_w == 0


async def test_a_proven_discharge_is_proven_after_a_restart_for_the_same_firmware(w: World) -> None:
    """V2G-8."""
    await w.take(w.boot("1.0"))
    await probing(w)
    assert w.evse.told.probe is not None
    w.clock.pass_(10)
    await w.take(w.metered(power_export_w=1000.0))
    assert w.evse.told.probe_state is ProbeState.PASSED
    await w.restart()
    assert w.evse.told.probe_state is ProbeState.PASSED
    await w.take(w.boot("2.0"))
    assert w.evse.told.probe_state is ProbeState.UNTRIED


async def test_a_plug_in_at_an_evse_that_the_station_brought_along_survives_a_restart(w: World) -> None:
    """An EVSE that was never provisioned comes into being when its station names it."""
    found = EvseRef(S, 5)
    await w.plug(AOI, found)
    await w.take(w.metered(ref=found, import_wh=7.0, power_import_w=0.0))
    before, statuses = w.at(found).plug_in, w.at(found).cable.statuses
    await w.restart()
    assert w.station.station.evses[-1].ref == found
    assert (w.at(found).plug_in, w.at(found).cable.statuses) == (before, statuses)
    reading = w.at(found).meter.reading
    assert reading is not None
    assert (reading.at, reading.import_wh) == (w.clock.now(), 7.0)


async def test_an_evse_comes_into_being_by_its_station_only(w: World) -> None:
    """Neither a link that somebody made up nor an API call makes one."""
    with pytest.raises(NotFound):
        await w.system.rooms.matching.claim(AOI, EvseRef(S, 5))
    assert list(w.station.evses) == [1]


async def test_the_state_of_charge_a_vehicle_came_with_survives_a_restart(w: World) -> None:
    """P7: stored once it is known, though later samples are not."""
    await w.take(w.started(), w.metered(soc_percent=80.0))
    w.clock.pass_(600)
    await w.take(w.metered(soc_percent=60.0))
    await w.restart()
    assert (w.plug_in.soc_at_start_percent, w.plug_in.soc_percent) == (80.0, 60.0)


async def test_a_station_that_comes_back_in_another_version_keeps_its_plug_in(w: World) -> None:
    """Version is of the connection."""
    await w.resource()
    w.system.rooms.intake.disconnected(S)
    w.stations.versions[S] = Version.V16
    w.system.rooms.intake.connected(S, Version.V16)
    await w.quiet()
    assert (w.station.version, w.station.station.version) == (Version.V16, Version.V16)
    assert w.plug_in.evse == E1
    assert w.plug_in.permission.state is PermissionState.GRANTED


async def test_a_transaction_id_that_is_given_again_after_a_reset_is_authorized_like_the_first(w: World) -> None:
    """B4: the second of the same id was started, and every later event of it was dropped as one of the first."""
    for _ in range(2):
        w.clock.pass_(60)
        started = w.event(0, charging_state="EVConnected")
        w.clock.pass_(5)
        await w.take(started, w.event(1, token=CARD, charging_state="Charging"))
        assert (w.evse.run.transaction, w.evse.run.authorized) == ("tx-1", True)
        w.clock.pass_(5)
        await w.take(w.ended(2, stopped_reason="Local"))
        assert w.evse.run.transaction is None


async def test_a_card_shown_in_the_middle_of_a_transaction_authorizes_it_after_a_restart_too(w: World) -> None:
    """Must hold 3: the transaction began with a card that was turned down."""
    await w.take(
        w.event(0, token=STRANGER, charging_state="EVConnected"), w.event(1, token=CARD, charging_state="Charging")
    )
    await w.restart()
    assert (w.evse.run.transaction, w.evse.run.authorized) == ("tx-1", True)


async def test_a_station_that_asks_for_no_card_charges_after_a_restart_too(w: World) -> None:
    """Must hold 3: energy flowed and nobody was asked for a token."""
    await w.take(w.event(0, charging_state="Charging"))
    await w.restart()
    assert (w.evse.run.transaction, w.evse.run.authorized) == ("tx-1", True)


async def test_a_late_start_with_a_refused_card_is_not_adopted_after_a_restart(w: World) -> None:
    """Lessons 15 and 25: it is known whose it is, and that nothing may flow in it."""
    late = w.clock.now() - timedelta(seconds=900)
    (answer,) = await w.take(w.started(STRANGER, at=late))
    await w.restart()
    await w.take(w.metered(transaction=answer.transaction, power_import_w=3000.0))  # type: ignore[union-attr]
    assert (w.evse.run.transaction, w.evse.run.authorized) == (str(answer.transaction), False)  # type: ignore[union-attr]


async def test_a_status_from_a_queue_is_history_after_a_restart_too(w: World) -> None:
    """Lesson 16: what arrived last was said first."""
    await w.take(w.status(ConnectorStatus.CHARGING))
    w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.PREPARING, at=w.clock.now() - timedelta(seconds=900)))
    await w.restart()
    assert w.evse.cable.statuses[1].status is ConnectorStatus.CHARGING


@pytest.mark.parametrize("version", [Version.V16, Version.V21])
async def test_a_vehicle_whose_stop_is_stamped_before_its_start_has_left(w: World, version: Version) -> None:
    """Lesson 16: the clock was set back in the middle of it; the status of before is not the next vehicle's."""
    await w.take(w.status(ConnectorStatus.PREPARING))
    w.clock.pass_(60)
    back = w.clock.now() - timedelta(seconds=900)
    if version is Version.V16:
        (answer,) = await w.take(w.started())
        stop = w.stopped(answer.transaction, at=back, reason="EVDisconnected")  # type: ignore[union-attr]
    else:
        await w.take(w.event(0, token=CARD, charging_state="Charging"))
        stop = w.ended(1, at=back, stopped_reason="EVDisconnected")
    await w.take(stop)
    assert w.evse.plug_in is None
    (record,) = await w.store.read(reads.transactions)
    assert record.ended_at == record.started_at


async def test_what_was_metered_before_a_plug_in_was_known_counts_in_it(w: World) -> None:
    """A6: the start comes from a queue, its first values came before it."""
    w.clock.pass_(60)
    await w.take(w.metered(import_wh=1000.0, soc_percent=48.0))
    await w.take(w.started(at=w.clock.now() - timedelta(seconds=30)))
    assert (w.evse.soc_percent, w.plug_in.soc_at_start_percent) == (48.0, 48.0)
    w.clock.pass_(60)
    await w.take(w.metered(import_wh=1100.0))
    assert w.evse.metered.added_wh == 100.0


async def test_values_of_before_the_end_count_though_they_come_after_it(w: World) -> None:
    """Lesson 15: they are accepted, revive nothing, and no power flows."""
    (answer,) = await w.take(w.started())
    transaction = answer.transaction  # type: ignore[union-attr]
    await w.take(w.metered(transaction=transaction, import_wh=1000.0))
    closing = w.clock.pass_(60)
    w.clock.pass_(1)
    await w.take(w.stopped(transaction))
    late = w.metered(transaction=transaction, at=closing, import_wh=1090.0, power_import_w=5400.0)
    await w.take(late)
    assert (w.evse.metered.added_wh, w.evse.power_at(w.clock.now()), w.evse.run.transaction) == (90.0, 0, None)


async def test_a_stop_that_comes_after_all_ends_what_was_presumed_over_for_good(w: World) -> None:
    """P4, lesson 13: who stopped it does not want another start."""
    await w.plug()
    await w.say()
    (answer,) = await w.take(w.started())
    for change in tuple(transactions.presume_over(w.evse, w.evse.run.transaction, w.clock.now(), "test")):  # type: ignore[arg-type]
        w.system.ground.emit(change)
    await w.quiet()
    assert not w.evse.is_over
    await w.take(w.stopped(answer.transaction))  # type: ignore[union-attr]
    assert w.evse.is_over


async def test_power_of_before_a_connector_was_free_is_no_proof_that_it_is_not(w: World) -> None:
    """Lesson 14: the value comes late."""
    await w.plug()
    before = w.clock.pass_(10)
    w.clock.pass_(1)
    await w.take(w.status(ConnectorStatus.AVAILABLE), w.metered(at=before, power_import_w=3000.0))
    assert w.evse.cable.available_since is not None


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_connector_at_which_power_has_flowed_is_not_free_though_it_rests_now(w: World, restarts: bool) -> None:
    """Lesson 14: some stations say Available while a vehicle charges."""
    await w.plug()
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    for power_w in (3000.0, 0.0):
        w.clock.pass_(1)
        await w.take(w.metered(power_import_w=power_w))
    if restarts:
        await w.restart()
    assert w.evse.cable.available_since is None
