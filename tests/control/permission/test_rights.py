"""A private EVSE is its owner's and whom they let in; what a host gives without a permission. B7, B13; P1, P4, P7."""

from dataclasses import replace
from datetime import time
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from csms.control.permission.sign_up import sign_up
from csms.control.state.use import use_now
from csms.domain.answers import Answer
from csms.domain.commands import StartTransaction
from csms.domain.conditions import Conditions, Pattern, TimeSlot
from csms.domain.errors import Conflict, Forbidden
from csms.domain.facts import IdToken, TokenType
from csms.domain.ids import UserId, VehicleId
from csms.domain.people import IdTokenRecord, Vehicle
from csms.domain.permission import PermissionState
from csms.domain.snapshot import Use
from csms.domain.station import Evse, Station
from csms.store import reads, writes
from tests.control.kit import AOI, CARD, E1, E2, KEN, LEAF, World, state_of, station, world

KENS_CARD = replace(CARD, value="CARD-KEN")


def private(**changed: object) -> Station:
    """AOI's own, at home."""
    made = station(host=AOI)
    evse: Evse = replace(made.evses[0], public=False, **changed)  # type: ignore[arg-type]
    return replace(made, evses=(evse,))


async def test_a_stranger_cannot_claim_a_private_evse(tmp_path: Path) -> None:
    """B7: neither before the cable goes in, nor after; the owner is asked."""
    async with world(tmp_path, private()) as w:
        await w.person()
        await w.person(KEN, None, None)
        with pytest.raises(Forbidden):
            await w.system.rooms.matching.claim(KEN, E1)
        await w.plug(None)
        with pytest.raises(Forbidden):
            await w.system.rooms.matching.claim(KEN, E1)
        assert (w.plug_in.user, state_of(w)) == (AOI, PermissionState.ASKED)


async def test_who_is_no_longer_let_in_has_no_claim_either(tmp_path: Path) -> None:
    """B7: an earlier claim never wins the owner's plug-in."""
    async with world(tmp_path, private(allowed=(KEN,))) as w:
        await w.person()
        await w.person(KEN, None, None)
        await w.system.rooms.matching.claim(KEN, E1)
        w.evse.evse = replace(w.evse.evse, allowed=())
        await w.plug(None)
        assert w.plug_in.user == AOI


async def test_who_is_let_in_is_asked_where_they_claimed_it(tmp_path: Path) -> None:
    """B7, G5: before the cable, or after while its owner, who was only assumed to stand there, has not answered."""
    async with world(tmp_path, private(allowed=(KEN,))) as w:
        await w.person()
        await w.person(KEN, None, None)
        await w.plug(None)
        assert w.plug_in.user == AOI
        claimed = await w.system.rooms.matching.claim(KEN, E1)
        assert claimed is not None
        assert (claimed.user, state_of(w)) == (KEN, PermissionState.ASKED)


async def test_who_is_let_in_does_not_take_over_what_the_owner_has_answered(tmp_path: Path) -> None:
    """B7."""
    async with world(tmp_path, private(allowed=(KEN,))) as w:
        await w.person()
        await w.person(KEN, None, None)
        await w.plug(None)
        await w.say()
        with pytest.raises(Conflict):
            await w.system.rooms.matching.claim(KEN, E1)
        assert (w.plug_in.user, state_of(w)) == (AOI, PermissionState.GRANTED)


async def test_a_strangers_card_says_nothing_at_a_private_evse(tmp_path: Path) -> None:
    """B7: whatever its holder permits, it is not their place."""
    async with world(tmp_path, replace(private(), host="house-7")) as w:
        await w.person(KEN, None, KENS_CARD)
        await w.plug(None)
        await w.take(w.started(KENS_CARD))
        assert w.plug_in.user is None


async def test_signing_up_at_a_private_evse_opens_nothing(tmp_path: Path) -> None:
    """B7: there is an account, and no claim."""
    async with world(tmp_path, private()) as w:
        await w.person()
        vehicle = Vehicle(id=VehicleId(""), user=UserId(""), name="Sakura")
        await sign_up(w.system.people, w.system.rooms.matching, E1, "Mio", vehicle, "ja")
        await w.plug(None)
        assert w.plug_in.user == AOI


async def test_rights_and_the_hosts_choice_survive_a_restart(tmp_path: Path) -> None:
    """Must hold 3, B13."""
    changed = {"allowed": (KEN,), "on_refusal": "nothing", "on_no_answer": "charge"}
    async with world(tmp_path, private(**changed)) as w:
        await w.restart()
        evse = w.evse.evse
        assert (evse.public, evse.allowed, evse.on_refusal, evse.on_no_answer) == (False, (KEN,), "nothing", "charge")


@pytest.mark.parametrize(("own", "expected"), [("charge", Use.PLAIN), ("nothing", Use.NOTHING), (None, Use.NOTHING)])
@pytest.mark.parametrize("is_refusal", [True, False], ids=["refused", "no answer"])
async def test_what_the_host_of_an_evse_gives_stands_before_the_servers_setting(
    tmp_path: Path, own: str | None, expected: Use, is_refusal: bool
) -> None:
    """B13, P4."""
    chosen = {"on_refusal": own} if is_refusal else {"on_no_answer": own}
    server = {"on_refusal": "nothing", "on_no_answer": "nothing"}
    async with world(tmp_path, private(**chosen), permission=server) as w:
        await w.person()
        await w.plug()
        if is_refusal:
            await w.say(granted=False)
        w.clock.pass_(301)
        await w.system.reactions.sweep()
        await w.take(w.event(0, token=CARD, charging_state="Charging"))
        assert w.seen().use is expected


async def refused(w: World, conditions: Conditions | None) -> None:
    """A no, where the host then gives nothing; the vehicle came with 20 %."""
    await w.person()
    if conditions is not None:
        await w.system.rooms.permissions.keep(AOI, Pattern(name="mine", conditions=conditions, chosen=True))
    await w.plug()
    await w.say(granted=False)
    await w.system.reactions.sweep()
    await w.quiet()


NOTHING = {"on_refusal": "nothing", "on_no_answer": "nothing"}


async def test_the_required_charge_stands_above_a_hosts_nothing(tmp_path: Path) -> None:
    """B13, P4, P7: started, charged up to it, and no further."""
    async with world(tmp_path, permission=NOTHING) as w:
        await refused(w, Conditions(required_soc_percent=60))
        (start,) = w.stations.of(StartTransaction)[-1:]
        await w.take(w.started(start.token), w.metered(soc_percent=20.0, power_import_w=0.0))
        await w.system.rooms.dispatch.tick()
        await w.quiet()
        assert (w.seen().use, w.seen().terms.required_wh) == (Use.NOTHING, 24_000)
        assert w.evse.told.setpoint is not None
        assert w.evse.told.setpoint.desired_w > 1000
        w.clock.pass_(3 * 3600)
        await w.take(w.metered(soc_percent=61.0, power_import_w=7000.0))
        await w.system.rooms.dispatch.tick()
        await w.quiet()
        assert w.evse.told.setpoint.desired_w == 0


async def test_without_a_stated_required_charge_a_hosts_nothing_is_nothing(tmp_path: Path) -> None:
    """B13: the page's default is no statement of who said no."""
    async with world(tmp_path, permission=NOTHING) as w:
        await refused(w, None)
        assert w.stations.of(StartTransaction) == []


async def test_a_required_charge_in_kwh_is_energy_added_and_stands_instead_of_the_percentage(w: World) -> None:
    """P7, B13."""
    await w.resource(Conditions(required_soc_percent=90, required_kwh=Decimal("7.5")))
    assert (w.seen().terms.required_wh, w.seen().terms.required_added_wh) == (0, 7_500)


async def test_the_id_a_vehicle_shows_chooses_it_among_its_users_vehicles(w: World) -> None:
    """P1, B14: EVCCID or contract id, as an id token."""
    van = Vehicle(id=VehicleId("v-van"), user=AOI, name="Van", plate="品川 300 あ 12-34", vin="JN1")
    await w.store.writer.run(partial(writes.add_vehicle, vehicle=van))
    evccid = replace(CARD, value="02:00:00:AB:CD:EF", type=TokenType.EVCCID)
    await w.token(IdTokenRecord(token=evccid.value, type=evccid.type, user=AOI, vehicle=van.id))
    await w.plug(None)
    await w.take(w.event(0, token=evccid))
    assert (w.plug_in.user, w.plug_in.vehicle) == (AOI, van.id)
    assert w.evse.vehicle == van
    assert {each.id for each in await w.store.read(partial(reads.vehicles, user=AOI))} == {LEAF, van.id}


# --- a card at somebody else's EVSE ---

POOL = IdToken("CARD-POOL")


def statuses(answers: list[Answer]) -> list[str]:
    """The verdict on the token in each answer."""
    found = (getattr(answer, "token", None) or answer for answer in answers)
    return [str(getattr(one, "status", "none")) for one in found]


async def test_b7_a_strangers_card_is_invalid_at_a_private_evse_also_after_a_restart(tmp_path: Path) -> None:
    """P4, G5: an accepted card charged there plainly, at the owner's cost."""
    async with world(tmp_path, private()) as w:
        await w.person()
        await w.person(KEN, None, KENS_CARD)
        answers = await w.take(w.authorize(KENS_CARD), w.started(KENS_CARD))
        assert statuses(answers) == ["Invalid", "Invalid"]
        assert (w.evse.run.authorized, w.evse.user) == (False, None)
        await w.restart()
        assert w.evse.run.transaction is not None
        assert not w.evse.run.authorized


@pytest.mark.parametrize("names_evse", [True, False])
async def test_b7_a_strangers_card_is_invalid_in_a_transaction_event_too(tmp_path: Path, *, names_evse: bool) -> None:
    """2.x: whether the event names its EVSE or only its transaction."""
    async with world(tmp_path, private()) as w:
        await w.person()
        await w.person(KEN, None, KENS_CARD)
        began = w.event(0, charging_state="EVConnected")
        shown = w.event(1, token=KENS_CARD, trigger="Authorized", charging_state="Charging")
        answers = await w.take(began, shown if names_evse else replace(shown, evse=None))
        assert statuses(answers)[1] == "Invalid"
        assert not w.evse.run.authorized


@pytest.mark.parametrize("card", [CARD, KENS_CARD, POOL], ids=["owner's", "let in", "linked to nobody"])
async def test_g5_who_may_use_a_private_evse_is_accepted_there(tmp_path: Path, card: IdToken) -> None:
    """A card that is linked to nobody was put in by the operator, for the owner: it charges, and permits nothing."""
    async with world(tmp_path, private(allowed=(KEN,))) as w:
        await w.person()
        await w.person(KEN, None, KENS_CARD)
        await w.token(IdTokenRecord(token=POOL.value))
        answers = await w.take(w.authorize(card), w.started(card))
        assert statuses(answers) == ["Accepted", "Accepted"]
        assert w.evse.run.authorized
        if card is POOL:
            assert use_now(w.evse, w.settings.permission, w.clock.now()) is Use.PLAIN


async def test_g5_a_slot_of_the_owners_does_not_answer_for_a_card_that_is_linked_to_nobody(tmp_path: Path) -> None:
    """P9, P4: somebody of the household, or a guest; the owner is asked, and charges nobody's battery by a guess."""
    async with world(tmp_path, private()) as w:
        await w.person()
        await w.token(IdTokenRecord(token=POOL.value))
        always = Conditions(slots=(TimeSlot(start=time(0), end=time(0), zone="UTC"),))
        await w.system.rooms.permissions.keep(AOI, Pattern(name="mine", conditions=always, chosen=True))
        await w.take(w.started(POOL))
        await w.system.reactions.sweep()
        await w.quiet()
        assert (w.evse.user, state_of(w)) == (AOI, PermissionState.ASKED)


async def test_g5_a_station_with_a_public_evse_accepts_a_card_that_may_charge_at_that_one_only(tmp_path: Path) -> None:
    """1.6: Authorize names no connector, the start does."""
    made = station(evses=2, host=AOI)
    mixed = replace(made, evses=(replace(made.evses[0], public=False), made.evses[1]))
    async with world(tmp_path, mixed) as w:
        await w.person()
        await w.person(KEN, None, KENS_CARD)
        answers = await w.take(w.authorize(KENS_CARD), w.started(KENS_CARD, E1), w.started(KENS_CARD, E2))
        assert statuses(answers) == ["Accepted", "Invalid", "Accepted"]


async def test_b7_who_ends_a_charge_needs_no_right_to_begin_one(tmp_path: Path) -> None:
    """Ken was let in when he began; the station must not be told that he may not stop it."""
    async with world(tmp_path, private(allowed=(KEN,))) as w:
        await w.person()
        await w.person(KEN, None, KENS_CARD)
        await w.take(w.started(KENS_CARD))
        w.evse.evse = replace(w.evse.evse, allowed=())
        answers = await w.take(w.stopped(w.evse.run.transaction, token=KENS_CARD))
        assert statuses(answers) == ["Accepted"]
