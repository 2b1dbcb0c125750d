"""What each part of an answer does and leaves alone: one sharp case each. P4, P7, P10, G5; A6."""

import asyncio
from dataclasses import replace
from datetime import time
from functools import partial
from pathlib import Path

import pytest

from csms.control.permission import patterns
from csms.control.permission.answers import Said, after
from csms.domain.conditions import Conditions, Pattern, TimeSlot
from csms.domain.errors import Conflict, NotFound
from csms.domain.ids import EvseRef, PlugInId, StationId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.store import writes
from tests.control.kit import AOI, CARD, E1, KEN, LEAF, START, World, state_of, station, world

SAKURA = VehicleId("v-sakura")
MINE = Conditions(required_soc_percent=77)
HERS = Conditions(required_soc_percent=55)
VEHICLES = [Vehicle(id=LEAF, user=AOI, name="Leaf"), Vehicle(id=SAKURA, user=AOI, name="Sakura")]
ASKED = Permission(state=PermissionState.ASKED, asked_at=START)
PLUG_IN = PlugIn(
    id=PlugInId("p"), evse=EvseRef(StationId("s"), 1), plugged_at=START, user=AOI, vehicle=LEAF, permission=ASKED
)
OWN = [Pattern(name="mine", conditions=MINE), Pattern(name="mine", conditions=HERS, vehicle=SAKURA)]


def told(said: Said, plug_in: PlugIn = PLUG_IN, own: list[Pattern] = OWN) -> tuple[PlugIn, Pattern | None]:
    return after(plug_in, said, own, VEHICLES, START)


def test_the_conditions_of_a_yes_are_kept_and_those_of_a_no_are_not() -> None:
    """P10."""
    _, kept = told(Said(granted=True, conditions=HERS))
    assert kept is not None
    assert (kept.name, kept.conditions) == ("mine", HERS)
    no, kept = told(Said(granted=False, conditions=HERS))
    assert (no.permission.conditions, kept) == (HERS, None)


def test_conditions_that_come_with_a_named_pattern_are_of_this_plug_in_only() -> None:
    """P10: "mine" is not touched."""
    adjusted, kept = told(Said(granted=True, conditions=HERS, pattern="commuter"))
    assert (adjusted.permission.conditions, adjusted.permission.pattern, kept) == (HERS, "commuter", None)


def test_a_yes_without_conditions_takes_those_of_the_question_else_the_kept_ones_else_what_is_usual() -> None:
    """P10."""
    shown = replace(PLUG_IN, permission=replace(ASKED, conditions=HERS))
    assert told(Said(granted=True), shown)[0].permission.conditions == HERS
    assert told(Said(granted=True))[0].permission.conditions == MINE
    assert told(Said(granted=True), own=[])[0].permission.conditions == Conditions()
    assert told(Said(granted=False), own=[])[0].permission.conditions is None


def test_an_answer_without_conditions_keeps_those_of_the_question_also_with_a_vehicle_that_has_none() -> None:
    """P10."""
    shown = replace(PLUG_IN, permission=replace(ASKED, conditions=HERS, pattern="night"))
    answered = told(Said(granted=True, vehicle=SAKURA), shown, own=[])[0].permission
    assert (answered.conditions, answered.pattern) == (HERS, "night")


def test_a_vehicles_own_conditions_stand_before_those_for_all() -> None:
    """P10."""
    assert told(Said(granted=True, vehicle=SAKURA))[0].permission.conditions == HERS
    own = patterns.used(OWN, SAKURA)
    assert own is not None
    assert own.conditions == HERS
    for_all = patterns.used(OWN, LEAF)
    assert for_all is not None
    assert for_all.conditions == MINE


def test_nobody_answers_with_the_vehicle_of_another() -> None:
    with pytest.raises(NotFound) as unknown:
        told(Said(granted=True, vehicle=VehicleId("v-of-ken")))
    assert unknown.value.field == "vehicle"


def test_a_stated_charge_is_of_its_vehicle_and_stays_until_another_is_stated() -> None:
    """A6."""
    stated = replace(PLUG_IN, stated_soc_percent=40.0)
    assert told(Said(granted=True), stated)[0].stated_soc_percent == 40.0
    assert told(Said(granted=True, stated_soc_percent=60.0), stated)[0].stated_soc_percent == 60.0
    assert told(Said(granted=True, vehicle=SAKURA), stated)[0].stated_soc_percent is None


async def test_an_answer_ends_with_its_plug_in(w: World) -> None:
    """P4: nothing of it is there for the next cable."""
    await w.plug()
    await w.say(conditions=MINE)
    w.leave()
    await w.quiet()
    assert w.evse.answer is None
    await w.plug(None)
    assert state_of(w) is PermissionState.UNASKED


async def test_who_is_let_in_does_not_take_over_what_the_owners_slot_has_answered(tmp_path: Path) -> None:
    """G5, P9: nobody stood there, and the owner's permitted slot said yes."""
    made = station(host=AOI)
    private = replace(made, evses=(replace(made.evses[0], public=False, allowed=(KEN,)),))
    always = Conditions(slots=(TimeSlot(start=time(0), end=time(0), zone="UTC"),))
    async with world(tmp_path, private) as w:
        await w.person()
        await w.person(KEN, None, None)
        mine = Pattern(name="mine", conditions=always)
        await w.store.writer.run(partial(writes.save_pattern, user=AOI, pattern=mine))
        await w.plug(None)
        assert (w.plug_in.user, w.plug_in.permission.channel) == (AOI, Channel.SLOT)
        with pytest.raises(Conflict):
            await w.system.rooms.matching.claim(KEN, E1)
        assert (w.plug_in.user, state_of(w)) == (AOI, PermissionState.GRANTED)


async def test_the_terminal_is_told_when_the_vehicle_no_longer_takes_part(w: World) -> None:
    """P3, P9: its slot is over; nothing else has changed."""
    slot = TimeSlot(start=time(9), end=time(10), zone="UTC")
    await w.plug()
    await w.say(conditions=Conditions(slots=(slot,)))
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    assert w.plug_in.participating_since == START
    w.clock.pass_(3601)
    with w.system.feed.subscribe(AOI) as bell:
        w.system.rooms.permissions.sweep(w.evse, w.clock.now())
        await asyncio.wait_for(bell.wait(), 1)
    assert w.plug_in.participating_since is None


async def test_conditions_that_are_saved_for_one_vehicle_do_not_bind_another(w: World) -> None:
    """P10: the Leaf is plugged in under "mine"."""
    await w.store.writer.run(partial(writes.add_vehicle, vehicle=VEHICLES[1]))
    await w.plug()
    await w.say(conditions=MINE)
    assert w.plug_in.vehicle == LEAF or await _choose_leaf(w)
    await w.system.rooms.permissions.keep(AOI, Pattern(name="mine", conditions=HERS, vehicle=SAKURA))
    await w.quiet()
    assert w.plug_in.permission.conditions == MINE


async def _choose_leaf(w: World) -> bool:
    said = Said(granted=True, conditions=MINE, vehicle=LEAF)
    await w.system.rooms.permissions.answer(w.plug_in.id, AOI, said)
    await w.quiet()
    return w.plug_in.vehicle == LEAF
