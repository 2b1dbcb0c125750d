"""The next driver inherits nothing: no plug-in, no permission, no account, whatever was lost or late. B1, P4."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from csms.domain.answers import TokenStatus
from csms.domain.commands import StartTransaction
from csms.domain.facts import IdToken, StatusReported
from csms.domain.ids import EvseRef, UserId
from csms.domain.people import IdTokenRecord
from csms.domain.permission import PermissionState
from csms.domain.station import ConnectorStatus
from csms.store import reads
from tests.control.kit import AOI, CARD, E1, E2, KEN, START, STRANGER, World, state_of, station

KENS = IdToken("CARD-KEN")
GONE = [{"trigger": "EVDeparted"}, {"stopped_reason": "EVDisconnected"}]


@pytest.fixture(autouse=True)
async def _ken(w: World) -> None:
    await w.person(KEN, None, KENS)


async def granted(w: World) -> str:
    """Aoi's vehicle charges under her yes; its transaction."""
    await w.plug()
    await w.say()
    await w.take(w.started())
    assert state_of(w) is PermissionState.GRANTED
    assert w.evse.run.transaction is not None
    return w.evse.run.transaction


def said(w: World, status: ConnectorStatus, at: datetime, ref: EvseRef = E1) -> StatusReported:
    return w.status(status, ref, at=at)


async def spans(w: World) -> list[tuple[UserId | None, datetime, datetime | None]]:
    """User, begin and end of every plug-in that is stored, oldest first."""
    found = await w.store.read(reads.plug_ins)
    return sorted(((one.user, one.plugged_at, one.unplugged_at) for one in found), key=lambda span: span[1])


def assert_unasked(w: World) -> None:
    assert w.evse.user is None
    assert state_of(w) in {PermissionState.UNASKED, PermissionState.ASKED}
    assert not w.evse.run.authorized


async def test_a_burst_after_an_outage_ends_one_plug_in_and_begins_the_next(w: World) -> None:
    """F1, as it really came: Aoi left and somebody else plugged in while the server was away."""
    tx = await granted(w)
    left, came = w.clock.pass_(60), w.clock.pass_(6)
    w.clock.pass_(39)
    await w.take(
        said(w, ConnectorStatus.AVAILABLE, left),
        said(w, ConnectorStatus.PREPARING, came),
        w.stopped(tx, at=left, reason="EVDisconnected"),
    )
    assert_unasked(w)
    assert w.plug_in.plugged_at == came
    assert await spans(w) == [(AOI, START, left), (None, came, None)]
    (record,) = await w.store.read(reads.transactions)
    assert (record.ended_at, record.stopped_reason, record.incomplete) == (left, "EVDisconnected", False)


async def test_a_queued_stop_for_a_cable_that_is_out_ends_the_plug_in_at_its_time(w: World) -> None:
    """1.6: Stop(EVDisconnected) of Aoi, then a start with Ken's card."""
    tx = await granted(w)
    left, came = w.clock.pass_(60), w.clock.pass_(6)
    await w.take(w.stopped(tx, at=left, reason="EVDisconnected"), w.started(KENS, at=came, meter_start_wh=1000))
    assert await spans(w) == [(AOI, START, left), (KEN, came, None)]
    assert w.evse.user == KEN
    assert state_of(w) is PermissionState.ASKED


async def test_a_start_with_another_users_card_begins_a_plug_in_of_its_own(w: World) -> None:
    """1.6: everything between was lost."""
    tx = await granted(w)
    came = w.clock.pass_(600)
    await w.take(w.started(KENS, at=came, meter_start_wh=1000))
    assert w.evse.user == KEN
    assert w.evse.run.transaction != tx
    assert await spans(w) == [(AOI, START, came), (KEN, came, None)]
    (first, _) = await w.store.read(reads.transactions)
    assert (first.ended_at, first.incomplete) == (came, True)


@pytest.mark.parametrize("token", [STRANGER, IdToken("ANYBODY")], ids=["refused", "nobody's"])
async def test_a_start_with_a_card_that_is_nobodys_takes_no_users_permission(w: World, token: IdToken) -> None:
    """1.6."""
    await granted(w)
    await w.token(IdTokenRecord(token="ANYBODY"))
    await w.take(w.started(token, at=w.clock.pass_(600), meter_start_wh=1000))
    assert w.evse.user is None
    assert state_of(w) is PermissionState.UNASKED


@pytest.mark.parametrize("version", ["1.6", "2.x"])
async def test_s2_a_card_that_is_refused_says_nothing_of_the_cable_and_takes_no_yes(w: World, version: str) -> None:
    """P4: the vehicle that waits is Aoi's still; nothing flows on the stranger's card."""
    await w.plug()
    await w.say()
    before = w.plug_in
    for n in range(2):
        w.clock.pass_(20)
        began = w.started(STRANGER) if version == "1.6" else w.event(0, f"tx-{n}", token=STRANGER, trigger="Authorized")
        await w.take(began)
        assert (w.plug_in.id, w.evse.user, state_of(w)) == (before.id, AOI, PermissionState.GRANTED)
        assert not w.evse.run.authorized
    await w.take(w.stopped(w.evse.run.transaction, reason="DeAuthorized") if version == "1.6" else w.ended(1, "tx-1"))
    assert (w.plug_in.id, state_of(w)) == (before.id, PermissionState.GRANTED)
    w.clock.pass_(40)
    await w.system.reactions.sweep()
    await w.quiet()
    (*_, start) = w.stations.of(StartTransaction)
    await w.take(w.started(start.token) if version == "1.6" else w.event(0, "tx-9", token=start.token))
    assert (w.plug_in.id, w.evse.run.authorized) == (before.id, True)


async def test_s1_whose_card_was_refused_does_not_pay_what_another_charged_before(w: World) -> None:
    """P13: once the cable was out, the plug-in of a card that is linked to nobody became that of Ken's blocked card."""
    await w.token(IdTokenRecord(token="ANYBODY"))
    await w.token(IdTokenRecord(token=KENS.value, user=KEN, status=TokenStatus.BLOCKED))
    await w.take(w.status(ConnectorStatus.PREPARING), w.started(IdToken("ANYBODY")))
    w.clock.pass_(600)
    await w.take(w.stopped(w.evse.run.transaction), w.status(ConnectorStatus.FINISHING))
    w.clock.pass_(60)
    await w.take(w.started(KENS, meter_start_wh=1000))
    w.leave()
    await w.quiet()
    (first, *_) = await spans(w)
    assert (first[0], first[1]) == (None, START)


async def test_s2_at_a_private_evse_the_owner_is_still_asked_after_a_strangers_card_was_refused(w: World) -> None:
    """P4, B7: nobody else could be."""
    house = station(host=AOI)
    private = tuple(replace(evse, public=False) for evse in house.evses)
    w.system.live.add(replace(house, evses=private), w.quirks)
    await w.take(w.status(ConnectorStatus.PREPARING))
    before = w.plug_in
    assert before.user == AOI
    await w.take(w.started(KENS))
    assert (w.plug_in.id, w.evse.user, state_of(w)) == (before.id, AOI, PermissionState.ASKED)
    assert not w.evse.run.authorized


async def test_a_start_with_the_same_users_card_stays_in_the_plug_in(w: World) -> None:
    await w.plug()
    await w.say()
    before = w.plug_in.id
    await w.take(w.started(CARD, at=w.clock.pass_(30)))
    assert (w.plug_in.id, w.evse.user, state_of(w)) == (before, AOI, PermissionState.GRANTED)


async def test_preparing_after_available_is_the_next_vehicle_while_the_stop_is_late(w: World) -> None:
    """1.6, live: no transaction's end was told yet."""
    tx = await granted(w)
    left = w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    came = w.clock.pass_(20)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert_unasked(w)
    assert await spans(w) == [(AOI, START, left), (None, came, None)]
    await w.take(w.stopped(tx, at=left))
    assert_unasked(w)
    assert w.plug_in.plugged_at == came


async def test_the_next_vehicle_is_the_next_one_across_a_restart_within_the_debounce(w: World) -> None:
    """That the connector was free is derived from the stored statuses."""
    await granted(w)
    left = w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    await w.restart()
    came = w.clock.pass_(10)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert_unasked(w)
    assert await spans(w) == [(AOI, START, left), (None, came, None)]


async def test_a_connector_that_was_free_before_the_restart_is_believed_after_it(w: World) -> None:
    await w.plug()
    left = w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    await w.restart()
    w.clock.pass_(5)
    await w.system.reactions.sweep()
    await w.quiet()
    assert w.evse.plug_in is None
    assert await spans(w) == [(AOI, START, left)]


async def test_available_that_comes_after_the_preparing_it_preceded_ends_the_vehicle_before(w: World) -> None:
    """Swapped: what is now is sent first, the queue after it."""
    await granted(w)
    left, came = w.clock.pass_(60), w.clock.pass_(6)
    w.clock.pass_(60)
    await w.take(said(w, ConnectorStatus.PREPARING, came), said(w, ConnectorStatus.AVAILABLE, left))
    assert_unasked(w)
    assert await spans(w) == [(AOI, START, left), (None, came, None)]


async def test_a_replay_of_statuses_ends_nothing_and_begins_nothing(w: World) -> None:
    """What a station repeats was true before."""
    gone_at = START + timedelta(seconds=9)
    earlier = [w.status(ConnectorStatus.PREPARING), w.status(ConnectorStatus.AVAILABLE, at=gone_at)]
    w.clock.pass_(10)
    await w.take(*earlier)
    w.clock.pass_(60)
    tx = await granted(w)
    before = w.plug_in
    w.clock.pass_(60)
    await w.take(*(said(w, one.status, one.at) for one in earlier))
    assert (w.plug_in, w.evse.run.transaction, w.evse.cable.available_since) == (before, tx, None)


async def test_a_contact_that_bounces_keeps_its_vehicle(w: World) -> None:
    await w.plug()
    await w.say()
    before = w.plug_in.id
    w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(1)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert w.plug_in.id == before


@pytest.mark.parametrize("gone", GONE, ids=str)
@pytest.mark.parametrize("offline", [False, True])
async def test_an_end_with_the_cable_ends_the_plug_in_when_it_happened(
    w: World, gone: dict[str, str], *, offline: bool
) -> None:
    """2.x, also from the queue; the cable that is in since is the next vehicle's."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    left, came = w.clock.pass_(60), w.clock.pass_(10)
    w.clock.pass_(30)
    await w.take(said(w, ConnectorStatus.OCCUPIED, came), w.ended(1, at=left, offline=offline, **gone))
    assert_unasked(w)
    assert await spans(w) == [(AOI, START, left), (None, came, None)]


async def test_a_card_of_another_user_in_a_transaction_of_the_cable_takes_the_plug_in_over(w: World) -> None:
    """2.x, TxStartPoint EVConnected: Aoi said yes, Ken shows his card."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, charging_state="EVConnected"))
    w.clock.pass_(30)
    await w.take(w.event(1, trigger="Authorized", token=KENS, charging_state="Charging"))
    assert (w.evse.user, w.evse.run.transaction, w.evse.run.authorized) == (KEN, "tx-1", True)
    assert state_of(w) is PermissionState.ASKED
    assert len(await w.store.read(reads.open_transactions)) == 1


async def test_who_stops_with_a_card_of_the_group_takes_nothing_over(w: World) -> None:
    """2.x: StopAuthorized by another token."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    await w.take(w.event(1, trigger="StopAuthorized", token=KENS, charging_state="EVConnected"))
    assert (w.evse.user, state_of(w)) == (AOI, PermissionState.GRANTED)


async def test_at_a_private_evse_a_strangers_start_is_not_its_hosts(w: World) -> None:
    """The host is expected there; a card says that it is somebody else, who has no right there (B7)."""
    house = station(host=AOI)
    private = tuple(replace(evse, public=False) for evse in house.evses)
    w.system.live.add(replace(house, evses=private), w.quirks)
    await w.take(w.started(KENS))
    assert w.evse.user is None


async def test_a_card_that_ends_a_session_takes_no_waiting_vehicle(w: World) -> None:
    """B7: 1.6 Authorize names no connector."""
    await w.add(station(evses=2))
    await w.take(w.started(KENS, E1), w.status(ConnectorStatus.PREPARING, E2))
    await w.take(w.authorize(KENS))
    assert w.at(E2).user is None
    assert w.at(E1).user == KEN


async def test_a_card_of_the_same_group_that_ends_a_session_takes_no_waiting_vehicle(w: World) -> None:
    """B7: the parent of a token stands for it."""
    await w.token(IdTokenRecord(token="FLEET-1", group="FLEET"))
    await w.token(IdTokenRecord(token="FLEET-2", group="FLEET", user=KEN))
    await w.add(station(evses=2))
    await w.take(w.started(IdToken("FLEET-1"), E1), w.status(ConnectorStatus.PREPARING, E2))
    await w.take(w.authorize(IdToken("FLEET-2")))
    assert w.at(E2).user is None


async def test_a_card_of_the_group_that_ends_a_session_takes_no_waiting_vehicle_after_a_restart_either(
    w: World,
) -> None:
    """B7: a restart forgot the group of the card that it had begun with."""
    await w.token(IdTokenRecord(token="FLEET-1", group="FLEET"))
    await w.token(IdTokenRecord(token="FLEET-2", group="FLEET", user=KEN))
    await w.add(station(evses=2))
    await w.take(w.started(IdToken("FLEET-1"), E1), w.status(ConnectorStatus.PREPARING, E2))
    await w.restart()
    await w.take(w.authorize(IdToken("FLEET-2")))
    assert w.at(E2).user is None


async def test_a_card_before_its_cable_takes_no_vehicle_that_waits_at_the_next_connector(w: World) -> None:
    """B7, S1: Ken shows his card and then plugs in at connector 1; a stranger's vehicle, which waits at 2, was started
    for him by his time slot and discharged on his account."""
    await w.add(station(evses=2))
    await w.take(w.status(ConnectorStatus.AVAILABLE, E1), w.status(ConnectorStatus.PREPARING, E2))
    w.clock.pass_(20)
    await w.take(w.authorize(KENS))
    assert w.at(E2).user is None
    w.clock.pass_(10)
    await w.take(w.status(ConnectorStatus.PREPARING, E1), w.started(KENS, E1))
    assert (w.at(E1).user, w.at(E2).user) == (KEN, None)


async def test_a_power_cycle_between_two_vehicles_hands_nothing_on(w: World) -> None:
    """F6: nobody watched the cable; the transaction is over on evidence at once."""
    tx = await granted(w)
    w.clock.pass_(300)
    await w.take(w.boot())
    off = w.clock.pass_(2)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(1)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert_unasked(w)
    (record,) = await w.store.read(reads.transactions)
    assert (record.id, record.ended_at, record.incomplete) == (tx, off, True)
    assert record.stopped_reason.startswith("presumed")


@pytest.mark.parametrize("state", ["EVConnected", "Charging"])
async def test_a_transaction_of_the_cable_after_available_is_the_next_vehicles(w: World, state: str) -> None:
    """2.x tells the event before the status; within the debounce the next car ran under Aoi's yes."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    w.clock.pass_(600)
    await w.take(w.ended(1, token=CARD, trigger="StopAuthorized", stopped_reason="Local"))
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    came = w.clock.pass_(5)
    await w.take(w.event(0, "tx-2", trigger="CablePluggedIn", charging_state=state), w.status(ConnectorStatus.OCCUPIED))
    assert w.evse.user is None
    assert state_of(w) is PermissionState.UNASKED
    assert w.plug_in.plugged_at == came


async def test_a_cable_that_goes_in_after_a_transaction_is_the_next_vehicles_without_any_status(w: World) -> None:
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    w.clock.pass_(600)
    await w.take(w.ended(1, trigger="ChargingStateChanged", stopped_reason="Local"))
    w.clock.pass_(60)
    await w.take(w.event(0, "tx-2", trigger="CablePluggedIn", charging_state="Charging"))
    assert w.evse.user is None


async def test_a_start_after_available_is_the_next_vehicles_though_its_status_comes_later(w: World) -> None:
    """1.6: even with the same card, as with the one token of stations that let everybody charge."""
    tx = await granted(w)
    w.clock.pass_(600)
    await w.take(w.stopped(tx), w.status(ConnectorStatus.AVAILABLE))
    came = w.clock.pass_(8)
    await w.take(w.started(meter_start_wh=1000))
    assert w.plug_in.plugged_at == came
    assert state_of(w) is PermissionState.ASKED


async def test_a_start_that_has_not_come_about_never_starts_the_next_vehicle(w: World) -> None:
    """1.6: RemoteStart is accepted, Aoi leaves, the station still waits for a cable: the next car ran on her token."""
    await w.plug()
    await w.say()
    await w.system.reactions.sweep()
    await w.quiet()
    (command, *_) = w.stations.of(StartTransaction)
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(6)
    await w.take(w.status(ConnectorStatus.PREPARING), w.started(command.token))
    assert_unasked(w)


async def test_a_late_reading_of_the_vehicle_before_says_nothing_of_the_next(w: World) -> None:
    """Its state of charge would be discharged to, its energy counted as added, its power shown."""
    before = w.clock.now()
    w.clock.pass_(1000)
    await w.plug()
    late = [before + timedelta(seconds=n) for n in (100, 900)]
    await w.take(
        w.metered(at=late[0], transaction="66", import_wh=1000.0, power_import_w=0.0),
        w.metered(at=late[1], transaction="66", import_wh=2500.0, power_import_w=7000.0, soc_percent=90.0),
    )
    assert w.plug_in.soc_percent is None
    assert w.evse.metered.added_wh == 0
    assert not w.evse.power_w


async def test_an_end_that_comes_before_its_start_leaves_nothing_running(w: World) -> None:
    """A 2.x queue in the wrong order."""
    begun = w.clock.now()
    ended = w.clock.pass_(30)
    await w.take(w.ended(5, trigger="EVDeparted", stopped_reason="EVDisconnected", at=ended))
    await w.take(w.event(0, token=CARD, at=begun, charging_state="Charging"))
    assert w.evse.run.transaction is None
    assert w.evse.cable.plugged is None


async def test_a_late_event_of_an_old_transaction_does_not_end_the_next_drivers(w: World) -> None:
    """After a restart nothing but the store knows that it is over."""
    await w.plug()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    during = w.clock.pass_(50)
    w.clock.pass_(50)
    await w.take(w.ended(2, trigger="EVDeparted", stopped_reason="EVDisconnected"), w.status(ConnectorStatus.AVAILABLE))
    await w.restart()
    w.clock.pass_(30)
    await w.take(w.status(ConnectorStatus.OCCUPIED), w.event(0, "tx-2", token=KENS, charging_state="Charging"))
    await w.take(w.event(1, at=during, charging_state="Charging"))
    assert (w.evse.run.transaction, w.evse.user) == ("tx-2", KEN)
    open_ones = [one.id for one in await w.store.read(reads.transactions) if one.ended_at is None]
    assert open_ones == ["tx-2"]


async def test_a_card_that_begins_at_the_next_connector_was_not_shown_for_the_one_that_waits(w: World) -> None:
    """B7: 1.6 Authorize names no connector; Ken shows his card, and only then puts his cable in, beside a car that
    waits."""
    await w.take(w.status(ConnectorStatus.PREPARING, E1))
    w.clock.pass_(40)
    await w.take(w.authorize(KENS))
    assert w.at(E1).user == KEN  # nobody else can be meant yet
    w.clock.pass_(5)
    await w.take(w.status(ConnectorStatus.PREPARING, E2), w.started(KENS, E2))
    assert (w.at(E1).user, w.at(E2).user) == (None, KEN)
    assert state_of(w, E1) is PermissionState.UNASKED


async def test_b1_a_cable_that_goes_in_is_the_next_vehicles_though_no_end_of_what_ran_was_told(w: World) -> None:
    """2.x: the Ended of Aoi's transaction was lost in an outage; the next car was started with her token."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, trigger="Authorized", charging_state="Charging"))
    before, started = w.plug_in.id, len(w.stations.of(StartTransaction))
    w.clock.pass_(3600)
    await w.take(w.event(0, "tx-2", trigger="CablePluggedIn", charging_state="EVConnected"))
    await w.system.reactions.sweep()
    await w.quiet()
    assert (w.plug_in.id != before, w.plug_in.user, state_of(w)) == (True, None, PermissionState.UNASKED)
    assert len(w.stations.of(StartTransaction)) == started


async def test_f6_a_cable_that_is_seen_again_right_after_a_power_cycle_is_the_same_vehicle(w: World) -> None:
    """2.x: the station forgot the transaction that it cut off, and begins another for the cable that is in."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, trigger="Authorized", charging_state="Charging"))
    before = w.plug_in.id
    await w.take(w.boot())
    w.clock.pass_(20)
    await w.take(w.event(0, "tx-2", trigger="CablePluggedIn", charging_state="EVConnected"))
    assert (w.plug_in.id, w.plug_in.user) == (before, AOI)


@pytest.mark.parametrize("version", ["1.6", "2.x"])
async def test_b1_a_power_cycle_of_hours_ago_does_not_make_the_next_vehicle_the_same(w: World, version: str) -> None:
    """Aoi's transaction outlived the boot of its station; what runs after it ran under her yes."""
    await w.plug()
    await w.say()
    begun = w.event(0, token=CARD, charging_state="Charging") if version == "2.x" else w.started()
    await w.take(begun, w.status(ConnectorStatus.CHARGING))
    w.clock.pass_(60)
    await w.take(w.boot(), w.status(ConnectorStatus.CHARGING))
    w.clock.pass_(7200)
    if version == "2.x":
        await w.take(w.ended(1, token=CARD, trigger="StopAuthorized", stopped_reason="Local"))
        w.clock.pass_(60)
        await w.take(w.event(0, "tx-2", trigger="CablePluggedIn", charging_state="EVConnected"))
    else:
        await w.take(w.stopped(w.evse.run.transaction), w.status(ConnectorStatus.FINISHING))
        w.clock.pass_(60)
        await w.take(w.status(ConnectorStatus.PREPARING))
    assert (w.plug_in.user, state_of(w)) == (None, PermissionState.UNASKED)
