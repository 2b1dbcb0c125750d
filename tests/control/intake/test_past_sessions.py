"""Sessions that nobody heard of while they were: at the station's times, for the card's user. F3, P13."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from csms.control.permission.sharing import delete
from csms.domain.errors import Conflict, NotFound
from csms.domain.facts import IdToken, StationFact, TransactionStarted, Unintelligible
from csms.domain.ids import TransactionId, UserId, VehicleId
from csms.domain.people import IdTokenRecord, Vehicle
from csms.domain.permission import KnownBy
from csms.domain.station import ConnectorStatus, Quirks, Version
from csms.store import reads, writes
from tests.control.kit import AOI, CARD, E1, E2, LEAF, START, S, World, station

Span = tuple[UserId | None, datetime, datetime | None, str | None]


async def spans(w: World) -> list[Span]:
    found = await w.store.read(reads.plug_ins)
    return [(one.user, one.plugged_at, one.unplugged_at, one.transaction) for one in found]


async def registers(w: World, until: datetime) -> list[tuple[datetime, float | None]]:
    stored = await w.store.read(partial(reads.metered, evse=E1, start=START - timedelta(days=1), end=until))
    return [(one.reading.at, one.reading.import_wh) for one in stored]


async def test_an_offline_card_session_is_a_past_plug_in_of_the_cards_user(w: World) -> None:
    """1.6: start and stop from the queue, 123 Wh; no plug-in at the time they reached us."""
    began, over = START - timedelta(hours=2), START - timedelta(hours=1)
    (answer,) = await w.take(w.started(at=began, meter_start_wh=1000))
    transaction = str(answer.transaction)  # type: ignore[union-attr]
    assert w.evse.plug_in is None
    await w.take(w.stopped(transaction, at=over, meter_stop_wh=1123))
    assert w.evse.plug_in is None
    assert await spans(w) == [(AOI, began, over, transaction)]
    assert await registers(w, START) == [(began, 1000.0), (over, 1123.0)]


async def test_it_is_one_plug_in_however_often_it_is_sent(w: World) -> None:
    began, over = START - timedelta(hours=2), START - timedelta(hours=1)
    for _ in range(2):
        (answer,) = await w.take(w.started(at=began, meter_start_wh=1000))
        await w.take(w.stopped(answer.transaction, at=over, meter_stop_wh=1123))  # type: ignore[union-attr]
    await w.restart()
    assert len(await spans(w)) == 1


async def test_an_offline_session_of_a_2_x_station_is_a_past_plug_in_too(w: World) -> None:
    began, over = START - timedelta(hours=2), START - timedelta(hours=1)
    await w.take(
        w.event(0, at=began, offline=True, token=CARD, charging_state="Charging"),
        w.ended(1, at=over, offline=True),
    )
    assert w.evse.plug_in is None
    assert await spans(w) == [(AOI, began, over, "tx-1")]


async def test_a_session_that_was_seen_is_no_second_plug_in(w: World) -> None:
    await w.plug()
    await w.take(w.started(at=w.clock.pass_(5)))
    await w.take(w.stopped(w.evse.run.transaction, at=w.clock.pass_(600)))
    w.clock.pass_(30)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(10)
    await w.system.reactions.sweep()
    await w.quiet()
    await w.restart()
    assert [(user, began) for user, began, _, _ in await spans(w)] == [(AOI, START)]


async def test_a_start_from_the_queue_that_still_runs_is_a_plug_in_since_it_began(w: World) -> None:
    """The server was away for an hour; the car charges on."""
    began = START - timedelta(hours=1)
    (answer,) = await w.take(w.started(at=began, meter_start_wh=1000))
    assert w.evse.plug_in is None
    await w.take(w.status(ConnectorStatus.CHARGING))
    assert w.plug_in.plugged_at == began
    assert (w.evse.user, w.evse.run.transaction) == (AOI, str(answer.transaction))  # type: ignore[union-attr]
    assert w.evse.run.authorized


async def test_fresh_values_show_that_a_start_from_the_queue_still_runs(w: World) -> None:
    began = START - timedelta(hours=1)
    (answer,) = await w.take(w.started(at=began, meter_start_wh=1000))
    await w.take(w.metered(transaction=answer.transaction, import_wh=5000.0))  # type: ignore[union-attr]
    assert (w.plug_in.plugged_at, w.evse.user) == (began, AOI)


async def test_a_plug_in_that_ended_before_anybody_was_found_is_its_cards_users(w: World) -> None:
    """Start and stop in one burst: the look-up of the card's user came too late."""
    answers: list[object] = []
    w.system.rooms.intake.receive(w.started(meter_start_wh=0), answers.append)
    w.clock.pass_(5)
    await w.store.writer.run(lambda _conn: None)
    transaction = w.evse.run.transaction
    w.system.rooms.intake.receive(w.stopped(transaction, reason="EVDisconnected"), answers.append)
    await w.quiet()
    assert await spans(w) == [(AOI, START, START + timedelta(seconds=5), transaction)]


async def test_meter_start_and_stop_are_readings_of_a_short_session(w: World) -> None:
    """95 s at 60-s sampling had a balance of 0."""
    await w.take(w.started(meter_start_wh=0))
    over = w.clock.pass_(95)
    await w.take(w.stopped(w.evse.run.transaction, meter_stop_wh=117))
    assert await registers(w, over) == [(START, 0.0), (over, 117.0)]


async def test_a_stop_of_a_start_that_nobody_could_read_closes_no_other_connectors_transaction(w: World) -> None:
    """B5: the id that was given for it is kept."""
    await w.add(station(evses=2))
    await w.take(w.started(meter_start_wh=0))
    bad = Unintelligible(origin=w.origin(), action="StartTransaction", raw="{}", why="no connector", evse=E2)
    (answer,) = await w.take(bad)
    w.clock.pass_(600)
    await w.take(w.stopped(answer.transaction, meter_stop_wh=7000))  # type: ignore[union-attr]
    assert w.at(E1).run.transaction is not None
    (running,) = await w.store.read(reads.open_transactions)
    assert running.evse == E1


async def test_a_stop_without_an_id_still_closes_what_was_presumed_over(w: World) -> None:
    """B6: "-1" after a zombie."""
    await w.take(w.started(meter_start_wh=0))
    left = w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(200)
    await w.system.reactions.sweep()
    await w.quiet()
    (zombie,) = await w.store.read(reads.transactions)
    assert (zombie.ended_at, zombie.incomplete, zombie.stopped_reason) == (
        left,
        True,
        "presumed: the vehicle has left",
    )
    await w.take(w.stopped("-1", at=left - timedelta(seconds=5), meter_stop_wh=900))
    (closed,) = await w.store.read(reads.transactions)
    assert (closed.ended_at, closed.meter_stop_wh) == (left - timedelta(seconds=5), 900)


async def test_available_said_again_does_not_begin_the_grace_anew(w: World) -> None:
    """B6: it went on for ever."""
    await w.take(w.started(meter_start_wh=0), w.status(ConnectorStatus.AVAILABLE))
    for _ in range(20):
        w.clock.pass_(10)
        await w.take(w.status(ConnectorStatus.AVAILABLE))
        await w.system.reactions.sweep()
        await w.quiet()
    assert w.evse.plug_in is None
    assert await w.store.read(reads.open_transactions) == []


async def test_a_transaction_is_closed_by_hand_with_who_and_why_until_its_own_stop_comes(w: World) -> None:
    """B6."""
    await w.take(w.started(meter_start_wh=0))
    transaction = w.evse.run.transaction
    assert transaction is not None
    now = w.clock.pass_(60)
    close = w.system.rooms.intake.endings.close_transaction
    await close(S, transaction, "operator", "the car is gone")
    await w.quiet()
    assert w.evse.run.transaction is None
    (record,) = await w.store.read(reads.transactions)
    assert (record.ended_at, record.incomplete) == (now, True)
    assert record.stopped_reason == "closed by operator: the car is gone"
    with pytest.raises(Conflict):
        await close(S, transaction, "operator", "again")
    with pytest.raises(NotFound):
        await close(S, TransactionId("4711"), "operator", "never was")
    await w.take(w.stopped(transaction, at=w.clock.pass_(60), meter_stop_wh=500))
    (real,) = await w.store.read(reads.transactions)
    assert (real.ended_at, real.incomplete, real.stopped_reason) == (w.clock.now(), False, "Local")


def again(version: Version, quirks: Quirks, kept: Unintelligible) -> StationFact | None:
    """What a later program makes of the start above."""
    token = IdToken(kept.raw)
    return TransactionStarted(origin=kept.origin, evse=E1, token=token, at=kept.origin.received_at, meter_start_wh=100)


def unreadable(version: Version, quirks: Quirks, kept: Unintelligible) -> StationFact:
    raise ValueError("it is no JSON")


async def test_a_start_from_the_quarantine_gets_its_id_and_the_stop_that_named_it(w: World) -> None:
    """B9: as often as it is asked for."""
    bad = Unintelligible(origin=w.origin(), action="StartTransaction", raw=CARD.value, why="something")
    (answer,) = await w.take(bad)
    given = str(answer.transaction)  # type: ignore[union-attr]
    over = w.clock.pass_(600)
    await w.take(w.stopped(given, meter_stop_wh=1100))
    for _ in range(2):
        await w.system.rooms.intake.reprocess(1, again, "ops")
        await w.quiet()
    (record,) = await w.store.read(reads.transactions)
    assert (record.id, record.started_at, record.ended_at, record.incomplete) == (given, START, over, False)
    assert await registers(w, over) == [(START, 100.0), (over, 1100.0)]


async def test_what_still_cannot_be_understood_stays_in_the_quarantine(w: World) -> None:
    """B9."""
    await w.take(Unintelligible(origin=w.origin(), action="StartTransaction", raw="{", why="no JSON"))
    with pytest.raises(Conflict):
        await w.system.rooms.intake.reprocess(1, unreadable, "ops")
    with pytest.raises(NotFound):
        await w.system.rooms.intake.reprocess(2, again, "ops")


async def test_p13_an_offline_session_is_not_booked_on_a_vehicle_that_its_user_has_no_more(w: World) -> None:
    """P1: by a card that names none. It is that of the last plug-in, as for a session that is seen."""
    people, permissions = w.system.people, w.system.rooms.permissions
    for name in ("v-a", "v-zoe"):
        added = Vehicle(id=VehicleId(name), user=AOI, name=name)
        await w.store.writer.run(partial(writes.add_vehicle, vehicle=added))
    await w.token(IdTokenRecord(token=CARD.value, user=AOI))
    await delete(people, permissions, AOI, VehicleId("v-zoe"))
    for number in range(2):
        began = START - timedelta(hours=4 - 2 * number)
        (answer,) = await w.take(w.started(at=began, meter_start_wh=1000))
        stop = w.stopped(answer.transaction, at=began + timedelta(hours=1), meter_stop_wh=9000)  # type: ignore[union-attr]
        await w.take(stop)
        newest = (await w.store.read(reads.plug_ins))[0]
        assert newest.vehicle == (LEAF, VehicleId("v-a"))[number]
        if number == 0:
            used = replace(newest, vehicle=VehicleId("v-a"))
            await w.store.writer.run(partial(writes.save_plug_in, plug_in=used))


@pytest.mark.parametrize("ends", ["link", "restart"])
async def test_f3_a_late_start_whose_values_show_that_it_runs_is_its_cards_users(w: World, ends: str) -> None:
    """1.6, after an outage the status comes first: it ran on Aoi's card, was nobody's, and then not paid by her who had
    opened the link and not answered."""
    began = w.clock.now()
    w.clock.pass_(100)
    await w.take(w.status(ConnectorStatus.CHARGING))
    (answer,) = await w.take(w.started(at=began, meter_start_wh=1000))
    w.clock.pass_(30)
    transaction = answer.transaction  # type: ignore[union-attr]
    await w.take(w.metered(transaction=transaction, import_wh=1100.0, power_import_w=6000.0))
    assert (w.evse.run.transaction, w.evse.run.authorized) == (str(transaction), True)
    assert (w.plug_in.user, w.plug_in.evidence.known_by) == (AOI, KnownBy.CARD)
    if ends == "link":
        await w.system.rooms.matching.claim(AOI, E1)
    else:
        await w.restart()
    w.clock.pass_(1800)
    await w.take(w.stopped(transaction, meter_stop_wh=1600, reason="EVDisconnected"))
    w.clock.pass_(7200)
    await w.system.rooms.settlement.run()
    entries = await w.store.read(partial(reads.ledger, user=AOI))
    assert 500 <= sum(entry.energy_wh for _, entry in entries) <= 600, "less what flowed before the cable was seen"
