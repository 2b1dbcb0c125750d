"""Whose plug-in is it, where two people may be meant: a link is opened by anybody, a card and a cable are held by one.
P1, P4, P9; B1, B7, S1, S2."""

import asyncio
from dataclasses import replace
from datetime import time
from functools import partial
from pathlib import Path

import pytest

from csms.control.permission.answers import Said
from csms.control.state.use import use_now
from csms.domain.commands import StartTransaction
from csms.domain.conditions import Conditions, Pattern, TimeSlot
from csms.domain.errors import Conflict, NotFound
from csms.domain.facts import IdToken, TokenType
from csms.domain.ids import UserId
from csms.domain.people import IdTokenRecord
from csms.domain.permission import Channel, PermissionState
from csms.domain.snapshot import Use
from csms.domain.station import ConnectorStatus
from csms.store import reads, writes
from tests.control.kit import AOI, CARD, E1, KEN, World, state_of, station, until, world

NOBODYS = IdToken("CARD-NOBODY")
ALWAYS = Conditions(slots=(TimeSlot(start=time(0), end=time(0), zone="UTC"),))
MIO = UserId("u-mio")


@pytest.fixture(autouse=True)
async def _others(w: World) -> None:
    await w.person(KEN, None, None)
    await w.person(MIO, None, None)
    await w.token(IdTokenRecord(token=NOBODYS.value))


def use(w: World) -> Use:
    return use_now(w.evse, w.settings.permission, w.clock.now())


async def claim(w: World, user: UserId) -> None:
    await w.system.rooms.matching.claim(user, E1)
    await w.quiet()


async def refused(w: World, user: UserId) -> str:
    """The claim is refused and changes nothing; why."""
    before, how = w.plug_in, use(w)
    with pytest.raises(Conflict) as error:
        await claim(w, user)
    assert (w.plug_in, use(w)) == (before, how)
    return error.value.reason or ""


async def on_a_card(w: World, seconds: float = 600) -> None:
    """A vehicle charges on a card that is linked to nobody."""
    await w.plug(None)
    await w.take(w.authorize(NOBODYS), w.started(NOBODYS))
    w.clock.pass_(seconds)
    assert use(w) is Use.PLAIN


async def slots(w: World, user: UserId) -> None:
    """The user permits every hour of every day."""
    pattern = Pattern(name="mine", conditions=ALWAYS, chosen=True)
    await w.store.writer.run(partial(writes.save_pattern, user=user, pattern=pattern))


# --- S1: while a card charges ---


async def test_s1_a_strangers_link_neither_pauses_nor_takes_what_charges_on_a_card(w: World) -> None:
    """P4: the card is linked to nobody; whoever opens the link has not shown it."""
    await on_a_card(w, 10)
    assert await refused(w, KEN) == "card"
    assert (w.plug_in.user, use(w)) == (None, Use.PLAIN)


async def test_s1_a_strangers_link_takes_nothing_of_a_card_session_in_ocpp_2(w: World) -> None:
    await w.plug(None)
    await w.take(w.event(0, token=NOBODYS, trigger="Authorized", charging_state="Charging"))
    assert await refused(w, KEN) == "card"
    await w.take(w.event(1, token=NOBODYS, trigger="MeterValuePeriodic", charging_state="Charging"))
    assert w.plug_in.user is None, "some stations name the token in each event: nobody showed it"


async def test_s1_who_shows_the_card_again_is_asked_and_charges_on(w: World) -> None:
    """P1: the claim comes first, the card within two minutes; the question pauses nothing either."""
    await on_a_card(w)
    await refused(w, KEN)
    w.clock.pass_(100)
    await w.take(w.authorize(NOBODYS))
    assert (w.plug_in.user, state_of(w), use(w)) == (KEN, PermissionState.ASKED, Use.PLAIN)
    await w.say()
    assert use(w) is Use.RESOURCE


@pytest.mark.parametrize("trigger", ["Authorized", "StopAuthorized"])
async def test_s1_the_card_that_a_station_of_ocpp_2_tells_of_counts_too(w: World, trigger: str) -> None:
    await w.plug(None)
    await w.take(w.event(0, token=NOBODYS, trigger="Authorized", charging_state="Charging"))
    await refused(w, KEN)
    await w.take(w.event(1, token=NOBODYS, trigger=trigger, charging_state="EVConnected"))
    assert w.plug_in.user == KEN


@pytest.mark.parametrize("after_s", [0, 115])
async def test_s1_a_card_that_is_shown_while_two_were_told_to_show_it_is_for_nobody(w: World, after_s: float) -> None:
    """P4: also where the two minutes of the first are over when it is shown: one of them did not hold it."""
    await on_a_card(w)
    assert await refused(w, KEN) == "card"
    w.clock.pass_(after_s)
    assert await refused(w, MIO) == "card"
    w.clock.pass_(after_s)
    await w.take(w.authorize(NOBODYS))
    assert (w.plug_in.user, use(w)) == (None, Use.PLAIN)


async def test_s1_a_link_that_is_polled_makes_no_card_that_is_shown_hours_later_the_strangers(w: World) -> None:
    """P4: the driver comes back and shows the card to leave; that proves nothing for whoever tried again and again."""
    await on_a_card(w)
    assert await refused(w, KEN) == "card"
    for _ in range(3):
        w.clock.pass_(110)
        await refused(w, KEN)
        await w.take(w.authorize(IdToken("ANOTHER")))
    await w.take(w.authorize(NOBODYS))
    assert await refused(w, KEN) == "plugged_long", "the sentence names what still helps"
    await w.take(w.authorize(NOBODYS))
    assert (w.plug_in.user, use(w)) == (None, Use.PLAIN)


async def test_s1_a_page_that_is_loaded_again_changes_nothing_of_the_two_minutes(w: World) -> None:
    """P1: neither ends them nor begins them anew."""
    await on_a_card(w)
    for _ in range(2):
        assert await refused(w, KEN) == "card"
        w.clock.pass_(55)
    await w.take(w.authorize(NOBODYS))
    assert w.plug_in.user == KEN


async def test_s1_who_holds_the_card_has_it_also_after_a_stranger_tried(w: World) -> None:
    """P1: the stranger's two minutes are over; whoever comes third plugs in again."""
    await on_a_card(w)
    await refused(w, KEN)
    w.clock.pass_(121)
    assert await refused(w, AOI) == "card"
    assert await refused(w, MIO) == "plugged_long"
    w.clock.pass_(60)
    await w.take(w.authorize(NOBODYS))
    assert (w.plug_in.user, state_of(w)) == (AOI, PermissionState.ASKED)


async def test_s1_accounts_of_one_stranger_do_not_hold_the_way_to_the_card_open(w: World) -> None:
    """P4: anybody signs up in a minute, as often as they like."""
    await on_a_card(w)
    for n in range(4):
        await w.person(UserId(f"u-{n}"), None, None)
        await refused(w, UserId(f"u-{n}"))
        w.clock.pass_(121)
    await w.person(UserId("u-9"), None, None)
    assert await refused(w, UserId("u-9")) == "plugged_long"
    await w.take(w.authorize(NOBODYS))
    assert w.plug_in.user is None


async def test_s1_the_next_plug_in_has_two_minutes_of_its_own(w: World) -> None:
    await on_a_card(w)
    await refused(w, KEN)
    await w.take(w.stopped(w.evse.run.transaction, reason="EVDisconnected"), w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(200)
    await w.system.reactions.sweep()
    await on_a_card(w)
    assert await refused(w, KEN) == "card"
    await w.take(w.authorize(NOBODYS))
    assert w.plug_in.user == KEN


async def test_s1_who_was_refused_for_another_reason_has_no_use_of_the_card_that_is_shown_next(w: World) -> None:
    """P4: Aoi said yes, Ken tried the link, Aoi began to charge with her card: it was taken for Ken's."""
    await w.plug(AOI)
    await w.say()
    assert await refused(w, KEN) == "taken"
    w.clock.pass_(20)
    await w.take(w.authorize(NOBODYS), w.started(NOBODYS))
    assert (w.plug_in.user, use(w)) == (AOI, Use.RESOURCE)


async def test_s1_another_card_of_its_group_is_not_the_card(w: World) -> None:
    """The group may end the session; whose vehicle it is it does not say."""
    for name in ("FLEET-1", "FLEET-2", "FLEET"):
        await w.token(IdTokenRecord(token=name, group=None if name == "FLEET" else "FLEET"))
    await w.plug(None)
    await w.take(w.started(IdToken("FLEET-1")))
    await refused(w, KEN)
    await w.take(w.authorize(IdToken("FLEET-2")), w.authorize(IdToken("FLEET")))
    assert w.plug_in.user is None
    await w.take(w.authorize(IdToken("fleet-1")))
    assert w.plug_in.user == KEN


@pytest.mark.parametrize("has_status", [True, False])
@pytest.mark.parametrize("version", ["1.6", "2.x"])
async def test_p1_who_opened_the_link_first_is_asked_whatever_card_they_charge_with(
    w: World, version: str, *, has_status: bool
) -> None:
    """P1: link, cable, a card that is linked to nobody."""
    await claim(w, AOI)
    w.clock.pass_(60)
    if has_status:
        await w.plug(None)
    w.clock.pass_(60)
    began = w.started(NOBODYS) if version == "1.6" else w.event(0, token=NOBODYS, charging_state="Charging")
    await w.take(w.authorize(NOBODYS), began)
    assert (w.plug_in.user, state_of(w), use(w)) == (AOI, PermissionState.ASKED, Use.PLAIN)
    assert await refused(w, KEN) == "card"
    await w.say()
    assert use(w) is Use.RESOURCE


async def test_p1_a_link_opened_long_before_the_card_says_nothing_of_it(w: World) -> None:
    """P4: a quarter of an hour."""
    await claim(w, AOI)
    await w.plug(None)
    w.clock.pass_(16 * 60)
    await w.take(w.started(NOBODYS))
    assert (w.plug_in.user, use(w)) == (None, Use.PLAIN)


async def test_s1_the_card_takes_back_what_a_stranger_has_answered(w: World) -> None:
    """B7: Ken waited, Aoi plugged in, Ken said yes; Aoi's card began it."""
    await claim(w, KEN)
    await w.plug(None)
    await w.take(w.started(NOBODYS))
    await w.say()
    assert (w.plug_in.user, use(w)) == (KEN, Use.RESOURCE)
    assert await refused(w, AOI) == "card"
    await w.take(w.authorize(NOBODYS))
    assert (w.plug_in.user, state_of(w), use(w)) == (AOI, PermissionState.ASKED, Use.PLAIN)


async def test_s1_a_session_that_has_ended_still_needs_its_card_also_after_a_restart(w: World) -> None:
    """P4: a stranger's yes started the vehicle that waited for its driver."""
    await on_a_card(w)
    await w.take(w.stopped(w.evse.run.transaction), w.status(ConnectorStatus.FINISHING))
    assert await refused(w, KEN) == "card"
    await w.restart()
    assert await refused(w, KEN) == "card"
    await w.take(w.authorize(NOBODYS))
    assert w.plug_in.user == KEN


async def test_s1_the_card_of_a_running_session_is_known_after_a_restart(w: World) -> None:
    await on_a_card(w)
    await w.restart()
    assert await refused(w, KEN) == "card"
    await w.take(w.authorize(NOBODYS))
    assert w.plug_in.user == KEN


async def test_s1_whose_card_it_is_may_claim_it(w: World) -> None:
    """P1: the operator has linked it meanwhile; another's card it is not."""
    await on_a_card(w)
    await w.token(IdTokenRecord(token=NOBODYS.value, user=AOI))
    assert await refused(w, KEN) == "card"
    await claim(w, AOI)
    assert (w.plug_in.user, use(w)) == (AOI, Use.PLAIN)


@pytest.mark.parametrize("token", [None, IdToken("", TokenType.NONE)], ids=["no token", "NoAuthorization"])
async def test_s1_where_everybody_may_charge_a_link_counts_right_after_the_cable_and_pauses_nothing(
    w: World, token: IdToken | None
) -> None:
    """P1, P4: a host who lets everybody charge; there is no card to show."""
    await w.plug(None)
    await w.take(w.event(0, token=token, charging_state="Charging"))
    w.clock.pass_(60)
    await claim(w, KEN)
    assert (w.plug_in.user, state_of(w), use(w)) == (KEN, PermissionState.ASKED, Use.PLAIN)


async def test_s1_where_everybody_may_charge_a_link_that_comes_late_takes_nothing(w: World) -> None:
    """P4: who has the vehicle unplugs it and plugs it in again."""
    await w.plug(None)
    await w.take(w.event(0, charging_state="Charging"))
    w.clock.pass_(301)
    assert await refused(w, KEN) == "plugged_long"
    w.clock.pass_(10)
    await w.take(w.ended(1, stopped_reason="EVDisconnected"), w.status(ConnectorStatus.AVAILABLE))
    await claim(w, KEN)
    w.clock.pass_(10)
    await w.take(w.event(0, "tx-2", charging_state="Charging"), w.status(ConnectorStatus.OCCUPIED))
    assert (w.plug_in.user, state_of(w)) == (KEN, PermissionState.ASKED)


async def test_s1_what_we_started_for_its_user_is_nobody_elses(w: World) -> None:
    """V2G-31: our own token is no card that anybody could show."""
    await w.plug()
    await w.say()
    (start,) = w.stations.of(StartTransaction)
    await w.take(w.started(start.token))
    assert await refused(w, KEN) == "taken"
    assert use(w) is Use.RESOURCE


async def test_s1_a_card_that_charged_while_the_station_was_offline_is_needed_too(w: World) -> None:
    """F3: the start comes from a queue, and is believed once it is seen to run."""
    began = w.clock.now()
    w.clock.pass_(300)
    await w.take(w.started(NOBODYS, at=began), w.status(ConnectorStatus.CHARGING))
    assert w.evse.run.authorized
    assert await refused(w, KEN) == "card"


async def test_b7_the_card_of_another_user_in_the_middle_of_a_card_session_takes_nothing(w: World) -> None:
    """2.x: it was allowed to end it, by its group."""
    await w.plug(None)
    await w.take(w.event(0, token=NOBODYS, charging_state="Charging"))
    await w.take(w.event(1, trigger="StopAuthorized", token=CARD, charging_state="EVConnected"))
    assert w.plug_in.user is None


# --- S2: who waits, and who comes after ---


async def test_s2_a_slot_does_not_answer_for_who_opened_the_link_and_went_away(w: World) -> None:
    """P9: two minutes; the question is put all the same, and only its user answers it."""
    await slots(w, AOI)
    await claim(w, AOI)
    w.clock.pass_(121)
    await w.plug(None)
    assert (w.plug_in.user, state_of(w)) == (AOI, PermissionState.ASKED)
    await w.system.rooms.permissions.keep(AOI, Pattern(name="mine", conditions=ALWAYS, chosen=True))
    for _ in range(2):
        w.clock.pass_(200)
        await w.system.reactions.sweep()
        await w.quiet()
    assert state_of(w) is PermissionState.EXPIRED
    await w.restart()
    await w.system.reactions.sweep()
    await w.quiet()
    assert state_of(w) is PermissionState.EXPIRED
    await w.say()
    assert state_of(w) is PermissionState.GRANTED


@pytest.mark.parametrize("after_s", [10, 119])
async def test_p9_a_slot_answers_for_who_plugs_in_right_after_the_link(w: World, after_s: float) -> None:
    await slots(w, AOI)
    await claim(w, AOI)
    w.clock.pass_(after_s)
    await w.plug(None)
    assert w.plug_in.permission.channel is Channel.SLOT


async def test_s1_a_link_that_is_polled_makes_no_cable_that_comes_the_strangers(w: World) -> None:
    """P4, P9: opened once a minute from afar, its slot answered for whoever came, and their car was discharged."""
    await slots(w, KEN)
    for _ in range(30):
        await claim(w, KEN)
        w.clock.pass_(60)
    await w.plug(None)
    assert (w.plug_in.user, state_of(w)) == (KEN, PermissionState.ASKED)
    await w.system.reactions.sweep()
    await w.quiet()
    assert w.stations.of(StartTransaction) == []
    await claim(w, AOI)
    assert w.plug_in.user == AOI


async def test_p9_who_loads_the_page_again_before_plugging_in_is_answered_for_by_the_slot(w: World) -> None:
    await slots(w, AOI)
    await claim(w, AOI)
    w.clock.pass_(60)
    await claim(w, AOI)
    w.clock.pass_(30)
    await w.plug(None)
    assert w.plug_in.permission.channel is Channel.SLOT


async def test_s2_who_stands_at_the_vehicle_takes_over_from_who_waited_and_went_away(w: World) -> None:
    """P1: no card is needed; the first is told, and answers for nothing any more."""
    await claim(w, KEN)
    w.clock.pass_(600)
    await w.plug(None)
    kens = w.plug_in
    assert kens.user == KEN
    with w.system.feed.subscribe(KEN) as bell:
        await claim(w, AOI)
        await asyncio.wait_for(bell.wait(), 1)
    assert (w.plug_in.id, w.plug_in.user, state_of(w)) == (kens.id, AOI, PermissionState.ASKED)
    assert w.system.driver_view.of(KEN).taken_over == E1
    assert w.system.driver_view.of(AOI).taken_over is None
    with pytest.raises(NotFound):
        await w.system.rooms.permissions.answer(kens.id, KEN, Said(granted=True))


async def test_s2_who_was_taken_over_from_opens_the_link_again_and_has_it_back(w: World) -> None:
    """P1: a passer-by opened the link; nobody was a resource meanwhile."""
    await w.plug(AOI)
    await claim(w, KEN)
    assert (w.plug_in.user, state_of(w)) == (KEN, PermissionState.ASKED)
    await claim(w, AOI)
    assert (w.plug_in.user, w.system.driver_view.of(AOI).taken_over) == (AOI, None)
    await w.say()
    assert await refused(w, KEN) == "taken"
    assert state_of(w) is PermissionState.GRANTED


@pytest.mark.parametrize("version", ["1.6", "2.x"])
async def test_s2_a_claim_is_used_up_by_the_own_card_that_begins_before_any_status(w: World, version: str) -> None:
    """P1: a claim is for one cable; the next vehicle, minutes later, was taken for Aoi's too."""
    await claim(w, AOI)
    w.clock.pass_(20)
    await w.take(w.started(CARD) if version == "1.6" else w.event(0, token=CARD, charging_state="Charging"))
    assert w.plug_in.user == AOI
    w.clock.pass_(60)
    if version == "1.6":
        await w.take(w.stopped(w.evse.run.transaction, reason="EVDisconnected"))
    else:
        await w.take(w.ended(1, stopped_reason="EVDisconnected"))
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(30)
    await w.plug(None)
    assert w.plug_in.user is None


@pytest.mark.parametrize("granted", [True, False])
async def test_s2_what_its_user_has_answered_is_taken_over_by_no_link(w: World, granted: bool) -> None:
    """P4: neither after a yes nor after a no."""
    await w.plug(AOI)
    await w.say(granted=granted)
    assert await refused(w, KEN) == "taken"


async def test_s2_who_is_known_by_a_card_is_taken_over_by_no_link(w: World) -> None:
    await w.plug(None)
    await w.take(w.authorize(CARD))
    assert w.plug_in.user == AOI
    assert await refused(w, KEN) == "taken"


async def test_s2_of_two_who_wait_the_last_is_asked_and_no_slot_answers(w: World) -> None:
    """P4: nobody is a resource on a guess; the other hears of it and may open the link again."""
    for user in (KEN, AOI):
        await slots(w, user)
        await claim(w, user)
        w.clock.pass_(5)
    await w.plug(None)
    assert (w.plug_in.user, state_of(w)) == (AOI, PermissionState.ASKED)
    assert w.system.driver_view.of(KEN).taken_over == E1
    await w.system.reactions.sweep()
    await w.quiet()
    assert state_of(w) is PermissionState.ASKED
    await claim(w, KEN)
    assert w.plug_in.user == KEN


async def test_s2_what_a_slot_has_started_is_taken_over_for_some_minutes_and_then_no_more(w: World) -> None:
    """P9: else every passer-by could, of who is never asked."""
    await slots(w, AOI)
    for after_s, expected in ((200, KEN), (301, AOI)):
        await claim(w, AOI)
        await w.plug(None)
        await w.take(w.started(w.stations.of(StartTransaction)[-1].token))
        assert (w.plug_in.user, use(w)) == (AOI, Use.RESOURCE)
        w.clock.pass_(after_s)
        if expected == AOI:
            assert await refused(w, KEN) == "plugged_long"
        else:
            await claim(w, KEN)
            assert (state_of(w), use(w)) == (PermissionState.ASKED, Use.PLAIN)
        assert w.plug_in.user == expected
        await w.take(w.stopped(w.evse.run.transaction, reason="EVDisconnected"))
        await w.take(w.status(ConnectorStatus.AVAILABLE))
        w.clock.pass_(60)
        await w.system.reactions.sweep()


async def test_s2_whoever_comes_second_to_a_vehicle_that_only_a_guess_was_made_of_is_told_what_to_do(w: World) -> None:
    """P1: the sentence names a remedy."""
    await on_a_card(w)
    with pytest.raises(Conflict, match="show that card"):
        await claim(w, KEN)


@pytest.mark.parametrize("owner", [True, False])
async def test_who_was_only_assumed_is_still_so_after_a_restart(tmp_path: Path, *, owner: bool) -> None:
    """Must hold 3: whom the owner let in, or who stands there, claims it after the restart too."""
    made = station(host=AOI if owner else None)
    place = replace(made, evses=(replace(made.evses[0], public=not owner, allowed=(KEN,)),))
    async with world(tmp_path, place) as w:
        await w.person()
        await w.person(KEN, None, None)
        if not owner:
            await claim(w, AOI)
        await w.plug(None)
        assert w.plug_in.user == AOI
        await w.restart()
        await claim(w, KEN)
        assert w.plug_in.user == KEN


async def test_b1_a_start_that_has_not_come_about_ends_with_its_vehicle_across_a_restart(w: World) -> None:
    """B1: the token was made for Aoi's plug-in; the server went down, and Ken's vehicle ran on it."""
    await w.plug()
    await w.say()
    (start,) = w.stations.of(StartTransaction)
    await w.restart()
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(6)
    await w.take(w.status(ConnectorStatus.PREPARING), w.started(start.token))
    assert not w.evse.run.authorized
    assert w.plug_in.user is None


async def test_an_answer_that_is_being_stored_is_not_undone_by_what_a_card_says_meanwhile(w: World) -> None:
    """Must hold 3: each wrote the whole row; the older permission was stored last."""
    await claim(w, AOI)
    await w.plug(None)
    asked = w.plug_in.id
    answer = asyncio.ensure_future(w.system.rooms.permissions.answer(asked, AOI, Said(granted=False)))
    assert w.evse.answered is not None
    await until(w.evse.answered.lock.locked)
    w.system.rooms.intake.receive(w.started(NOBODYS), lambda answer: None)
    await answer
    await w.quiet()
    await w.restart()
    assert state_of(w) is PermissionState.REFUSED
    assert await refused(w, KEN) == "card"


async def test_b7_where_a_card_was_shown_is_still_a_guess_after_a_restart(tmp_path: Path) -> None:
    """1.6 Authorize names no connector: it began at the other one, which was busy until then."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.token(IdTokenRecord(token=NOBODYS.value))
        other = replace(E1, evse=2)
        await w.take(w.started(NOBODYS, other))
        await w.take(w.status(ConnectorStatus.PREPARING), w.authorize(CARD))
        assert w.plug_in.user == AOI
        await w.restart()
        await w.take(w.started(CARD, other))
        assert w.plug_in.user is None


# --- S1: nobody pays on a guess ---


async def charged_by_another(w: World, how: str) -> None:
    """Ken opened the link and went away; ten minutes later somebody plugs in and charges 6 kWh in an hour."""
    await claim(w, KEN)
    w.clock.pass_(600)
    await w.plug(None)
    began = w.started(NOBODYS) if how == "1.6, a card" else w.event(0, charging_state="Charging")
    await w.take(began)
    for n in range(13):
        await w.take(w.metered(transaction=w.evse.run.transaction, import_wh=n * 500.0))
        w.clock.pass_(300)


async def bought_wh(w: World, user: UserId) -> int:
    w.clock.pass_(3600)
    await w.system.rooms.settlement.run()
    balance = await w.store.read(
        lambda conn: reads.balance(conn, user, None, None, None, currency=w.settings.settlement.currency)
    )
    return balance.bought_wh


@pytest.mark.parametrize("how", ["1.6, a card", "2.x, everybody may charge"])
async def test_s1_who_waited_and_has_not_answered_does_not_pay_what_another_charges(w: World, how: str) -> None:
    """P13: Ken is asked, and says nothing."""
    await charged_by_another(w, how)
    assert w.plug_in.user == KEN
    assert await bought_wh(w, KEN) == 0


async def test_s1_whose_it_was_pays_all_of_it_once_they_have_answered(w: World) -> None:
    """P13: it was Ken's after all: what flowed before his answer is his too, also where it is a no."""
    await charged_by_another(w, "1.6, a card")
    assert await bought_wh(w, KEN) == 0
    await w.say(granted=False)
    assert await bought_wh(w, KEN) == 6000


async def test_s2_what_was_booked_to_who_was_taken_for_the_driver_is_the_drivers_and_booked_once(w: World) -> None:
    """P13: Ken waited and said yes; an hour of it was settled before Aoi showed her card."""
    await charged_by_another(w, "1.6, a card")
    await w.say()
    transaction = w.evse.run.transaction
    await w.take(w.metered(transaction=transaction, import_wh=6500.0))
    assert (await bought_wh(w, KEN), await bought_wh(w, AOI)) == (6500, 0)
    await refused(w, AOI)
    await w.take(w.authorize(NOBODYS))
    assert w.plug_in.user == AOI
    await w.take(w.metered(transaction=transaction, import_wh=8000.0))
    for _ in range(2):
        aoi = pytest.approx(8000, abs=4)  # each interval is rounded by itself
        assert (await bought_wh(w, KEN), await bought_wh(w, AOI)) == (0, aoi)
    entries = await w.store.read(lambda conn: reads.ledger(conn, limit=1000))
    sums = {user: sum(each.postings[0].amount_minor for _, each in entries if each.user == user) for user in (KEN, AOI)}
    assert (sums[KEN], sums[AOI] < 0, all(each.is_balanced for _, each in entries)) == (0, True, True)


async def test_s1_nothing_is_started_for_who_waited_and_has_not_answered(w: World) -> None:
    """P4: the question lapses; whoever plugged in would charge for nothing, or on Ken's account."""
    await claim(w, KEN)
    w.clock.pass_(600)
    await w.plug(None)
    w.clock.pass_(600)
    await w.system.reactions.sweep()
    await w.quiet()
    assert (w.plug_in.user, state_of(w), w.stations.of(StartTransaction)) == (KEN, PermissionState.EXPIRED, [])
    await claim(w, KEN)
    await w.system.reactions.sweep()
    await w.quiet()
    assert len(w.stations.of(StartTransaction)) == 1, "he stands there"


async def test_s1_the_card_of_a_session_that_has_ended_is_its_users_after_a_restart_too(w: World) -> None:
    """P1: Aoi said yes, charged on a card that is linked to nobody, and shows it once more."""
    await claim(w, AOI)
    await w.plug(None)
    await w.take(w.started(NOBODYS))
    await w.say()
    await w.take(w.stopped(w.evse.run.transaction), w.status(ConnectorStatus.FINISHING))
    await w.restart()
    await w.take(w.started(NOBODYS, meter_start_wh=7))
    assert w.plug_in.user == AOI
