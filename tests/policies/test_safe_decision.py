"""What is dispatched where a decision breaks a rule: the site's own remedy, and nobody else's. Finding A11."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from csms.domain.decision import Decision, Reason
from csms.domain.snapshot import Snapshot
from policies import decide
from policies.constraints import safe_decision, violations
from tests.policies.fleets import event, resource, site, snapshot, snapshots


def two_sites() -> Snapshot:
    """Two houses of 10 kW with two vehicles each."""
    sites = (site("a", limit_w=10_000), site("room", "a", limit_w=10_000), site("b", limit_w=10_000))
    fleet = [resource(n, site=where) for n, where in enumerate(("room", "a", "b", "b"))]
    return snapshot(*fleet, sites=sites, events=(event(requested_w=12_000),))


def changed(decision: Decision, index: int, **changes: object) -> Decision:
    setpoints = list(decision.setpoints)
    setpoints[index] = replace(setpoints[index], **changes)  # type: ignore[arg-type]
    return replace(decision, setpoints=tuple(setpoints))


def test_a_good_decision_is_dispatched_as_it_is() -> None:
    state = two_sites()
    assert safe_decision(state, decide(state)) == (decide(state), ())


def test_a_violation_costs_its_site_only() -> None:
    """A11: before, one violation sent the whole fleet to its failsafe limit."""
    state = two_sites()
    good = decide(state)
    safe, broken = safe_decision(state, changed(good, 0, setpoint_w=9_000, event=None, price_per_kwh=None))
    assert {violation.rule for violation in broken} >= {"evse_import_limit"}
    assert safe.setpoints[2:] == good.setpoints[2:]
    assert violations(state, safe) == ()
    assert Reason.FAILSAFE_LIMIT in safe.setpoints[0].reasons
    assert Reason.FAILSAFE_LIMIT not in safe.setpoints[1].reasons, "clamped first: its neighbour kept the rules"


def test_a_missing_setpoint_is_filled_in_at_its_site_only() -> None:
    state = two_sites()
    good = decide(state)
    safe, broken = safe_decision(state, replace(good, setpoints=good.setpoints[1:]))
    assert {violation.rule for violation in broken} == {"missing_evse"}
    assert [setpoint.evse for setpoint in safe.setpoints] == [evse.ref for evse in state.evses]
    assert safe.setpoints[1:] == good.setpoints[1:]


def test_the_counterfactual_outlives_the_remedy() -> None:
    """Money and reports read it whatever is told."""
    state = two_sites()
    good = decide(state)
    safe, _ = safe_decision(state, changed(good, 0, setpoint_w=9_000))
    assert [s.counterfactual_w for s in safe.setpoints] == [s.counterfactual_w for s in good.setpoints]
    assert safe.virtual == good.virtual


@given(snapshots(), st.data())
def test_whatever_a_policy_returns_what_is_dispatched_keeps_every_rule(state: Snapshot, data: st.DataObject) -> None:
    good = decide(state)
    wild = [
        replace(setpoint, setpoint_w=data.draw(st.integers(-60_000, 60_000))) if data.draw(st.booleans()) else setpoint
        for setpoint in good.setpoints
    ]
    safe, broken = safe_decision(state, replace(good, setpoints=tuple(wild)))
    assert violations(state, safe) == ()
    touched = bool(broken)
    assert touched or list(safe.setpoints) == wild


def test_an_empty_decision_is_made_whole() -> None:
    state = two_sites()
    safe, broken = safe_decision(state, Decision(at=state.now, setpoints=()))
    assert broken
    assert violations(state, safe) == ()
