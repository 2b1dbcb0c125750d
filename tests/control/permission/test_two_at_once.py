"""Two phones of a family at the same moment: what one was told is saved holds. P1, P5-P10; S1."""

import asyncio
from decimal import Decimal
from functools import partial

from csms.control.permission.sharing import delete
from csms.domain.conditions import Conditions, Pattern
from csms.store import reads
from tests.control.kit import AOI, LEAF, World

SAFE = Conditions(min_sell_per_kwh=Decimal(100), required_soc_percent=80)
LOOSE = Conditions(min_sell_per_kwh=Decimal(10), required_soc_percent=10)


def night(conditions: Conditions, **of: object) -> Pattern:
    return Pattern(name="night", conditions=conditions, **of)  # type: ignore[arg-type]


async def test_s1_a_pattern_that_is_chosen_is_the_one_that_another_phone_saves_at_that_moment(w: World) -> None:
    """P5: choosing wrote back the conditions of before, and the car was sold below the price that was saved."""
    permissions = w.system.rooms.permissions
    await permissions.keep(AOI, night(LOOSE))
    await w.plug()
    await w.say()
    await asyncio.gather(permissions.choose(AOI, "night", None), permissions.keep(AOI, night(SAFE)))
    (kept,) = await w.store.read(partial(reads.patterns, user=AOI))
    assert kept == night(SAFE, chosen=True)
    assert w.plug_in.permission.conditions == SAFE


async def test_a_pattern_that_is_deleted_while_it_is_chosen_is_chosen_or_gone(w: World) -> None:
    permissions = w.system.rooms.permissions
    await permissions.keep(AOI, night(LOOSE))
    await asyncio.gather(permissions.choose(AOI, "night", None), permissions.forget(AOI, "night", None))
    assert await w.store.read(partial(reads.patterns, user=AOI)) == []


async def test_s1_conditions_for_all_vehicles_do_not_bind_one_that_has_its_own_of_that_name(w: World) -> None:
    """P5, P10: "night" of the Leaf sells from 100 on, that of the other cars from 10 on."""
    permissions = w.system.rooms.permissions
    await permissions.keep(AOI, night(SAFE, vehicle=LEAF, chosen=True))
    await w.plug()
    await w.say()
    assert w.plug_in.permission.conditions == SAFE
    await permissions.keep(AOI, night(LOOSE))
    assert w.plug_in.permission.conditions == SAFE
    await permissions.keep(AOI, night(LOOSE, vehicle=LEAF))
    assert w.plug_in.permission.conditions == LOOSE


async def test_conditions_for_all_vehicles_bind_one_that_runs_under_them(w: World) -> None:
    permissions = w.system.rooms.permissions
    await permissions.keep(AOI, night(SAFE, chosen=True))
    await w.plug()
    await w.say()
    await permissions.keep(AOI, night(LOOSE))
    assert w.plug_in.permission.conditions == LOOSE


async def test_p1_who_types_the_code_of_their_own_vehicle_shares_it_with_nobody_and_may_delete_it(w: World) -> None:
    """Each was to be held twice: the deletion, and every answer of its owner after it, waited for ever."""
    people, permissions = w.system.people, w.system.rooms.permissions
    code = await people.new_code(AOI, LEAF)
    assert (await people.join_vehicle(AOI, code.code)).id == LEAF
    assert await people.sharers(AOI, LEAF) == []
    await w.plug()
    await asyncio.wait_for(delete(people, permissions, AOI, LEAF), 5)
    await asyncio.wait_for(w.say(granted=False), 5)
    assert w.plug_in.vehicle is None
