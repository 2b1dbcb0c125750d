"""What decides whether a station is told, and what may be in force meanwhile: sharp cases. A2, A10, P4, P11."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from csms.control.dispatch import dispatch
from csms.control.dispatch.compliance import drawn_w
from csms.control.dispatch.due import Moment, is_due, is_new
from csms.control.dispatch.in_force import span_of
from csms.control.dispatch.order import Place, Room, Span
from csms.control.dispatch.snapshots import reserved_w
from csms.control.state.live import EvseLive
from csms.control.state.records import Told
from csms.domain.commands import ApplySetpoint, Command, Outcome
from csms.domain.decision import Part, Parts, Setpoint, Violation
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import DrEventId, SiteId, TransactionId
from csms.domain.station import ProbeState, SetpointDriver
from csms.settings import Dispatch as DispatchSettings
from tests.control.kit import ACCEPTED, CARD, E1, E2, START, World, station, until, world
from tests.policies.fleets import site

EVENT = DrEventId("dr")
VALID = timedelta(seconds=180)
RECORD = SetpointRecord(
    id="sp",
    evse=E1,
    plug_in=None,
    transaction=TransactionId("tx-1"),
    event=EVENT,
    decided_at=START,
    desired_w=3000,
    counterfactual_w=0,
    price_per_kwh=Decimal(40),
    expires_at=START + VALID,
    driver=SetpointDriver.OCPP21_SETPOINT,
    reasons=(),
)


def setpoint(power_w: int, price: int = 40, event: DrEventId | None = EVENT) -> Setpoint:
    return Setpoint(
        evse=E1,
        setpoint_w=power_w,
        counterfactual_w=0,
        expires_at=START + VALID,
        event=event,
        price_per_kwh=Decimal(price),
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (setpoint(3000), False),
        (setpoint(3049), False),
        (setpoint(3050), True),
        (setpoint(2950), True),
        (setpoint(3000, price=41), True),
        (setpoint(3000, event=DrEventId("other")), True),
    ],
    ids=["the same", "49 W", "50 W more", "50 W less", "another price", "another event"],
)
def test_another_power_price_or_event_is_news_and_a_trifle_is_not(now: Setpoint, expected: bool) -> None:
    """P11: the price is frozen with the setpoint that was told."""
    assert is_new(RECORD, now) is expected


@pytest.mark.parametrize(
    ("last_w", "now_w", "is_told"),
    [(-3000, 0, True), (3000, 0, True), (3000, 3000, False), (3000, 3049, False)],
    ids=["a discharge ends", "a charge ends", "the same", "a trifle"],
)
def test_what_is_less_is_told_at_once_however_new_the_last_is(last_w: int, now_w: int, is_told: bool) -> None:
    """P4: a no that comes a second after a setpoint was sent."""
    told = Told(setpoint=replace(RECORD, desired_w=last_w, state=SetpointState.ACKNOWLEDGED), sent_at=START)
    moment = Moment(START + timedelta(seconds=1), RECORD.driver, False, DispatchSettings(min_change_s=60))
    assert is_due(told, setpoint(now_w), RECORD.transaction, moment) is is_told


SHARED = replace(RECORD, parts=(Part(DrEventId("other"), 1000, Decimal(35)), Part(EVENT, 2000, Decimal(40))))
SHARES = {
    "the same": (SHARED.parts, False),
    "a trifle": (tuple(replace(part, power_w=part.power_w + 49) for part in SHARED.parts), False),
    "50 W go to the other": (
        (replace(SHARED.parts[0], power_w=1050), replace(SHARED.parts[1], power_w=1950)),
        True,
    ),
    "another price": ((replace(SHARED.parts[0], price_per_kwh=Decimal(36)), SHARED.parts[1]), True),
    "another event": ((replace(SHARED.parts[0], event=DrEventId("third")), SHARED.parts[1]), True),
    "one has ended": ((), True),
}


@pytest.mark.parametrize(("parts", "expected"), SHARES.values(), ids=SHARES)
def test_other_shares_of_a_shared_setpoint_are_news(parts: Parts, expected: bool) -> None:
    """P19: reports and money read them from what was told, though the power stays the same."""
    assert is_new(SHARED, replace(setpoint(3000), parts=parts)) is expected


@pytest.mark.parametrize(("limit_w", "expected"), [(5_000, True), (4_999, False)])
def test_an_increase_is_let_through_up_to_the_fuse_and_not_a_watt_beyond(limit_w: int, expected: bool) -> None:
    """A10: 2 kW may be in force at the one, 3 kW are wanted at the other."""
    held = Place(SiteId("site"), Span(0, 2000), 2000)
    growing = Place(SiteId("site"), Span(), 3000)
    assert Room((site(limit_w=limit_w),), (held, growing)).take(growing, 3000) is expected


async def test_a_station_may_draw_its_failsafe_limit_once_its_setpoint_is_over_or_in_doubt(w: World) -> None:
    """A10, F8."""
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    told = w.evse.told
    told.setpoint = replace(RECORD, desired_w=1000, state=SetpointState.ACKNOWLEDGED)
    told.in_force, told.is_doubtful = (1000, 1000), False
    w.station.failsafe_limit_w = 2500
    assert span_of(w.station, w.evse, START) == Span(1000, 1000)
    assert span_of(w.station, w.evse, START + VALID).most_w == 2500
    told.is_doubtful = True
    assert span_of(w.station, w.evse, START).most_w == 2500


@pytest.mark.parametrize(("power_w", "expected"), [(7000, None), (6900, None), (2000, 2000), (0, 0), (-100, 0)])
def test_only_a_vehicle_that_leaves_some_of_its_limit_shows_what_it_takes(power_w: int, expected: int | None) -> None:
    """A2: of 7 kW; the meter is right to a tenth."""
    assert drawn_w(7000, power_w) == expected


async def test_a_setpoint_that_was_on_its_way_when_its_station_began_anew_is_not_sent(w: World) -> None:
    """F8: between the decision and the sending it connected again and has not settled."""
    await w.resource()
    before = len(w.stations.of(ApplySetpoint))
    w.station.is_settled = False
    record = replace(RECORD, transaction=w.evse.run.transaction, expires_at=w.clock.now() + VALID)
    w.system.rooms.dispatch.queue.put(w.evse, record)
    await w.quiet()
    assert len(w.stations.of(ApplySetpoint)) == before


@pytest.mark.parametrize("is_broken", [True, False], ids=["a rule says no", "no rule says no"])
async def test_a_probe_that_a_hard_rule_forbids_is_not_begun(
    w: World, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    """V2G-8: whatever the rule is."""
    broken = (Violation(rule="site_export_limit", text="too much"),) if is_broken else ()
    monkeypatch.setattr(dispatch, "broken_by", lambda record, snapshot: broken)
    await w.resource()
    w.evse.told.probe_state = ProbeState.UNTRIED
    w.clock.pass_(1)
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    assert (w.evse.told.probe is None) is is_broken


async def test_a_lost_station_may_go_on_with_what_flowed(w: World) -> None:
    """A3: 6 kW flowed under a limit that is not known any more; the failsafe limit is 2 kW."""
    await w.plug()
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(power_import_w=6000.0))
    w.station.failsafe_limit_w = 2000
    w.station.version = None
    w.evse.told.forget_setpoint()
    assert reserved_w(w.station, w.evse, w.clock.now()) == 6000


async def test_an_answer_leaves_in_force_what_was_sent_after_it(w: World) -> None:
    """A10: -3 kW was taken and 0 W is on its way: until it is taken too, both may be in force."""
    await w.resource()
    seen: list[tuple[int, int] | None] = []

    def answer(command: Command) -> Outcome:
        seen.append(w.evse.told.in_force)
        return ACCEPTED

    w.stations.answer = answer
    w.stations.gate.clear()
    for name, power_w in (("first", -3000), ("second", 0)):
        valid = w.clock.now() + VALID
        record = replace(RECORD, id=name, desired_w=power_w, transaction=w.evse.run.transaction, expires_at=valid)
        w.system.rooms.dispatch.queue.put(w.evse, record)
        await w.store.writer.run(lambda _conn: None)
        await until(lambda: bool(w.stations.of(ApplySetpoint)))
    w.stations.gate.set()
    await w.quiet()
    assert seen[-1] == (-3000, 0)
    assert w.evse.told.in_force == (0, 0)


async def observed(w: World, *, transaction: TransactionId | None = None, event: DrEventId | None = None) -> EvseLive:
    """A setpoint of 5 kW was taken at nine; 2 kW flow from then on, and are sampled for two minutes."""
    await w.plug()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    of = transaction or w.evse.run.transaction
    w.evse.told.setpoint = replace(
        RECORD,
        transaction=of,
        event=event,
        desired_w=5000,
        acknowledged_at=w.clock.now(),
        state=SetpointState.ACKNOWLEDGED,
        expires_at=START + VALID,
    )
    for _ in range(12):
        w.clock.pass_(10)
        await w.take(w.metered(power_import_w=2000.0))
    return w.evse


async def test_a_sample_says_nothing_of_another_transactions_setpoint(w: World) -> None:
    """F12."""
    evse = await observed(w, transaction=TransactionId("tx-before"))
    assert evse.told.setpoint is not None
    assert (evse.told.setpoint.state, evse.told.setpoint.observed_w) == (SetpointState.ACKNOWLEDGED, None)


@pytest.mark.parametrize(("event", "expected"), [(None, 2000), (EVENT, None)], ids=["no event", "an event"])
async def test_what_a_vehicle_takes_is_learnt_outside_events_only(
    w: World, event: DrEventId | None, expected: int | None
) -> None:
    """A2: within one it may take less for the event's sake."""
    assert (await observed(w, event=event)).told.drawn_w == expected


async def test_one_probe_runs_at_a_station_at_a_time(tmp_path: Path) -> None:
    """V2G-8: two EVSEs of one station, both due; the second waits for the first one's verdict."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.resource()
        second = w.at(E2)
        second.cable.plugged = replace(w.plug_in, evse=E2)
        second.answer, second.run, second.meter, second.counted = (
            w.evse.answer,
            w.evse.run,
            w.evse.meter,
            w.evse.counted,
        )
        w.evse.told.probe_state = second.told.probe_state = ProbeState.UNTRIED
        for _ in range(3):
            await w.system.rooms.dispatch.tick()
            await w.quiet()
            w.clock.pass_(1)
        assert [w.evse.told.probe, second.told.probe].count(None) == 1
