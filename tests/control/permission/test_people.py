"""Several vehicles, terminals and users, linked to each other. B14, P1."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from csms.control.permission.answers import Said
from csms.control.permission.link_codes import ALPHABET, hash_code
from csms.control.permission.people import Linked
from csms.control.permission.sharing import delete, take_back, unshare
from csms.domain.conditions import Conditions
from csms.domain.errors import Forbidden, NotFound
from csms.domain.ids import UserId, VehicleId
from csms.domain.people import IdTokenRecord, Vehicle
from csms.domain.station import ConnectorStatus
from csms.store import reads
from tests.control.kit import AOI, CARD, E2, KEN, LEAF, World, station, world

VAN = Vehicle(id=VehicleId(""), user=UserId(""), name="Van", capacity_wh=60_000, plate="ABC 123", vin="JN1")


async def linked(w: World, user: UserId = AOI, name: str = "tablet") -> Linked:
    code = await w.system.people.new_code(user)
    return await w.system.people.link_terminal(code.code, name)


async def test_a_second_terminal_is_linked_by_a_short_code_and_is_the_same_user(w: World) -> None:
    """P1: 8 characters, whatever their case and gaps; the database does not know the code."""
    code = await w.system.people.new_code(AOI)
    assert len(code.code) == 8
    assert set(code.code) <= set(ALPHABET)
    typed = f"{code.code[:4].lower()} {code.code[4:]}"
    new = await w.system.people.link_terminal(typed, "tablet")
    assert new.user.id == AOI
    assert await w.system.people.of_terminal(new.terminal_token) == new.user
    assert [terminal.name for terminal in await w.system.people.terminals(AOI)] == ["tablet"]
    assert hash_code(code.code) != code.code


async def test_a_code_is_used_once_even_by_two_at_the_same_time(w: World) -> None:
    """P1."""
    people, code = w.system.people, await w.system.people.new_code(AOI)
    tries = [people.link_terminal(code.code, ""), people.link_terminal(code.code, "")]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Linked", "NotFound"]
    assert len(await people.terminals(AOI)) == 1


async def test_a_code_holds_for_ten_minutes(w: World) -> None:
    """P1."""
    code = await w.system.people.new_code(AOI)
    w.clock.pass_(600)
    with pytest.raises(NotFound):
        await w.system.people.link_terminal(code.code, "")


async def test_a_code_for_a_vehicle_opens_no_terminal_and_the_other_way_round(w: World) -> None:
    """P1: what is shared is the vehicle, not the account."""
    await w.person(KEN, None, None)
    of_vehicle, of_terminal = await w.system.people.new_code(AOI, LEAF), await w.system.people.new_code(AOI)
    with pytest.raises(NotFound):
        await w.system.people.link_terminal(of_vehicle.code, "")
    with pytest.raises(NotFound):
        await w.system.people.join_vehicle(KEN, of_terminal.code)
    assert (await w.system.people.join_vehicle(KEN, of_vehicle.code)).id == LEAF


async def test_a_revoked_terminal_is_nobodys_and_is_told_so(w: World) -> None:
    """P1: a lost phone."""
    kept, lost = await linked(w, name="kept"), await linked(w, name="lost")
    ids = {terminal.name: terminal.id for terminal in await w.system.people.terminals(AOI)}
    with w.system.feed.subscribe(AOI) as bell:
        await w.system.people.revoke_terminal(AOI, ids["lost"])
        await asyncio.wait_for(bell.wait(), 1)
    assert await w.system.people.of_terminal(lost.terminal_token) is None
    assert await w.system.people.of_terminal(kept.terminal_token) is not None


async def test_nobody_revokes_the_terminal_of_another(w: World) -> None:
    await w.person(KEN, None, None)
    theirs = await linked(w)
    (terminal,) = await w.system.people.terminals(AOI)
    with pytest.raises(NotFound):
        await w.system.people.revoke_terminal(KEN, terminal.id)
    assert await w.system.people.of_terminal(theirs.terminal_token) is not None


async def test_vehicles_are_added_changed_and_deleted(w: World) -> None:
    """P1, B14: plate and VIN too."""
    added = await w.system.people.add_vehicle(AOI, VAN)
    assert (added.user, added.plate, added.vin) == (AOI, "ABC 123", "JN1")
    changed = await w.system.people.change_vehicle(AOI, added.id, {"name": "Blue van", "capacity_wh": 70_000})
    assert (changed.name, changed.capacity_wh, changed.plate) == ("Blue van", 70_000, "ABC 123")
    assert {each.name for each in await w.system.people.vehicles(AOI)} == {"Leaf", "Blue van"}
    await delete(w.system.people, w.system.rooms.permissions, AOI, added.id)
    assert {each.name for each in await w.system.people.vehicles(AOI)} == {"Leaf"}


async def test_a_vehicle_has_several_users_and_one_owner(w: World) -> None:
    """P1: who shares it uses it, leaves it, and changes nothing of it."""
    await w.person(KEN, None, None)
    code = await w.system.people.new_code(AOI, LEAF)
    await w.system.people.join_vehicle(KEN, code.code)
    await w.plug(KEN)
    assert (w.plug_in.user, w.plug_in.vehicle) == (KEN, LEAF)
    with pytest.raises(Forbidden):
        await w.system.people.change_vehicle(KEN, LEAF, {"name": "mine now"})
    with pytest.raises(Forbidden):
        await w.system.people.new_code(KEN, LEAF)
    with pytest.raises(Forbidden):
        await delete(w.system.people, w.system.rooms.permissions, KEN, LEAF)
    await unshare(w.system.people, w.system.rooms.permissions, LEAF, KEN)
    assert await w.system.people.vehicles(KEN) == []
    assert [each.id for each in await w.system.people.vehicles(AOI)] == [LEAF]


async def test_p1_an_owner_takes_a_vehicle_back_from_who_shares_it_and_their_plug_in_goes_on_without_it(
    w: World,
) -> None:
    """S3: nothing of that vehicle is theirs any more, also after a restart; what they said of the plug-in holds."""
    people, permissions = w.system.people, w.system.rooms.permissions
    await w.person(KEN, None, CARD)
    await people.join_vehicle(KEN, (await people.new_code(AOI, LEAF)).code)
    assert [user.id for user in await people.sharers(AOI, LEAF)] == [KEN]
    await w.token(IdTokenRecord(token=CARD.value, user=KEN, vehicle=LEAF))
    await w.plug(KEN)
    await w.say(conditions=Conditions(required_soc_percent=66))
    known = (await people.new_code(AOI, LEAF)).code
    await take_back(people, permissions, AOI, LEAF, KEN)
    for _ in range(2):
        assert (w.plug_in.user, w.plug_in.vehicle, w.evse.vehicle) == (KEN, None, None)
        assert w.plug_in.permission.conditions == Conditions(required_soc_percent=66)
        await w.restart()
    people = w.system.people
    assert (await people.vehicles(KEN), await people.sharers(AOI, LEAF)) == ([], [])
    record = w.system.tokens.find(CARD)
    assert record is not None
    assert (record.user, record.vehicle) == (KEN, None)
    with pytest.raises(NotFound):
        await people.join_vehicle(KEN, known)
    assert [each.id for each in await people.vehicles(AOI)] == [LEAF]


async def test_p1_a_vehicle_that_its_owner_deletes_leaves_every_plug_in_that_runs_with_it(tmp_path: Path) -> None:
    """S3: the owner's own and those of who shares it, also after a restart; what they said holds."""
    async with world(tmp_path, station(evses=2)) as w:
        people, permissions = w.system.people, w.system.rooms.permissions
        await w.person()
        await w.person(KEN, None, None)
        await people.join_vehicle(KEN, (await people.new_code(AOI, LEAF)).code)
        await w.plug(AOI)
        await w.plug(KEN, E2)
        await w.say(conditions=Conditions(required_soc_percent=66))
        with pytest.raises(Forbidden):
            await delete(people, permissions, KEN, LEAF)
        assert (w.plug_in.vehicle, w.at(E2).vehicle is not None) == (LEAF, True)
        await delete(people, permissions, AOI, LEAF)
        for _ in range(2):
            assert (w.plug_in.user, w.plug_in.vehicle, w.evse.vehicle) == (AOI, None, None)
            assert (w.at(E2).user, w.at(E2).vehicle) == (KEN, None)
            assert w.plug_in.permission.conditions == Conditions(required_soc_percent=66)
            record = w.system.tokens.find(CARD)
            assert record is not None
            assert (record.user, record.vehicle) == (AOI, None)
            await w.restart()


async def test_p1_only_the_owner_takes_a_vehicle_back_and_only_from_who_shares_it(w: World) -> None:
    people, permissions = w.system.people, w.system.rooms.permissions
    await w.person(KEN, None, None)
    with pytest.raises(NotFound):
        await take_back(people, permissions, AOI, LEAF, KEN)
    await people.join_vehicle(KEN, (await people.new_code(AOI, LEAF)).code)
    with pytest.raises(Forbidden):
        await take_back(people, permissions, KEN, LEAF, KEN)
    assert [user.id for user in await people.sharers(AOI, LEAF)] == [KEN]


async def test_the_vehicle_of_a_strangers_is_not_found(w: World) -> None:
    await w.person(KEN, None, None)
    with pytest.raises(NotFound):
        await w.system.people.change_vehicle(KEN, LEAF, {"name": "mine now"})
    with pytest.raises(NotFound):
        await delete(w.system.people, w.system.rooms.permissions, KEN, LEAF)
    assert (await w.store.read(partial(reads.vehicles, user=AOI)))[0].name == "Leaf"


async def test_the_vehicle_of_the_last_plug_in_is_proposed_at_the_next(w: World) -> None:
    """P1."""
    van = await w.system.people.add_vehicle(AOI, VAN)
    for wanted in (LEAF, van.id, LEAF):
        await w.plug()
        await w.system.rooms.permissions.answer(w.plug_in.id, AOI, Said(granted=True, vehicle=wanted))
        await w.take(w.status(ConnectorStatus.AVAILABLE))
        w.clock.pass_(60)
        await w.system.reactions.sweep()
        await w.quiet()
        await w.plug()
        assert (w.plug_in.vehicle, w.evse.vehicle and w.evse.vehicle.id) == (wanted, wanted)
        await w.take(w.status(ConnectorStatus.AVAILABLE))
        w.clock.pass_(60)
        await w.system.reactions.sweep()
        await w.quiet()


async def test_a_code_that_a_revoked_terminal_made_links_nothing(w: World) -> None:
    """A lost phone makes a code right before it is revoked; it was back on the account with it."""
    people = w.system.people
    made = await people.register("Mio", Vehicle(id=VehicleId(""), user=UserId(""), name="Ariya"), "en")
    code = await people.new_code(made.user.id)
    (lost,) = await people.terminals(made.user.id)
    await people.revoke_terminal(made.user.id, lost.id)
    with pytest.raises(NotFound):
        await people.link_terminal(code.code, "thief's")
