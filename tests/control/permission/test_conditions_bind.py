"""Saved conditions hold for the plug-in that runs; slots open while it is plugged in. B2, B11, B12; P5-P10."""

import asyncio
import threading
from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from csms.control.permission.answers import Said
from csms.control.permission.patterns import MINE, PREPARED
from csms.domain.commands import ApplySetpoint
from csms.domain.conditions import Conditions, Pattern, SlotMode, TimeSlot
from csms.domain.decision import Reason
from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import BadRequest, NotFound
from csms.domain.ids import DrEventId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, PermissionState
from csms.domain.snapshot import Use
from csms.domain.station import ConnectorStatus
from csms.store import reads, writes
from tests.control.kit import AOI, CARD, E1, E2, KEN, LOW, World, state_of, station, until, world

EVENING = TimeSlot(start=time(20), end=time(23))
"""20:00 in Tokyo is 11:00 UTC; the tests begin at 09:00 UTC."""
WITHIN_EVENING = Conditions(slots=(EVENING,), required_soc_percent=30)


async def kept(w: World) -> dict[str, Pattern]:
    return {pattern.name: pattern for pattern in await w.store.read(partial(reads.patterns, user=AOI))}


async def saved(w: World, conditions: Conditions, name: str = MINE, **changed: object) -> None:
    pattern = Pattern(name=name, conditions=conditions, **{"chosen": name == MINE, **changed})  # type: ignore[arg-type]
    await w.system.rooms.permissions.keep(AOI, pattern)
    await w.quiet()


async def later(w: World, hours: float) -> None:
    w.clock.pass_(hours * 3600)
    await w.system.reactions.sweep()
    await w.quiet()


async def replug(w: World) -> None:
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    await later(w, 1 / 60)
    await w.plug()


async def discharging(w: World) -> None:
    """A permitted vehicle at 80 % in a discharge."""
    await w.resource()
    now = w.clock.now()
    event = DrEvent(
        id=DrEventId("e"),
        direction=Direction.DOWN,
        requested_w=6000,
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        areas=frozenset({"default"}),
        incentive_per_kwh=Decimal(60),
        created_at=now,
    )
    await w.system.events.create(event)
    await w.quiet()
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    assert newest_w(w) < -1000


def newest_w(w: World) -> int:
    sent = w.stations.of(ApplySetpoint)
    return int(sent[-1].setpoint_w)


@pytest.mark.parametrize(
    "conditions",
    [
        replace(LOW, required_soc_percent=95),
        replace(LOW, discharge=False),
        replace(LOW, min_sell_per_kwh=Decimal(9999)),
    ],
    ids=["required charge raised", "discharge withdrawn", "selling price raised"],
)
async def test_conditions_that_are_saved_stop_a_discharge_at_the_next_tick(w: World, conditions: Conditions) -> None:
    """B2: the page says that we never go beyond them."""
    await discharging(w)
    await saved(w, conditions)
    w.clock.pass_(10)
    await w.take(w.metered(soc_percent=80.0, power_import_w=0.0))
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    assert newest_w(w) >= 0


async def test_conditions_that_are_saved_are_those_that_the_running_plug_in_shows_and_survive_a_restart(
    w: World,
) -> None:
    """B2, must hold 3: the answer stays what it was; only its conditions are others from then on."""
    await w.resource()
    before = w.plug_in.permission
    w.clock.pass_(60)
    strict = replace(LOW, required_soc_percent=95, depart_at=time(7))
    await saved(w, strict)
    after = w.plug_in.permission
    assert (after.state, after.answered_at, after.channel) == (before.state, before.answered_at, before.channel)
    assert (after.conditions, after.pattern, after.revised_at) == (strict, MINE, w.clock.now())
    assert after.departure_at is not None
    assert w.seen().terms.required_wh == 38_000
    await w.restart()
    assert w.plug_in.permission == after


async def test_conditions_and_the_plug_in_they_bind_are_stored_together_or_not_at_all(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B12: one action, one write."""
    await w.resource()
    held = w.plug_in.permission

    def fail(*_args: object, **_named: object) -> None:
        raise ValueError("no room")

    monkeypatch.setattr(writes, "save_pattern", fail)
    with pytest.raises(ValueError, match="no room"):
        await saved(w, replace(LOW, required_soc_percent=95))
    monkeypatch.undo()
    await w.quiet()
    stored = await w.store.read(partial(reads.plug_in, id=w.plug_in.id))
    assert stored is not None
    assert (stored.permission, w.plug_in.permission) == (held, held)
    assert (await kept(w))[MINE].conditions == LOW


async def test_an_answer_and_its_conditions_are_stored_together_or_not_at_all(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B12, P4."""
    await w.plug()

    def fail(*_args: object, **_named: object) -> None:
        raise ValueError("no room")

    monkeypatch.setattr(writes, "save_pattern", fail)
    with pytest.raises(ValueError, match="no room"):
        await w.say(conditions=LOW)
    monkeypatch.undo()
    await w.quiet()
    stored = await w.store.read(partial(reads.plug_in, id=w.plug_in.id))
    assert stored is not None
    assert (stored.permission.state, state_of(w)) == (PermissionState.ASKED, PermissionState.ASKED)


async def test_a_question_that_lapses_while_it_is_being_answered_stays_answered(w: World) -> None:
    """Must hold 3: what was confirmed is what is stored, whatever the clock did meanwhile."""
    await w.plug()
    asked = w.plug_in.id
    answer = asyncio.ensure_future(w.system.rooms.permissions.answer(asked, AOI, Said(granted=True)))
    assert w.evse.answered is not None
    await until(w.evse.answered.lock.locked)
    w.clock.pass_(301)
    w.system.rooms.permissions.sweep(w.evse, w.clock.now())
    await answer
    await w.quiet()
    stored = await w.store.read(partial(reads.plug_in, id=asked))
    assert stored is not None
    assert (stored.permission.state, state_of(w)) == (PermissionState.GRANTED, PermissionState.GRANTED)


async def test_conditions_are_not_saved_onto_the_plug_in_of_another(tmp_path: Path) -> None:
    """P4: a user's save binds that user's plug-ins only."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.resource()
        held = w.plug_in.permission
        await w.person(KEN, None, None)
        await w.plug(KEN, E2)
        await w.say(ref=E2)
        await w.system.rooms.permissions.keep(KEN, Pattern(name=MINE, conditions=Conditions(), chosen=True))
        assert w.plug_in.permission == held


async def test_a_slot_that_opens_while_the_vehicle_is_plugged_in_answers_the_open_question(w: World) -> None:
    """B11, P9: also a question that has lapsed."""
    await saved(w, WITHIN_EVENING)
    await w.plug()
    assert state_of(w) is PermissionState.ASKED
    await later(w, 0.25)
    assert state_of(w) is PermissionState.EXPIRED
    await later(w, 1.74)
    assert state_of(w) is PermissionState.EXPIRED
    await later(w, 0.02)
    permission = w.plug_in.permission
    assert (permission.state, permission.channel) == (PermissionState.GRANTED, Channel.SLOT)


async def test_a_slot_never_answers_against_a_no(w: World) -> None:
    """P4, P9: a no is for the whole plug-in."""
    await saved(w, WITHIN_EVENING)
    await w.plug()
    await w.say(granted=False)
    await later(w, 2.5)
    assert state_of(w) is PermissionState.REFUSED


async def test_a_slot_that_is_saved_while_it_is_open_answers_the_open_question(w: World) -> None:
    """B2, P9."""
    await w.plug()
    await saved(w, Conditions(slots=(TimeSlot(start=time(18), end=time(7)),)))
    assert state_of(w) is PermissionState.GRANTED


async def test_what_was_permitted_before_its_slot_charges_within_the_conditions_until_then(w: World) -> None:
    """B11, P6: the tariff is 30; outside the slot nothing is bought above 1, and nothing is a resource."""
    await w.resource(replace(LOW, slots=(EVENING,)))
    seen = w.seen()
    assert (seen.use, seen.terms.max_buy_per_kwh, seen.terms.discharge) == (Use.PLAIN, Decimal(1), False)
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    assert w.evse.told.setpoint is not None
    assert w.evse.told.setpoint.desired_w == 0
    assert Reason.PRICE_ABOVE_MAX_BUY in w.evse.told.setpoint.reasons
    await later(w, 2.1)
    assert w.seen().use is Use.RESOURCE


@pytest.mark.parametrize(
    ("mode", "entrust", "discharge"),
    [(SlotMode.CONDITIONS, False, True), (SlotMode.ENTRUST, True, True), (SlotMode.CHARGE_ONLY, False, False)],
)
async def test_each_slot_has_its_mode(w: World, mode: SlotMode, entrust: bool, discharge: bool) -> None:
    """P9: 18:00 in Tokyo."""
    await w.resource(replace(LOW, slots=(TimeSlot(start=time(17), end=time(7), mode=mode),)))
    terms = w.seen().terms
    assert (w.seen().use, terms.entrust, terms.discharge) == (Use.RESOURCE, entrust, discharge)


async def test_a_slot_for_one_day_holds_on_that_day(w: World) -> None:
    """P9."""
    once = TimeSlot(start=time(20), end=time(23), once=date(2026, 7, 2))
    await saved(w, Conditions(slots=(once,)))
    await w.plug()
    await later(w, 2.5)
    assert state_of(w) is PermissionState.EXPIRED
    await later(w, 24)
    assert state_of(w) is PermissionState.GRANTED


async def test_a_prepared_pattern_is_used_for_this_plug_in_and_leaves_mine_and_its_slots_alone(w: World) -> None:
    """B12, P10: and which one it was is remembered."""
    await saved(w, WITHIN_EVENING)
    await w.plug()
    commuter = PREPARED[0]
    told = await w.system.rooms.permissions.answer(w.plug_in.id, AOI, Said(granted=True, pattern=commuter.name))
    assert (told.permission.pattern, told.permission.conditions) == (commuter.name, commuter.conditions)
    assert (await kept(w))[MINE].conditions == WITHIN_EVENING
    await w.restart()
    assert w.plug_in.permission.pattern == commuter.name
    await replug(w)
    assert (w.plug_in.permission.pattern, w.plug_in.permission.conditions) == (MINE, WITHIN_EVENING)


async def test_conditions_are_kept_under_a_name_chosen_and_deleted(w: World) -> None:
    """P10, B12."""
    trip = Conditions(required_soc_percent=90)
    await saved(w, LOW)
    await saved(w, trip, "trip")
    await w.plug()
    assert w.plug_in.permission.conditions == LOW
    await w.system.rooms.permissions.choose(AOI, "trip", None)
    assert (w.plug_in.permission.pattern, w.plug_in.permission.conditions) == ("trip", trip)
    await replug(w)
    assert (w.plug_in.permission.pattern, w.plug_in.permission.conditions) == ("trip", trip)
    await w.system.rooms.permissions.forget(AOI, "trip", None)
    assert set(await kept(w)) == {MINE}
    await replug(w)
    assert w.plug_in.permission.conditions == LOW
    with pytest.raises(NotFound):
        await w.system.rooms.permissions.forget(AOI, "trip", None)


async def test_a_named_pattern_that_is_changed_binds_the_plug_in_that_runs_under_it_and_no_other(w: World) -> None:
    """B2, P10."""
    await saved(w, Conditions(required_soc_percent=90), "trip")
    await w.plug()
    await w.system.rooms.permissions.answer(w.plug_in.id, AOI, Said(granted=True, pattern="trip"))
    await saved(w, Conditions(required_soc_percent=20), "other")
    assert w.plug_in.permission.conditions == Conditions(required_soc_percent=90)
    await saved(w, Conditions(required_soc_percent=99), "trip")
    assert w.plug_in.permission.conditions == Conditions(required_soc_percent=99)


async def test_a_prepared_pattern_can_be_chosen_and_never_changed(w: World) -> None:
    """P10."""
    await w.system.rooms.permissions.choose(AOI, "always-80", None)
    await w.plug()
    assert w.plug_in.permission.pattern == "always-80"
    with pytest.raises(BadRequest):
        await saved(w, LOW, "always-80")
    with pytest.raises(NotFound):
        await w.system.rooms.permissions.choose(AOI, "nothing of the kind", None)


async def test_conditions_of_one_vehicle_stand_before_those_for_all(w: World) -> None:
    """P10: per user or per vehicle."""
    second = Vehicle(id=VehicleId("v-second"), user=AOI, name="Van")
    await w.store.writer.run(partial(writes.add_vehicle, vehicle=second))
    await saved(w, LOW)
    await saved(w, Conditions(required_soc_percent=99), vehicle=second.id)
    await w.plug()
    told = await w.system.rooms.permissions.answer(w.plug_in.id, AOI, Said(granted=True, vehicle=second.id))
    assert (told.vehicle, told.permission.conditions) == (second.id, Conditions(required_soc_percent=99))
    await replug(w)
    assert (w.plug_in.vehicle, w.plug_in.permission.conditions) == (second.id, Conditions(required_soc_percent=99))


async def test_the_driver_is_told_again_when_the_vehicle_begins_to_take_part(w: World) -> None:
    """P3: kept over a restart, and gone when it no longer does."""
    await w.plug()
    await w.say(conditions=LOW)
    assert w.plug_in.participating_since is None
    with w.system.feed.subscribe(AOI) as bell:
        w.clock.pass_(5)
        await w.take(w.event(0, token=CARD, charging_state="Charging"))
        await asyncio.wait_for(bell.wait(), 1)
    since = w.clock.now()
    assert w.plug_in.participating_since == since
    await w.restart()
    assert w.plug_in.participating_since == since
    await w.say(granted=False)
    await later(w, 0.01)
    assert w.plug_in.participating_since is None


async def test_the_user_says_the_state_of_charge_and_it_is_kept(w: World) -> None:
    """A6, P20: with the answer, or by itself."""
    await w.plug()
    await w.system.rooms.permissions.answer(w.plug_in.id, AOI, Said(granted=True, stated_soc_percent=35.0))
    assert w.plug_in.stated_soc_percent == 35.0
    await w.system.rooms.permissions.state_soc(w.plug_in.id, AOI, 40.0)
    await w.restart()
    assert w.plug_in.stated_soc_percent == 40.0
    with pytest.raises(NotFound):
        await w.system.rooms.permissions.state_soc(w.plug_in.id, KEN, 90.0)


@pytest.mark.parametrize("steps", [0, 2, 20])
async def test_a_yes_under_a_name_that_another_phone_saves_anew_is_bound_by_what_was_saved(
    w: World, steps: int
) -> None:
    """P5, P10: "Saved" was said, and the vehicle was a resource under what had been kept before."""
    permissions = w.system.rooms.permissions
    await permissions.keep(AOI, Pattern(name="night", conditions=Conditions(required_soc_percent=30)))
    await w.plug()
    never = Pattern(name="night", conditions=Conditions(required_soc_percent=90, discharge=False))
    yes = asyncio.create_task(permissions.answer(w.plug_in.id, AOI, Said(granted=True, pattern="night")))
    for _ in range(steps):
        await asyncio.sleep(0)
    await asyncio.gather(yes, permissions.keep(AOI, never))
    await w.quiet()
    assert (w.plug_in.permission.pattern, w.plug_in.permission.conditions) == ("night", never.conditions)


async def test_s2_what_another_phone_saves_while_its_user_is_matched_binds_the_plug_in(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P5, P10: a slot of what had been kept before answered, though "Saved" was said of other conditions."""
    permissions, read = w.system.rooms.permissions, reads.patterns
    always = Conditions(slots=(TimeSlot(start=time(0), end=time(0), zone="UTC"),))
    await permissions.keep(AOI, Pattern(name="mine", conditions=always, chosen=True))
    never = Pattern(name="mine", conditions=Conditions(required_soc_percent=90, discharge=False), chosen=True)
    begun, gate = threading.Event(), threading.Event()

    def slowly(conn: Connection, user: UserId) -> list[Pattern]:
        found = read(conn, user)
        begun.set()
        gate.wait(10)
        return found

    await w.plug(None)
    monkeypatch.setattr(reads, "patterns", slowly)
    claim = asyncio.create_task(w.system.rooms.matching.claim(AOI, E1))
    assert await asyncio.to_thread(begun.wait, 10)
    saved = asyncio.create_task(permissions.keep(AOI, never))
    await asyncio.wait({saved}, timeout=0.5)
    gate.set()
    await asyncio.gather(claim, saved)
    await w.quiet()
    assert w.plug_in.permission.conditions == never.conditions
