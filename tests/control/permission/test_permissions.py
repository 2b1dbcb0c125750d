"""Whose vehicle is it, and may it be used: the question at plug-in and what comes of each answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import time, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import pytest

from csms.control.permission.answers import Said
from csms.control.permission.people import Links, hash_token, link_secret
from csms.control.state import changes
from csms.domain.conditions import Conditions, TimeSlot
from csms.domain.errors import Conflict, NotFound
from csms.domain.ids import EvseRef, PlugInId, StationId, UserId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, PermissionState, PlugIn
from csms.domain.snapshot import Use
from csms.domain.station import ConnectorStatus
from csms.settings import Settings
from csms.store import reads
from tests.control.kit import AOI, CARD, E1, E2, KEN, LEAF, STRANGER, S, World, state_of, station, until, world

T = TypeVar("T")

NIGHT = Conditions(slots=(TimeSlot(start=time(18), end=time(7)),), required_soc_percent=40)
"""09:00 UTC is 18:00 in Tokyo: within."""


@contextmanager
def heard(w: World, kind: type[T]) -> Iterator[list[T]]:
    """The changes of one kind that rooms emit meanwhile."""
    found: list[T] = []
    table = w.system.reactions._table
    with patch.object(w.system.reactions, "_table", {**table, kind: (*table[kind], found.append)}):
        yield found


async def stored(w: World, id_: PlugInId) -> PlugIn:
    found = await w.store.read(partial(reads.plug_in, id=id_))
    assert found is not None
    return found


async def test_a_user_who_stands_at_the_evse_is_asked_at_once(w: World) -> None:
    """P3: the link was opened before the cable went in."""
    assert await w.system.rooms.matching.claim(AOI, E1) is None
    with w.system.feed.subscribe(AOI) as bell:
        await w.take(w.status(ConnectorStatus.PREPARING))
        await asyncio.wait_for(bell.wait(), 1)
    assert (w.plug_in.user, w.plug_in.vehicle, state_of(w)) == (AOI, LEAF, PermissionState.ASKED)


async def test_a_user_who_comes_after_the_cable_is_asked_at_once(w: World) -> None:
    """P1, P3: the plug-in waits for them."""
    await w.plug(None)
    claimed = await w.system.rooms.matching.claim(AOI, E1)
    assert claimed is not None
    assert (claimed.user, claimed.permission.state) == (AOI, PermissionState.ASKED)


async def test_a_claim_is_for_one_plug_in_and_for_a_quarter_of_an_hour(w: World) -> None:
    """P3: whoever plugs in later is somebody else."""
    await w.system.rooms.matching.claim(AOI, E1)
    w.clock.pass_(16 * 60)
    await w.plug(None)
    assert (w.plug_in.user, state_of(w)) == (None, PermissionState.UNASKED)


async def test_nobody_takes_over_a_plug_in_that_its_user_has_answered(w: World) -> None:
    """P1: a link opened by a passer-by changes nothing."""
    await w.person(KEN, None, None)
    await w.plug()
    await w.say()
    with pytest.raises(Conflict):
        await w.system.rooms.matching.claim(KEN, E1)
    assert w.plug_in.user == AOI


async def test_of_two_who_claim_a_plug_in_at_the_same_time_one_has_it_and_keeps_it(w: World) -> None:
    """P1: both were looked up before either was linked."""
    await w.person(KEN, None, None)
    await w.plug(None)
    claims = await asyncio.gather(w.system.rooms.matching.claim(AOI, E1), w.system.rooms.matching.claim(KEN, E1))
    await w.quiet()
    users = [claim.user for claim in claims if claim]
    assert users == [w.plug_in.user]


async def test_a_card_shown_twice_does_not_take_an_answer_back(w: World) -> None:
    """P4: Authorize and StartTransaction both show it."""
    await w.plug(None)
    await w.take(w.authorize(), w.started())
    assert (w.plug_in.user, w.plug_in.vehicle, state_of(w)) == (AOI, LEAF, PermissionState.ASKED)
    await w.say()
    await w.take(w.authorize(), w.event(0, "7", token=CARD))
    assert state_of(w) is PermissionState.GRANTED


async def test_the_host_of_a_private_evse_is_asked_without_any_card(tmp_path: Path) -> None:
    """P3: nobody else plugs in there."""
    private = station(host=AOI)
    private = replace(private, evses=(replace(private.evses[0], public=False), station(evses=2).evses[1]))
    async with world(tmp_path, private) as w:
        await w.person()
        await w.plug(None)
        await w.plug(None, E2)
        other = w.at(E2).plug_in
        assert w.plug_in.user == AOI
        assert other is not None
        assert other.user is None


async def test_a_host_without_a_terminal_is_nobody_to_ask(tmp_path: Path) -> None:
    """P3: the plug-in is kept all the same."""
    private = station(host="house-7")
    async with world(tmp_path, replace(private, evses=(replace(private.evses[0], public=False),))) as w:
        await w.plug(None)
        assert (await stored(w, w.plug_in.id)).user is None


async def test_an_unknown_card_asks_nobody(w: World) -> None:
    """P4: it charges plainly if its station lets it; nobody can permit more."""
    await w.plug(None)
    await w.take(w.authorize(STRANGER))
    assert w.plug_in.user is None


async def test_a_permitted_time_slot_answers_by_itself(w: World) -> None:
    """P9, P10: kept with the last yes."""
    await w.plug()
    await w.say(conditions=NIGHT)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(3600)
    await w.system.reactions.sweep()
    await w.quiet()
    await w.plug()
    permission = w.plug_in.permission
    assert (permission.state, permission.channel, permission.conditions) == (
        PermissionState.GRANTED,
        Channel.SLOT,
        NIGHT,
    )


async def test_conditions_are_kept_and_proposed_at_the_next_plug_in(w: World) -> None:
    """P10: outside a slot the question comes again, filled in."""
    mine = Conditions(required_soc_percent=77)
    await w.plug()
    await w.say(conditions=mine)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(60)
    await w.system.reactions.sweep()
    await w.quiet()
    await w.plug()
    assert (state_of(w), w.plug_in.permission.conditions) == (PermissionState.ASKED, mine)
    await w.say()
    assert w.plug_in.permission.conditions == mine


@pytest.mark.parametrize(
    ("granted", "state"), [(True, PermissionState.GRANTED), (False, PermissionState.REFUSED)], ids=["yes", "no"]
)
async def test_an_answer_is_stored_when_it_is_confirmed(w: World, granted: bool, state: PermissionState) -> None:
    """P4, must hold 3."""
    await w.plug()
    await w.system.rooms.permissions.answer(w.plug_in.id, AOI, Said(granted=granted))
    assert (await stored(w, w.plug_in.id)).permission.state is state


async def test_an_answer_by_somebody_else_is_not_found(w: World) -> None:
    """P4."""
    await w.plug()
    with pytest.raises(NotFound):
        await w.system.rooms.permissions.answer(w.plug_in.id, KEN, Said(granted=True))
    assert state_of(w) is PermissionState.ASKED


async def test_an_answer_never_falls_on_the_vehicle_that_comes_next(w: World) -> None:
    """P4: the vehicles change while the user's conditions are looked up."""
    await w.plug()
    asked = w.plug_in.id
    answer = asyncio.ensure_future(w.system.rooms.permissions.answer(asked, AOI, Said(granted=True)))
    await asyncio.sleep(0)
    w.leave()
    w.system.rooms.intake.receive(w.status(ConnectorStatus.PREPARING), lambda answer: None)
    with pytest.raises(NotFound):
        await answer
    await w.quiet()
    assert w.plug_in.id != asked
    assert (await stored(w, w.plug_in.id)).permission.state is PermissionState.UNASKED


async def test_an_answer_given_while_the_cable_goes_out_is_kept(w: World) -> None:
    """Must hold 3: it was confirmed."""
    await w.plug()
    asked = w.plug_in.id
    answer = asyncio.ensure_future(
        w.system.rooms.permissions.answer(asked, AOI, Said(granted=False, conditions=Conditions()))
    )
    await until(lambda: w.store.writer._unfinished > 0)
    w.leave()
    await answer
    await w.quiet()
    kept = await stored(w, asked)
    assert (kept.permission.state, kept.unplugged_at) == (PermissionState.REFUSED, w.clock.now())


async def test_an_unanswered_question_lapses_and_a_late_yes_still_counts(w: World) -> None:
    """P4, V2G-29."""
    await w.plug()
    w.clock.pass_(301)
    await w.system.reactions.sweep()
    await w.quiet()
    assert state_of(w) is PermissionState.EXPIRED
    await w.say()
    assert state_of(w) is PermissionState.GRANTED


async def test_a_question_that_could_be_put_to_nobody_lapses_too_and_a_late_user_is_asked(w: World) -> None:
    """P1, V2G-29: nobody is held for ever."""
    await w.plug(None)
    w.clock.pass_(301)
    await w.system.reactions.sweep()
    assert state_of(w) is PermissionState.EXPIRED
    await w.system.rooms.matching.claim(AOI, E1)
    assert state_of(w) is PermissionState.ASKED


async def test_a_change_of_mind_counts_at_once(w: World) -> None:
    """P4."""
    await w.resource()
    assert w.seen().use is Use.RESOURCE
    await w.say(granted=False)
    assert w.seen().use is Use.PLAIN


async def test_a_user_without_a_vehicle_is_asked_and_only_charged(tmp_path: Path) -> None:
    """P7: nobody said that it can give anything back."""
    async with world(tmp_path) as w:
        await w.person(KEN, None, CARD)
        await w.plug(KEN)
        await w.say()
        await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(soc_percent=90.0))
        seen = w.seen()
        assert seen.use is Use.RESOURCE
        assert seen.battery is not None
        assert seen.battery.max_discharge_w == 0


async def test_an_evse_that_is_not_there_cannot_be_claimed(w: World) -> None:
    for ref in (EvseRef(S, 0), EvseRef(StationId("nowhere"), 1)):
        with pytest.raises(NotFound):
            await w.system.rooms.matching.claim(AOI, ref)


async def test_a_user_who_is_known_later_has_what_was_charged_before_settled(w: World) -> None:
    """P1, P19: the plug-in is theirs from its start."""
    await w.plug(None)
    w.clock.pass_(7200)
    with heard(w, changes.Matched) as matched:
        await w.system.rooms.matching.claim(AOI, E1)
    assert [change.plug_in.plugged_at for change in matched] == [w.clock.now() - timedelta(hours=2)]


async def test_a_new_driver_is_known_again_by_the_terminal_and_by_no_other(w: World) -> None:
    """P1: only the token's digest is kept."""
    people = w.system.people
    new = await people.register("Mio", Vehicle(id=LEAF, user=UserId(""), name="Sakura", capacity_wh=20_000), "ja")
    assert await people.of_terminal(new.terminal_token) == new.user
    assert await people.of_terminal(hash_token(new.terminal_token)) is None
    assert await w.store.read(partial(reads.vehicles, user=new.user.id)) == [new.vehicle]


def test_a_link_names_its_evse_and_no_other() -> None:
    """V2G-27: the signature is of the station and the EVSE."""
    links = Links("secret", Settings())
    signature = links.of(E1).split("s=")[1]
    assert links.evse(S, 1, signature) == E1
    assert links.evse(S, 2, signature) is None
    assert links.evse(S, 1, "") is None
    assert Links("other", Settings()).evse(S, 1, signature) is None


async def test_the_link_secret_is_made_once(w: World) -> None:
    """V2G-27: stickers stay valid."""
    first = await link_secret(w.store, "")
    assert await link_secret(w.store, "") == first
    assert await link_secret(w.store, "configured") == "configured"
