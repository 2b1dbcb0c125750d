"""Money from the meter: one made-up hour, to the yen. P13, P19; issue item 8."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from csms.control.intake import cables
from csms.control.settlement import performance
from csms.control.settlement.audit import audit as audit_of
from csms.control.settlement.known import Places
from csms.control.settlement.settlement import Settlement
from csms.domain.conditions import Conditions
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import IdToken, Reading
from csms.domain.ids import AreaId, DrEventId
from csms.domain.ledger import EntryKind, LedgerEntry, SettledUntil, user_account
from csms.domain.people import IdTokenRecord
from csms.domain.permission import PermissionState
from csms.domain.station import ConnectorStatus, SetpointDriver
from csms.domain.tariff import PriceStep
from csms.store import reads, writes
from csms.store.facts import write_of
from csms.store.tables import METER_VALUE
from tests.control.kit import AOI, CARD, KEN, LOW, START, World

AREA = AreaId("default")
HALF_PAST = START + timedelta(minutes=30)


def minute(n: float) -> datetime:
    return START + timedelta(minutes=n)


def register(n: float) -> Reading:
    """2 kW in for half an hour, then 4 kW out for half an hour."""
    charging = n < 30
    return Reading(
        at=minute(n),
        import_wh=min(n, 30) * 2000 / 60,
        export_wh=max(n - 30, 0) * 4000 / 60,
        power_import_w=2000.0 if charging else 0.0,
        power_export_w=0.0 if charging else 4000.0,
        soc_percent=80.0,
    )


async def metered(w: World, minutes: Iterable[float]) -> None:
    """Readings come in as they are taken."""
    for n in minutes:
        w.clock.at = max(w.clock.at, minute(n))
        await w.take(w.metered(at=minute(n), **{f: getattr(register(n), f) for f in FIELDS}))


FIELDS = ("import_wh", "export_wh", "power_import_w", "power_export_w", "soc_percent")


async def hour(w: World, minutes: Iterable[float], *, is_commanded: bool = True) -> DrEvent:
    """A permitted vehicle, a price step at a quarter past (30 → 40), an event that pays 20 more from half past."""
    await w.resource()
    event = await w.system.events.create(
        DrEvent(
            id=DrEventId("dr-1"),
            direction=Direction.DOWN,
            requested_w=4000,
            starts_at=HALF_PAST,
            ends_at=minute(60),
            incentive_per_kwh=Decimal(20),
            created_at=START,
        )
    )
    await w.system.prices.put(AREA, [PriceStep(minute(15), Decimal(40))], None)
    if is_commanded:
        await commanded(w, event)
    await metered(w, minutes)
    return event


async def commanded(w: World, of: DrEvent, **changed: Any) -> SetpointRecord:
    """-4 kW of an EVSE that would rest, acknowledged at the event's start, in force until its end, at 60 per kWh."""
    made = SetpointRecord(
        id="sp-1",
        evse=w.evse.ref,
        plug_in=w.plug_in.id,
        transaction=w.evse.run.transaction,
        event=of.id,
        decided_at=of.starts_at,
        acknowledged_at=of.starts_at,
        desired_w=-4000,
        counterfactual_w=0,
        expires_at=of.ends_at,
        driver=SetpointDriver.OCPP21_SETPOINT,
        reasons=(),
    )
    record = replace(made, **changed)
    await w.store.writer.run(partial(writes.save_setpoint, record=record))
    return record


async def settled(w: World, n: float) -> list[tuple[str, int, int]]:
    """(kind, Wh, yen to the user) of the entries that a settlement at this minute adds."""
    before = {id_ for id_, _ in await ledger(w)}
    w.clock.at = minute(n)
    await w.system.rooms.settlement.run()
    return sorted(
        (str(entry.kind), entry.energy_wh, paid(entry)) for id_, entry in await ledger(w) if id_ not in before
    )


async def ledger(w: World) -> list[tuple[int, LedgerEntry]]:
    return await w.store.read(partial(reads.ledger, limit=1000))


def paid(entry: LedgerEntry) -> int:
    assert entry.is_balanced
    return sum(posting.amount_minor for posting in entry.postings if posting.account == user_account(entry.user))


ALL = range(0, 61, 5)
THE_HOUR = [("purchase", 500, -20), ("purchase", 500, -15), ("sale", 2000, 120)]
"""0.5 kWh at 30, 0.5 kWh at 40, 2 kWh sold at 40 + 20."""


async def test_an_hour_is_paid_to_the_yen(w: World) -> None:
    """P11, P13, P19: cut at the price step and at the event's edge."""
    event = await hour(w, ALL)
    assert await settled(w, 62) == THE_HOUR
    sale = next(entry for _, entry in await ledger(w) if entry.kind is EntryKind.SALE)
    assert (sale.user, sale.event, sale.price_per_kwh, sale.period_start) == (AOI, event.id, Decimal(60), HALF_PAST)
    balance = await w.store.read(partial(reads.balance, user=AOI))
    assert (balance.sold_wh, balance.earned_minor, balance.bought_wh, balance.spent_minor) == (2000, 120, 1000, 35)


async def test_an_interval_waits_for_its_late_values(w: World) -> None:
    """``grace_s``."""
    await hour(w, ALL)
    assert [kind for kind, _, _ in await settled(w, 60.9)] == ["purchase", "purchase"]
    assert [kind for kind, _, _ in await settled(w, 61)] == ["sale"]


async def test_settling_again_adds_nothing_also_after_a_restart(w: World) -> None:
    """Design §3: idempotent on (cause, revision)."""
    await hour(w, ALL)
    await settled(w, 62)
    assert await settled(w, 70) == []
    await w.restart()
    assert await settled(w, 71) == []


async def test_a_late_reading_corrects_what_was_booked(w: World) -> None:
    """P19: append-only; the sum is the same as if it had come in time."""
    await hour(w, range(0, 46, 5))
    assert await settled(w, 62) == [*THE_HOUR[:2], ("sale", 1000, 60)]
    await metered(w, (50, 55, 60))
    assert await settled(w, 64) == [("correction", 1000, 60)]
    assert Counter(str(entry.kind) for _, entry in await ledger(w)) == {"purchase": 2, "sale": 1, "correction": 1}


async def test_readings_from_a_queue_are_settled_as_far_back_as_the_one_before_them(w: World) -> None:
    """P19: registers bound the energy of the whole gap."""
    await hour(w, (0,))
    assert await settled(w, 122) == []
    await metered(w, (30, 60))
    assert sum(energy for _, energy, _ in await settled(w, 125)) == 3000


async def test_nothing_is_lost_between_the_last_sample_of_an_interval_and_a_slow_next_one(w: World) -> None:
    """P19: sampled every 20 minutes, the register's move over the edge comes after the grace."""
    await hour(w, (0, 20))
    await settled(w, 32)
    await metered(w, (40, 60))
    await settled(w, 62)
    balance = await w.store.read(partial(reads.balance, user=AOI))
    assert (balance.bought_wh, balance.sold_wh) == (1000, 2000)


async def test_what_was_not_metered_is_not_paid(w: World) -> None:
    """Must hold 2: nothing on a promise."""
    await hour(w, (0,))
    assert await settled(w, 62) == []


async def test_a_vehicle_that_nobody_is_known_for_gets_no_entry_until_somebody_is(w: World) -> None:
    """P1, P19: then all of it is theirs. The operator links the card (S1)."""
    await w.plug(None)
    pool = IdTokenRecord(token="CARD-POOL")
    await w.token(pool)
    await w.take(w.event(0, token=IdToken(pool.token), charging_state="Charging"))
    await metered(w, ALL)
    assert await settled(w, 62) == []
    await w.token(replace(pool, user=AOI))
    await w.system.rooms.matching.claim(AOI, w.evse.ref)
    await w.quiet()
    assert sum(energy for _, energy, _ in await settled(w, 63)) == 3000


async def test_an_events_price_is_not_paid_for_a_time_without_permission(w: World) -> None:
    """P4, P19: what flows without a yes is worth the tariff."""
    event = await hour(w, range(0, 31, 5))
    await w.say(granted=False)
    await metered(w, range(35, 61, 5))
    assert ("sale", 2000, 80) in await settled(w, 62)
    assert event.id not in {entry.event for _, entry in await ledger(w)}


async def test_a_no_takes_nothing_back_of_what_was_delivered_before_it(w: World) -> None:
    """P4, P19: yes, discharged and booked, then no; a late reading settles the event again."""
    event = await hour(w, range(0, 46, 5))
    await w.say(granted=False)
    await metered(w, (50, 55))
    w.clock.at = minute(70)
    half = [("sale", 667, 27), ("sale", 1000, 60)]
    assert [entry for entry in await settled(w, 71) if entry[0] == "sale"] == half
    await metered(w, (60,))
    assert await settled(w, 73) == [("correction", 333, 13)]
    sold = [entry for _, entry in await ledger(w) if entry.event == event.id]
    assert [(entry.energy_wh, entry.period_start, entry.period_end) for entry in sold] == [
        (1000, HALF_PAST, minute(45))
    ]
    assert (await audit_of(w.store, w.clock)).discharged_without_permission_wh == 1000 - 333


async def test_an_answer_in_the_middle_of_an_interval_is_paid_from_then_on(w: World) -> None:
    """P4, P19: the event's price holds from the yes."""
    event = await hour(w, range(0, 31, 5))
    await w.say(granted=False)
    await metered(w, range(35, 46, 5))
    await w.say()
    await metered(w, range(50, 61, 5))
    assert [entry for entry in await settled(w, 62) if entry[0] == "sale"] == [("sale", 1000, 40), ("sale", 1000, 60)]
    report = await performance.event_report(w.store, w.system.rooms.settlement, event, w.clock.now())
    assert report.delivered_wh == report.allotted_wh == 1000


async def test_an_event_whose_setpoint_was_never_acknowledged_gets_and_pays_nothing(w: World) -> None:
    """Design §4: only what was acknowledged was commanded; the energy is sold at the tariff."""
    event = await hour(w, (), is_commanded=False)
    await commanded(w, event, acknowledged_at=None)
    await metered(w, ALL)
    assert ("sale", 2000, 80) in await settled(w, 62)
    assert event.id not in {entry.event for _, entry in await ledger(w)}
    report = await performance.event_report(w.store, w.system.rooms.settlement, event, w.clock.now())
    assert (report.delivered_wh, report.allotted_wh, report.shortfall_wh) == (0, 0, 2000)


async def test_a_discharge_whose_acknowledgement_was_lost_is_paid_what_its_user_asks(w: World) -> None:
    """P5: the tariff is 40, the user asks 50, the event would have paid 60; also what runs on after half past nine."""
    event = await hour(w, (), is_commanded=False)
    await w.say(conditions=replace(LOW, min_sell_per_kwh=Decimal(50)))
    sent = {"decided_at": minute(28), "expires_at": minute(31), "price_per_kwh": Decimal(60)}
    await commanded(w, event, acknowledged_at=None, **sent)
    for n in range(27, 36):
        w.clock.at = minute(n)
        await w.take(w.metered(at=minute(n), import_wh=0.0, export_wh=min(max(n - 28, 0), 6) * 50.0))
    assert await settled(w, 62) == [("sale", 100, 5), ("sale", 200, 10)]
    assert {entry.cause.rpartition(":")[2] for _, entry in await ledger(w)} == {"sale-unconfirmed"}


async def test_charging_that_stopped_for_an_event_is_rewarded(w: World) -> None:
    """A12, P19: 4 kW would have flowed for half an hour; nothing did, and 2 kWh earn the 20 above the tariff."""
    event = await hour(w, (), is_commanded=False)
    await commanded(w, event, desired_w=0, counterfactual_w=4000)
    for n in range(0, 61, 5):
        w.clock.at = minute(n)
        await w.take(w.metered(at=minute(n), import_wh=min(n, 30) * 2000 / 60, export_wh=0.0))
    assert ("reward", 2000, 40) in await settled(w, 62)
    balance = await w.store.read(partial(reads.balance, user=AOI))
    assert (balance.rewarded_wh, balance.rewarded_minor, balance.amount_minor) == (2000, 40, 40 - 35)


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_vehicle_that_turns_out_to_have_been_full_is_not_rewarded_for_what_it_never_would_have_taken(
    w: World, *, is_late: bool
) -> None:
    """A2, A6: 4 kW would have flowed as far as anybody knew; it took nothing for an hour afterwards, then left. Also
    where its station says so only when that time is settled. Before: what was paid by then stayed."""
    event = await hour(w, (), is_commanded=False)
    await commanded(w, event, desired_w=0, counterfactual_w=4000)
    bare = w.evse.cable.plugged
    assert bare is not None
    w.evse.cable.plugged = replace(bare, soc_percent=None, soc_at=None, soc_at_start_percent=None)
    free = {"event": None, "desired_w": 4000, "counterfactual_w": 4000, "expires_at": minute(150)}
    await commanded(w, event, id="sp-2", acknowledged_at=minute(60), **free)
    for n in range(0, 126, 5):
        w.clock.at = minute(n)
        await w.take(w.metered(at=minute(n), import_wh=500.0, export_wh=0.0))
        if n == 65:
            assert [entry for entry in await settled(w, 65) if entry[0] == "reward"] == [("reward", 2000, 40)]
    left_at = w.clock.now()
    if is_late:
        await settled(w, 160)
    for change in tuple(cables.unplug(w.evse, left_at)):
        w.system.ground.emit(change)
    await w.quiet()
    assert w.evse.plug_in is None
    await settled(w, 160)
    assert (await w.store.read(partial(reads.balance, user=AOI))).amount_minor == 0


async def untold_stay(w: World, minutes: Iterable[float]) -> None:
    """Half an hour of charging is stopped for an event, without anybody knowing the state of charge, and paid; from 150
    on the vehicle may charge, at 210 it leaves. The registers stand still all the time."""
    event = await hour(w, (), is_commanded=False)
    await commanded(w, event, desired_w=0, counterfactual_w=4000)
    bare = w.evse.cable.plugged
    assert bare is not None
    w.evse.cable.plugged = replace(bare, soc_percent=None, soc_at=None, soc_at_start_percent=None)
    free = {"event": None, "desired_w": 4000, "counterfactual_w": 4000, "expires_at": minute(240)}
    await commanded(w, event, id="sp-2", acknowledged_at=minute(150), **free)
    await still(w, minutes)
    assert [entry for entry in await settled(w, 155) if entry[0] == "reward"] == [("reward", 2000, 40)]
    w.clock.at = minute(210)
    w.leave()
    await w.quiet()


async def still(w: World, minutes: Iterable[float]) -> None:
    for n in minutes:
        w.clock.at = max(w.clock.at, minute(n))
        await w.take(w.metered(at=minute(n), import_wh=500.0, export_wh=0.0))


async def test_readings_that_come_after_a_departure_settle_all_of_an_untold_vehicles_stay_again(w: World) -> None:
    """A6, P19: that it took nothing although it was allowed to is heard after it has left and is settled: it was full,
    and gets nothing for the event two hours before. Before: only the intervals of those readings were settled again."""
    await untold_stay(w, range(0, 151, 10))
    await settled(w, 242)
    await still(w, range(160, 211, 10))
    await settled(w, 243)
    assert (await w.store.read(partial(reads.balance, user=AOI))).amount_minor == 0


async def test_a_vehicle_that_leaves_at_the_edge_of_an_interval_is_learnt_from_too(w: World) -> None:
    """A6, P19: it leaves at half past twelve to the second, which is settled by then. Before: what was paid stayed."""
    await untold_stay(w, range(0, 151, 10))
    await still(w, range(160, 211, 10))
    await settled(w, 212)
    assert (await w.store.read(partial(reads.balance, user=AOI))).amount_minor == 0


async def test_an_event_posted_late_changes_nothing_of_what_was_settled(w: World) -> None:
    """A5: an event of 20 days ago turned -180 into -3,000 yen."""
    await hour(w, ALL, is_commanded=False)
    before = await settled(w, 62)
    past = DrEvent(
        id=DrEventId("late"),
        direction=Direction.UP,
        requested_w=4000,
        starts_at=START,
        ends_at=HALF_PAST,
        price_per_kwh=Decimal(500),
        created_at=minute(62),
    )
    await w.store.writer.run(partial(writes.save_dr_event, event=past))
    w.system.rooms.settlement.reopen(START)
    assert before
    assert await settled(w, 63) == []


async def test_the_audit_does_not_count_what_flows_until_a_discharge_can_be_over(w: World) -> None:
    """Must hold 1: between two readings nobody can tell on which side of the answer it flowed."""
    await hour(w, range(0, 46, 5))
    w.clock.at = minute(47)
    await w.say(granted=False)
    await w.take(w.metered(at=minute(50), import_wh=1000.0, export_wh=1160.0, power_export_w=0.0))
    await w.take(w.metered(at=minute(60), import_wh=1000.0, export_wh=1160.0, power_export_w=0.0))
    assert (await audit_of(w.store, w.clock)).discharged_without_permission_wh == 0


async def test_a_price_that_supersedes_a_booked_one_is_settled_at_once(w: World) -> None:
    """P11, P19: cut elsewhere, the old pieces are taken back and nobody pays twice."""
    await hour(w, ALL)
    await settled(w, 62)
    await w.system.prices.put(AREA, [PriceStep(minute(10), Decimal(60))], None)
    assert await settled(w, 63) == [
        ("correction", -2000, -120),
        ("correction", -500, 20),
        ("correction", -167, 5),
        ("correction", 2000, 160),
        ("purchase", 667, -40),
    ]
    balance = await w.store.read(partial(reads.balance, user=AOI))
    assert (balance.sold_wh, balance.earned_minor, balance.bought_wh, balance.spent_minor) == (2000, 160, 1000, 50)


async def test_a_second_yes_takes_nothing_away_from_what_the_first_allowed(w: World) -> None:
    """P4, P19: a change of conditions at five to ten; a late reading settles the event again."""
    await hour(w, range(0, 56, 5))
    await w.say()
    w.clock.at = minute(70)
    await w.say()
    await metered(w, (60,))
    assert await settled(w, 72) == THE_HOUR
    audit = await audit_of(w.store, w.clock)
    assert audit.discharged_without_permission_wh == 0


async def test_everything_is_settled_after_any_outage(w: World) -> None:
    """A9: the server is away for four days; what was metered before and what comes from queues later is all paid."""
    await hour(w, ())
    await settled(w, 1)
    await metered(w, ALL)
    w.clock.at = START + timedelta(days=4)
    await w.restart()
    assert await settled(w, 4 * 24 * 60 + 1) == THE_HOUR


async def test_live_readings_settle_nothing_again(w: World) -> None:
    """The cost of a settlement goes with the intervals that are due."""
    await hour(w, ALL)
    await settled(w, 62)
    await metered(w, (63, 64))
    settling, asked = w.system.rooms.settlement, []
    settle = settling.settle

    async def noted(start: datetime, end: datetime, places: Places) -> int:
        asked.append(start)
        return await settle(start, end, places)

    settling.settle = noted  # type: ignore[method-assign]
    w.clock.at = minute(65)
    await settling.run()
    assert asked == []


async def test_nothing_that_is_due_is_forgotten_over_a_restart(w: World) -> None:
    """A9: a queue of three days ago arrived just before the end."""
    await hour(w, range(0, 46, 5))
    w.clock.at = START + timedelta(days=4)
    await w.system.rooms.settlement.run()
    rows, _ = write_of(w.metered(at=minute(60), import_wh=1000.0, export_wh=2000.0))
    await w.store.writer.run(lambda conn: conn.execute(METER_VALUE.insert(), [row for _, row in rows]))
    await w.restart()
    assert await settled(w, 4 * 24 * 60 + 5) == [("correction", 1000, 60)]


async def test_a_restart_settles_again_from_the_first_plug_in_on(w: World) -> None:
    """A9: a day of intervals in which nothing was plugged in yet is no work."""
    await hour(w, ALL)
    await settled(w, 62)
    asked: list[datetime] = []
    settling = Settlement(w.system.ground, w.system.prices, w.settings)
    settle = settling.settle

    async def noted(start: datetime, end: datetime, places: Places) -> int:
        asked.append(start)
        return await settle(start, end, places)

    settling.settle = noted  # type: ignore[method-assign]
    await settling.run()
    assert asked[-2:] == [START, HALF_PAST]
    assert asked[0] >= START - w.settings.settlement.interval


async def test_the_first_settlement_begins_with_the_first_plug_in(w: World) -> None:
    """A9: nothing is due before it, however old the database is."""
    settling = Settlement(w.system.ground, w.system.prices, w.settings)
    assert await settling.run() == 0
    await w.store.writer.run(partial(writes.save_settled, settled=SettledUntil(until=START - timedelta(days=900))))
    asked: list[datetime] = []
    settling = Settlement(w.system.ground, w.system.prices, w.settings)
    settle = settling.settle

    async def noted(start: datetime, end: datetime, places: Places) -> int:
        asked.append(start)
        return await settle(start, end, places)

    settling.settle = noted  # type: ignore[method-assign]
    await hour(w, ALL)
    w.clock.at = minute(62)
    await settling.run()
    assert [start for start in asked if start >= START - timedelta(days=899)] == [START, HALF_PAST]


async def test_an_interval_that_cannot_be_settled_is_tried_again_and_holds_up_no_other(w: World) -> None:
    """Must hold 2: the store refuses once; also over a restart."""
    await hour(w, ALL)
    w.clock.at = minute(62)
    settling = w.system.rooms.settlement
    settle, failures = settling.settle, [START]

    async def failing(start: datetime, end: datetime, places: Places) -> int:
        if start in failures:
            failures.remove(start)
            raise RuntimeError("the store is away")
        return await settle(start, end, places)

    settling.settle = failing  # type: ignore[method-assign]
    assert await settling.run() == 1
    settled = await w.store.read(reads.settled_until)
    assert settled is not None
    assert settled.due == {START}
    assert await settling.run() == 2


# --- reports ---


async def test_a_report_says_what_was_asked_for_allotted_and_metered(w: World) -> None:
    """G11, issue item 6."""
    event = await hour(w, range(0, 30, 5), is_commanded=False)
    for half in range(60, 121, 5):  # every two and a half minutes
        await metered(w, (half / 2,))
        if half < 120:
            await w.system.rooms.dispatch.tick()
            await w.quiet()
    report = await performance.event_report(w.store, w.system.rooms.settlement, event, w.clock.now())
    assert (report.requested_wh, report.delivered_wh, report.achievement) == (2000, 2000, 1.0)
    assert report.capacity_w >= 4000
    (interval,) = report.intervals
    assert (interval.start, interval.end, interval.quality) == (HALF_PAST, minute(60), "measured")
    (mine,) = report.evses
    assert (mine.desired_w, mine.acknowledged_w, mine.delivered_wh) == (-4000, -4000, 2000)


@pytest.mark.parametrize(("no_at", "sold_wh"), [(None, 2000), (45, 1000), (30, 0)], ids=["yes", "yes, then no", "no"])
async def test_report_and_ledger_tell_the_same_story(w: World, no_at: int | None, sold_wh: int) -> None:
    """G11, P4, P19: what the event got is what it pays for: only what was permitted."""
    event = await hour(w, range(0, 30, 5), is_commanded=False)
    for half in range(60, 121, 5):
        if half / 2 == no_at:
            w.clock.at = minute(half / 2)
            await w.say(granted=False)
        await metered(w, (half / 2,))
        if half < 120:
            await w.system.rooms.dispatch.tick()
            await w.quiet()
    await settled(w, 62)
    report = await performance.event_report(w.store, w.system.rooms.settlement, event, w.clock.now())
    sold = await w.store.read(partial(reads.ledger, event=event.id))
    assert report.delivered_wh == sum(entry.energy_wh for _, entry in sold) == sold_wh
    assert report.allotted_wh == report.within_wh == sold_wh
    assert sum(mine.delivered_wh for mine in report.evses) == sold_wh


async def test_a_report_before_the_event_and_in_its_middle_counts_what_has_passed(w: World) -> None:
    """G11."""
    event = await hour(w, range(0, 21, 5))
    early = await performance.event_report(w.store, w.system.rooms.settlement, event, w.clock.now())
    assert (early.requested_wh, early.delivered_wh, early.achievement, early.intervals) == (0, 0, 0.0, ())
    half = await performance.event_report(w.store, w.system.rooms.settlement, event, minute(45))
    assert half.requested_wh == 1000


@pytest.mark.parametrize(("granted", "exported_wh"), [(True, 0), (False, 2000)])
async def test_the_audit_counts_what_was_discharged_without_a_yes(w: World, granted: bool, exported_wh: int) -> None:
    """Must hold 1: by the registers, not by what was planned."""
    await w.plug()
    await w.say(granted=granted)
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    await metered(w, ALL)
    assert (await audit_of(w.store, w.clock)).discharged_without_permission_wh == exported_wh


@pytest.mark.parametrize(
    ("came_with", "left_with", "hours", "expected"),
    [(50, 40, 1, 0), (50, 20, 1, 1), (20, 25, 1, 0), (20, 15, 1, 1), (20, 25, 9, 1), (50, 29.5, 9, 0)],
    ids=["enough", "taken below", "came low, left early", "came low, lost", "its time had come", "rounding"],
)
async def test_the_audit_counts_vehicles_that_left_with_too_little_by_our_doing(
    w: World, came_with: float, left_with: float, hours: float, expected: int
) -> None:
    """P7, must hold 1."""
    plug_in = await left(w, came_with, left_with, hours)
    assert plug_in is PermissionState.GRANTED
    assert (await audit_of(w.store, w.clock)).below_required_charge == expected


async def left(w: World, came_with: float, left_with: float, hours: float) -> PermissionState:
    """Required: 30 % by two in the morning in Tokyo, eight hours after the plug-in."""
    await w.plug()
    await w.say(conditions=Conditions(required_soc_percent=30, depart_at=time(2)))
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(soc_percent=came_with))
    w.clock.pass_(hours * 3600)
    await w.take(w.metered(soc_percent=left_with))
    state = w.plug_in.permission.state
    await w.take(w.ended(1, stopped_reason="EVDisconnected"), w.status(ConnectorStatus.AVAILABLE))
    return state


async def test_nothing_is_paid_to_somebody_else(w: World) -> None:
    """P19."""
    await w.person(KEN, None, None)
    await hour(w, ALL)
    await settled(w, 62)
    assert {entry.user for _, entry in await ledger(w)} == {AOI}
