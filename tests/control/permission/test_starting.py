"""Remote start once the user has answered: verified, repeated, and never for the wrong vehicle."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from csms.control.permission.answers import Said
from csms.control.state.profiles import profile_of
from csms.domain.commands import Accepted, ApplySetpoint, Command, Outcome, Rejected, StartTransaction, TimedOut
from csms.domain.permission import PermissionState, StartFailure
from csms.domain.snapshot import Use
from csms.domain.station import BootState, ConnectorStatus, HoldMethod, Quirks, Version
from tests.control.kit import AOI, CARD, E1, KEN, S, World, state_of, station, until, world


def starts(w: World) -> list[StartTransaction]:
    return w.stations.of(StartTransaction)


async def swept(w: World, seconds: float = 0) -> int:
    w.clock.pass_(seconds)
    await w.system.reactions.sweep()
    await w.quiet()
    return len(starts(w))


def shown_failure(w: World) -> StartFailure | None:
    shown = w.system.driver_view.of(AOI).shown
    assert shown is not None
    return shown.start_failed


async def test_a_yes_starts_the_transaction_with_a_token_that_we_accept(w: World) -> None:
    """P4, V2G-31: 14 upper-case hex digits, stored before they are sent, linked to the user."""
    await w.plug()
    assert starts(w) == []
    await w.say()
    (sent,) = starts(w)
    assert sent.evse == E1
    assert len(sent.token.value) == 14
    answers = await w.take(w.authorize(sent.token), w.started(sent.token))
    assert [answer.status if hasattr(answer, "status") else answer.token.status for answer in answers] == [  # type: ignore[union-attr]
        "Accepted",
        "Accepted",
    ]
    assert w.evse.run.authorized
    assert await swept(w, 60) == 1


async def test_a_start_that_nothing_comes_of_is_repeated_twice_thirty_seconds_apart(w: World) -> None:
    """V2G-32: Accepted only means that the station will try."""
    await w.plug()
    await w.say()
    assert [await swept(w, s) for s in (29, 1, 29, 1, 30, 300)] == [1, 2, 2, 3, 3, 3]
    assert len({sent.token.value for sent in starts(w)}) == 3
    assert len({sent.remote_start_id for sent in starts(w)}) == 3


async def test_a_new_answer_is_worth_new_tries(w: World) -> None:
    """V2G-32: the user has replugged and says yes again."""
    await w.plug()
    await w.say()
    for _ in range(4):
        await swept(w, 30)
    await w.say()
    assert await swept(w) == 4


async def test_nothing_is_started_for_somebody_unknown(w: World) -> None:
    """P4: nobody to ask, nobody to charge for."""
    await w.plug(None)
    assert await swept(w, 301) == 0
    assert state_of(w) is PermissionState.EXPIRED


async def test_a_transaction_that_has_ended_is_not_started_again_but_by_a_new_yes(w: World) -> None:
    """P4: whoever stopped it meant it. A no is no wish to charge again either."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.ended(1))
    assert await swept(w, 60) == 1
    await w.say(granted=False)
    assert await swept(w, 60) == 1
    await w.say()
    assert await swept(w) == 2


@pytest.mark.parametrize(("rule", "expected"), [("charge", True), ("nothing", False)])
@pytest.mark.parametrize("answer", ["no", "silence"])
async def test_what_follows_a_no_or_a_silence_is_the_hosts_choice(
    tmp_path: Path, rule: str, expected: bool, answer: str
) -> None:
    """P4: plain charging, or nothing."""
    async with world(tmp_path, permission={"on_refusal": rule, "on_no_answer": rule}) as w:
        await w.person()
        await w.plug()
        if answer == "no":
            await w.say(granted=False)
        assert (await swept(w, 301) > 0) is expected


async def test_a_station_that_gives_up_waiting_is_started_at_no_power_first(w: World) -> None:
    """P4, reference §2.4: before its ConnectionTimeOut; held at 0 W until the answer."""
    await w.plug()
    assert await swept(w, 199) == 0
    assert await swept(w, 1) == 1
    (start,) = starts(w)
    assert start.limit is not None
    assert (start.limit.setpoint_w, start.limit.profile, start.limit.transaction) == (0, profile_of(E1), None)
    await w.take(w.started(starts(w)[0].token))
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    assert w.seen().use is Use.HELD
    assert [sent.setpoint_w for sent in w.stations.of(ApplySetpoint)] == [0]


@pytest.mark.parametrize(
    ("hold", "expected"), [(HoldMethod.START_ZERO, 1), (HoldMethod.NONE_START, 0), (HoldMethod.UNAUTHORIZED, 0)]
)
async def test_each_hold_method_starts_when_its_stations_need_it(
    tmp_path: Path, hold: HoldMethod, expected: int
) -> None:
    """V2G-26."""
    async with world(tmp_path, quirks=Quirks(hold=hold)) as w:
        await w.person()
        await w.plug()
        assert await swept(w) == expected


ENDS_AT_ZERO = Quirks(hold=HoldMethod.START_ZERO, zero_ends_transaction=True)


@pytest.mark.parametrize(
    ("quirks", "answer", "limit_w"),
    [
        (Quirks(hold=HoldMethod.START_ZERO), None, 0),
        (Quirks(), "yes", 0),
        (Quirks(), "no", None),
        (ENDS_AT_ZERO, None, 1380),
        (replace(ENDS_AT_ZERO, hold=HoldMethod.NONE_START), "yes", None),
    ],
    ids=["held", "permitted, not decided yet", "plain charging", "0 W ends it, held", "0 W ends it, permitted"],
)
async def test_nothing_flows_between_the_start_and_the_first_setpoint(
    tmp_path: Path, quirks: Quirks, answer: str | None, limit_w: int | None
) -> None:
    """P4: the start brings the limit of what is allowed now."""
    async with world(tmp_path, quirks=quirks) as w:
        await w.person()
        await w.plug()
        if answer:
            await w.say(granted=answer == "yes")
        await swept(w)
        (sent,) = starts(w)
        assert (sent.limit and sent.limit.setpoint_w) == limit_w


async def test_a_transaction_that_has_its_setpoint_is_granted_without_another(w: World) -> None:
    """2.x: it began with the cable; a profile in the request would take the setpoint's place."""
    await w.plug()
    await w.take(w.event(0, charging_state="EVConnected"))
    await w.say()
    (sent,) = starts(w)
    assert sent.limit is None


@pytest.mark.parametrize(("answered", "limits"), [(True, [0, None]), (False, [0])])
async def test_a_station_that_refuses_a_limit_is_started_without_only_after_a_yes(
    tmp_path: Path, answered: bool, limits: list[int | None]
) -> None:
    """P4: some firmware takes no profile with a start."""

    def answer(command: Command) -> Outcome:
        return Rejected("?") if isinstance(command, StartTransaction) and command.limit else Accepted()

    async with world(tmp_path, quirks=Quirks(hold=HoldMethod.NONE_START if answered else HoldMethod.START_ZERO)) as w:
        w.stations.answer = answer
        await w.person()
        await w.plug()
        if answered:
            await w.say()
        await swept(w)
        assert [sent.limit and sent.limit.setpoint_w for sent in starts(w)] == limits


@pytest.mark.parametrize("away", ["offline", "not booted"])
async def test_a_station_that_is_not_ready_is_not_started(w: World, away: str) -> None:
    """Field lesson 22: nothing before its boot."""
    await w.plug()
    if away == "offline":
        w.station.version = None
    else:
        w.station.station = replace(w.station.station, boot_state=BootState.PENDING)
    await w.say()
    assert starts(w) == []


async def test_a_vehicle_that_leaves_while_its_start_is_stored_starts_nothing(w: World) -> None:
    """P4: its user's token must not start the next vehicle."""
    await w.plug()
    granted = asyncio.ensure_future(w.system.rooms.permissions.answer(w.plug_in.id, AOI, Said(granted=True)))
    answer = w.evse.answered
    assert answer is not None
    await until(lambda: answer.start is not None)
    w.leave()
    await granted
    w.system.rooms.intake.receive(w.status(ConnectorStatus.PREPARING), lambda answer: None)
    await w.quiet()
    assert starts(w) == []
    assert w.plug_in.user is None


async def test_two_users_at_one_station_are_started_each_at_their_evse(tmp_path: Path) -> None:
    """V2G-31: one token per start."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.person(KEN, None, None)
        refs = [evse.ref for evse in w.station.evses.values()]
        for user, ref in zip((AOI, KEN), refs, strict=True):
            await w.plug(user, ref)
            await w.say(ref=ref)
        assert [sent.evse for sent in starts(w)] == refs
        for sent in starts(w):
            await w.take(w.started(sent.token, sent.evse))
        assert [evse.plug_in.user for evse in w.station.evses.values() if evse.plug_in] == [AOI, KEN]


async def test_the_driver_is_told_why_nothing_flows_after_the_last_try(tmp_path: Path) -> None:
    """F5: and the operator sees it; a new yes is worth new tries."""
    async with world(tmp_path) as w:
        w.stations.answer = lambda command: Rejected("busy") if isinstance(command, StartTransaction) else Accepted()
        await w.person()
        await w.plug()
        await w.say()
        with w.system.feed.subscribe(AOI) as bell:
            for _ in range(3):
                await swept(w, 30)
            await asyncio.wait_for(bell.wait(), 1)
        assert shown_failure(w) is StartFailure.REJECTED
        (view,) = w.system.registry.views()
        assert view.evses[0].start_failed is StartFailure.REJECTED
        await w.say()
        assert shown_failure(w) is None


async def test_a_start_that_is_accepted_and_never_comes_is_told_as_such(w: World) -> None:
    """F5, V2G-32."""
    await w.plug()
    await w.say()
    for _ in range(2):
        await swept(w, 30)
    assert shown_failure(w) is None
    await swept(w, 30)
    assert shown_failure(w) is StartFailure.NOT_STARTED


async def test_what_runs_has_no_start_under_way_and_none_that_failed(w: World) -> None:
    """V2G-32: a late transaction is a success all the same."""
    await w.plug()
    await w.say()
    for _ in range(3):
        await swept(w, 30)
    await w.take(w.started(starts(w)[-1].token))
    answer = w.evse.answered
    assert answer is not None
    assert (answer.start, answer.start_failed) == (None, None)


async def test_a_station_that_starts_anew_is_worth_new_tries(w: World) -> None:
    """F6."""
    await w.plug()
    await w.say()
    for _ in range(4):
        await swept(w, 30)
    assert await swept(w) == 3
    await w.take(w.boot())
    assert await swept(w) == 4
    assert shown_failure(w) is None


async def test_a_station_that_did_not_answer_is_told_to_start_again_when_it_is_back(w: World) -> None:
    """F5: as the page says; one that refused is not, until its user says yes again."""
    w.stations.answer = lambda command: TimedOut() if isinstance(command, StartTransaction) else Accepted()
    await w.plug()
    await w.say()
    for _ in range(4):
        await swept(w, 30)
    assert (len(starts(w)), shown_failure(w)) == (3, StartFailure.NO_ANSWER)
    w.system.rooms.intake.disconnected(S)
    w.stations.answer = lambda command: Rejected("busy") if isinstance(command, StartTransaction) else Accepted()
    w.system.rooms.intake.connected(S, Version.V21)
    assert shown_failure(w) is None
    for _ in range(4):
        await swept(w, 30)
    tried = len(starts(w))
    assert (tried > 3, shown_failure(w)) == (True, StartFailure.REJECTED)
    w.system.rooms.intake.connected(S, Version.V21)
    assert await swept(w, 30) == tried


async def test_a_vehicle_whose_station_lost_its_power_is_started_again(w: World) -> None:
    """F6: the transaction that was cut off was ended by nobody."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    count = await swept(w)
    await w.take(w.boot(), w.ended(1))
    assert await swept(w) == count + 1


async def test_what_its_user_stopped_long_after_a_power_cycle_stays_stopped(w: World) -> None:
    """F6, P4."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    count = await swept(w)
    await w.take(w.boot())
    w.clock.pass_(600)
    await w.take(w.ended(1))
    assert await swept(w) == count
