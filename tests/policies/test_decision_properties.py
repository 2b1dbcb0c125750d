"""What holds for every decision, whatever the fleet, the tree, the prices and the events. Issue 2, item 5; P4-P9."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.decision import Decision, Reason, Setpoint
from csms.domain.dr import Direction
from csms.domain.snapshot import Snapshot, Terms, Use
from csms.domain.station import Ratings
from policies import decide
from policies.constraints import clamped, failsafe, violations
from tests.policies.fleets import NOW, event, got_w, resource, site, snapshot, snapshots


@given(snapshots())
def test_a_decision_never_breaks_a_hard_rule(state: Snapshot) -> None:
    assert violations(state, decide(state)) == ()


@given(snapshots())
def test_the_safe_floor_never_breaks_a_hard_rule_and_never_discharges(state: Snapshot) -> None:
    floor = failsafe(state)
    assert violations(state, floor) == ()
    assert all(setpoint.setpoint_w >= 0 and setpoint.event is None for setpoint in floor.setpoints)


@given(snapshots(), st.data())
def test_any_policy_is_safe_behind_the_clamp(state: Snapshot, data: st.DataObject) -> None:
    powers = st.integers(-60_000, 60_000) | st.sampled_from([0, -3000, 3000, 1380])
    names = st.sampled_from([None, *(event.id for event in state.events)])
    naive = tuple(
        Setpoint(
            evse=evse.ref,
            setpoint_w=data.draw(powers),
            counterfactual_w=0,
            expires_at=state.now + timedelta(seconds=data.draw(st.integers(-5, 2000))),
            event=data.draw(names),
        )
        for evse in state.evses
    )
    assert violations(state, clamped(state, Decision(at=state.now, setpoints=naive))) == ()


@given(snapshots())
def test_the_clamp_leaves_a_good_decision_nearly_as_it_is(state: Snapshot) -> None:
    """Every power that keeps the rules by itself stays, or is cut by a cap."""
    decision = decide(state)
    for before, after in zip(decision.setpoints, clamped(state, decision).setpoints, strict=True):
        assert abs(after.setpoint_w) <= abs(before.setpoint_w)


@pytest.mark.parametrize("limit_w", [1, 4, 900])
def test_the_clamp_leaves_a_watt_with_whom_it_was_given_to(limit_w: int) -> None:
    """Found by the property above: two that need all, one of them seen to take nothing, behind a fuse of a few W."""
    rated = replace(resource().ratings, min_charge_w=0)
    needy = [
        resource(n, ratings=rated, battery=None, terms=Terms(required_wh=40_000), drawn_w=drawn)
        for n, drawn in enumerate((None, 0))
    ]
    state = snapshot(*needy, sites=(site(limit_w=limit_w),))
    decision = decide(state)
    assert violations(state, decision) == ()
    assert [s.setpoint_w for s in clamped(state, decision).setpoints] == [s.setpoint_w for s in decision.setpoints]


def test_the_clamp_leaves_a_turn_with_whose_it_is() -> None:
    """Found by the property above: two that charge plainly behind a fuse for one; the turn is the second's."""
    fleet = [resource(n, use=Use.PLAIN, ratings=replace(resource().ratings, min_charge_w=1380)) for n in range(4)]
    for minute in range(0, 240, 15):
        turn = NOW + timedelta(minutes=minute)
        state = replace(snapshot(*fleet, sites=(site(limit_w=2_122),)), now=turn)
        decision = decide(state)
        assert [s.setpoint_w for s in clamped(state, decision).setpoints] == [s.setpoint_w for s in decision.setpoints]


def test_the_clamp_gives_nobody_what_an_event_took_from_another() -> None:
    """Found by the property above: plain charging behind a fuse that an event has emptied."""
    fleet = [resource(1), resource(2, use=Use.PLAIN)]
    state = snapshot(*fleet, sites=(site(limit_w=7_000),), events=(event(),))
    decision = decide(state)
    assert [s.setpoint_w for s in clamped(state, decision).setpoints] == [s.setpoint_w for s in decision.setpoints]


@given(snapshots())
def test_the_same_snapshot_gives_the_same_decision(state: Snapshot) -> None:
    assert decide(state) == decide(replace(state))


@given(snapshots())
def test_only_permitted_vehicles_are_ever_used_for_an_event(state: Snapshot) -> None:
    """P4: a refusal, or no answer, means the vehicle is never used as a resource."""
    for evse, setpoint in zip(state.evses, decide(state).setpoints, strict=True):
        if evse.use is not Use.RESOURCE:
            assert setpoint.event is None
            assert setpoint.setpoint_w == setpoint.counterfactual_w >= 0


@given(snapshots())
def test_an_event_gets_what_it_asked_for_or_says_that_it_falls_short(state: Snapshot) -> None:
    decision = decide(state)
    most_step = max((evse.ratings.min_charge_w for evse in state.evses), default=0)
    flows_by_itself = any(s.setpoint_w != s.counterfactual_w and s.event is None for s in decision.setpoints)
    moved = got_w(decision)
    for share in decision.events:
        assert moved[share.event] == share.allotted_w <= share.capacity_w
        if flows_by_itself:
            continue  # a required charge that nobody counted on flows against the event, which moves more than it asked
        if Reason.DR_SHORTFALL in share.reasons:
            assert share.allotted_w < share.requested_w
        else:
            assert share.requested_w <= share.allotted_w < share.requested_w + max(most_step, 1)


def test_an_upward_event_of_one_watt_says_what_it_moves() -> None:
    """A13, found by a random example: two vehicles under one fuse that leaves one watt beside the first, which takes
    nothing of its limit; the event's watt lifted its setpoint by 3,680 W."""
    small = Ratings(max_charge_w=3680, min_charge_w=0)
    waits = resource(1, ratings=small, drawn_w=0, terms=Terms(max_buy_per_kwh=Decimal(10)))
    full = resource(2, ratings=small, drawn_w=0, terms=Terms())
    decision = decide(snapshot(waits, full, sites=(site(limit_w=3681),), events=(event(Direction.UP, 1),)))
    moved = sum(abs(s.setpoint_w - s.counterfactual_w) for s in decision.setpoints if s.event is not None)
    assert moved == decision.events[0].allotted_w


@given(snapshots(), st.integers(1, 60), st.data())
def test_raising_an_ask_never_raises_its_share(state: Snapshot, more: int, data: st.DataObject) -> None:
    """A dearer vehicle is never discharged more. Demand response reference §6.7 (e)."""
    if not state.evses or len(state.events) != 1:
        return
    index = data.draw(st.integers(0, len(state.evses) - 1))
    evse = state.evses[index]
    ask = (evse.terms.min_sell_per_kwh or Decimal(0)) + more
    dearer = replace(evse, terms=replace(evse.terms, min_sell_per_kwh=ask))
    after = replace(state, evses=(*state.evses[:index], dearer, *state.evses[index + 1 :]))
    assert decide(after).setpoints[index].setpoint_w >= decide(state).setpoints[index].setpoint_w


@given(snapshots())
def test_every_setpoint_carries_reasons_and_an_expiry(state: Snapshot) -> None:
    for setpoint in decide(state).setpoints:
        assert setpoint.reasons
        assert state.now < setpoint.expires_at <= state.now + timedelta(seconds=state.horizon_s)


@given(st.integers(1, 30), st.integers(0, 120_000))
def test_plain_charging_uses_a_fuse_to_the_last_watt_and_shares_it(count: int, limit_w: int) -> None:
    vehicles = [resource(number, use=Use.PLAIN) for number in range(count)]
    decision = decide(snapshot(*vehicles, sites=(site(limit_w=limit_w),)))
    powers = [setpoint.setpoint_w for setpoint in decision.setpoints]
    charging = [power for power in powers if power]
    assert sum(powers) == min(limit_w, 7000 * count) or limit_w - sum(powers) < 1380
    assert not charging or max(charging) - min(charging) <= 1


@given(snapshots())
def test_without_an_event_nobody_is_discharged(state: Snapshot) -> None:
    calm = decide(replace(state, events=()))
    assert all(setpoint.setpoint_w >= 0 for setpoint in calm.setpoints)
    assert [s.setpoint_w for s in calm.setpoints] == [s.counterfactual_w for s in calm.setpoints]


def test_an_event_that_is_over_moves_nobody() -> None:
    over = event(ends_at=event().starts_at + timedelta(seconds=30))
    decision = decide(snapshot(resource(), events=(over,)))
    assert decision.events == ()
    assert decision.setpoints[0].setpoint_w > 0
