"""Does the EVSE follow, and does it discharge at all? V2G-8, V2G-9, V2G-10."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.facts import Reading
from csms.domain.ids import EvseRef, StationId
from csms.domain.station import ProbeState, SetpointDriver
from policies.compliance import Act, Compliance, Level, accepted, cannot, follows, is_evidence, observe, refused
from policies.probe import Sight, begin, is_schedule_safe, is_to_be_read_back, judge

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("desired_w", "observed_w", "is_followed"),
    [
        (7000, 7000, True),
        (7000, 7700, True),
        (7000, 7701, False),
        (7000, 0, True),
        (7000, -301, False),
        (0, 300, True),
        (0, 301, False),
        (-6000, -6600, True),
        (-6000, -5400, True),
        (-6000, -5399, False),
        (-6000, -6601, False),
        (-6000, 0, False),
        (-6000, 6000, False),
        (-500, -200, True),
    ],
)
def test_a_limit_may_be_undercut_a_discharge_must_be_met(desired_w: int, observed_w: int, is_followed: bool) -> None:
    """V2G-9: within max(300 W, 10 %)."""
    assert follows(desired_w, observed_w) is is_followed


def acts(desired_w: int, observed: list[float], compliance: Compliance | None = None) -> tuple[Compliance, list[Act]]:
    current, done = compliance or Compliance(), []
    for power in observed:
        current, act = observe(current, desired_w, power, 2)
        done.append(act)
    return current, done


def test_what_does_not_follow_is_told_again_then_read_back_then_trusted_less() -> None:
    """V2G-9, V2G-10."""
    compliance, done = acts(-6000, [0, 0, 0, 0, 0])
    assert done == [Act.NOTHING, Act.RESEND, Act.NOTHING, Act.READ_BACK, Act.DEGRADE]
    assert compliance == Compliance(level=Level.NO_DISCHARGE, failures=1)


def test_a_limit_that_is_not_kept_leads_straight_to_planning_with_what_is_seen() -> None:
    compliance, _ = acts(0, [7000] * 5)
    assert compliance.level is Level.UNCONTROLLED
    assert acts(0, [7000] * 9, compliance)[1] == [Act.NOTHING] * 9


def test_following_again_forgets_the_misses() -> None:
    compliance, done = acts(-6000, [0, 0, 0, -6000])
    assert (compliance, done[-1]) == (Compliance(), Act.NOTHING)


def test_one_refusal_costs_nothing_and_three_in_a_row_cost_discharge() -> None:
    """A11: before, two of them made an EVSE fixed for the whole plug-in."""
    twice = refused(refused(Compliance(), 0.0, -3000), 0.0, -3000)
    assert twice.level is Level.FULL
    assert refused(accepted(twice), 0.0, -3000).level is Level.FULL
    assert refused(twice, 0.0, -3000) == Compliance(level=Level.NO_DISCHARGE, failures=1)


@pytest.mark.parametrize(
    ("code", "desired_w", "is_final"),
    [
        ("PropertyConstraintViolation", -1000, True),
        ("NotImplemented", -1000, True),
        ("NotSupported", -1, True),
        ("InternalError", -1000, False),
        ("GenericError", -1000, False),
        ("SecurityError", -1000, False),
        ("PropertyConstraintViolation", 0, False),
        ("NotSupported", 2000, False),
    ],
)
def test_a_callerror_that_would_come_every_time_costs_discharge_at_once(
    code: str, desired_w: int, is_final: bool
) -> None:
    """V2G-10, scenario 21: what the station cannot do is not asked of it again; a limit always is (A11)."""
    assert cannot(code, desired_w) is is_final


def test_a_final_no_costs_discharge_and_not_control() -> None:
    """V2G-10: one rung, not two."""
    assert refused(Compliance(), 7000.0, -1000, is_final=True) == Compliance(level=Level.NO_DISCHARGE, failures=1)
    fixed = Compliance(level=Level.UNCONTROLLED, failures=2)
    assert refused(fixed, 7000.0, -1000, is_final=True).level is Level.UNCONTROLLED


def test_a_limit_that_is_refused_again_and_again_is_planned_with_what_is_seen_if_that_is_known() -> None:
    """F9: 0 W was planned where the power was not known."""
    states = [Compliance(), Compliance()]
    for _ in range(3):
        states = [refused(states[0], 7000.0, 2000), refused(states[1], None, 2000)]
    assert [state.level for state in states] == [Level.UNCONTROLLED, Level.FULL]


def test_a_vehicle_that_gives_most_of_a_discharge_keeps_discharging() -> None:
    """A11: 75 % of what was asked lost all discharge after five samples."""
    compliance, done = acts(-6000, [-4500] * 30)
    assert compliance.level is Level.FULL
    assert Act.DEGRADE not in done
    assert acts(-6000, [-1000] * 5)[0].level is Level.NO_DISCHARGE
    assert acts(-6000, [-9000] * 5)[0].level is Level.NO_DISCHARGE


@pytest.mark.parametrize(("second", "counts"), [(4, False), (5, True), (179, True), (180, False), (400, False)])
def test_a_sample_counts_from_the_ramp_to_the_end_of_its_setpoint(second: int, counts: bool) -> None:
    """F12: samples after the end counted as not followed."""
    at = NOW + timedelta(seconds=second)
    assert is_evidence(at, NOW, NOW + timedelta(seconds=180), timedelta(seconds=5)) is counts
    assert not is_evidence(at, None, NOW + timedelta(seconds=180), timedelta(seconds=5))


@given(st.lists(st.tuples(st.integers(-7000, 7000), st.floats(-8000, 8000)), max_size=40), st.integers(1, 5))
def test_trust_never_grows_by_itself(samples: list[tuple[int, float]], allowed: int) -> None:
    rungs = list(Level)
    compliance = Compliance()
    for desired_w, observed_w in samples:
        before = compliance
        compliance, act = observe(compliance, desired_w, observed_w, allowed)
        assert rungs.index(compliance.level) >= rungs.index(before.level)
        assert (act is Act.DEGRADE) == (compliance.level is not before.level)


S = timedelta(seconds=1)
TOLD = SetpointRecord(
    id="probe",
    evse=EvseRef(StationId("s"), 1),
    plug_in=None,
    transaction=None,
    event=None,
    decided_at=NOW,
    desired_w=-1000,
    counterfactual_w=0,
    expires_at=NOW + 120 * S,
    driver=SetpointDriver.OCPP21_SETPOINT,
    reasons=(Reason.PROBE,),
    state=SetpointState.ACKNOWLEDGED,
    acknowledged_at=NOW,
)


def seen(power_w: float | None) -> Reading:
    if power_w is None:
        return Reading(at=NOW, import_wh=5.0)
    return Reading(at=NOW, power_import_w=max(power_w, 0), power_export_w=max(-power_w, 0))


@pytest.mark.parametrize(
    ("after_s", "reading", "verdict"),
    [
        (5, None, ProbeState.RUNNING),
        (119, None, ProbeState.RUNNING),
        (120, None, ProbeState.FAILED),
        (10, seen(None), ProbeState.RUNNING),
        (10, seen(2000), ProbeState.RUNNING),
        (10, seen(2301), ProbeState.UNSAFE),
        (10, seen(0), ProbeState.RUNNING),
        (60, seen(0), ProbeState.FAILED),
        (10, seen(-400), ProbeState.RUNNING),
        (10, seen(-500), ProbeState.PASSED),
        (90, seen(-1000), ProbeState.PASSED),
    ],
)
def test_a_probe_passes_only_when_power_comes_out(after_s: int, reading: Reading | None, verdict: ProbeState) -> None:
    """V2G-8: it charged with 2 kW before; 1 kW is asked for."""
    probe = begin(NOW, 2000.0, 6000)
    sight = Sight(now=NOW + after_s * S, told=TOLD, reading=reading)
    assert judge(probe, sight, 30 * S) is verdict


def test_a_probe_is_small_and_short() -> None:
    """V2G-8: at most 1 kW for at most 120 s."""
    assert begin(NOW, 0.0, 6000).setpoint_w == -1000
    assert begin(NOW, 0.0, 700).setpoint_w == -700
    assert begin(NOW, 0.0, 6000).deadline_at == NOW + timedelta(seconds=120)


REST = replace(begin(NOW, 0.0, 6000), setpoint_w=0)
ZERO = replace(TOLD, desired_w=0, acknowledged_at=NOW)
RESTS: dict[str, tuple[Sight, ProbeState]] = {
    "it charges": (Sight(now=NOW + 40 * S, last=ZERO, power_w=7000, metered_at=NOW + 35 * S), ProbeState.RUNNING),
    "nothing flows": (Sight(now=NOW + 40 * S, last=ZERO, power_w=0, metered_at=NOW + 35 * S), ProbeState.UNTRIED),
    "not metered": (Sight(now=NOW + 40 * S, last=ZERO), ProbeState.RUNNING),
    "metered before it had to obey": (
        Sight(now=NOW + 40 * S, last=ZERO, power_w=0, metered_at=NOW + 29 * S),
        ProbeState.RUNNING,
    ),
    "it waits under a limit": (
        Sight(now=NOW + 40 * S, last=replace(ZERO, desired_w=6000), power_w=0, metered_at=NOW + 35 * S),
        ProbeState.RUNNING,
    ),
    "what holds is in doubt": (Sight(now=NOW + 40 * S, power_w=0, metered_at=NOW + 35 * S), ProbeState.RUNNING),
    "too late": (Sight(now=NOW + 120 * S, last=ZERO, power_w=0, metered_at=NOW + 35 * S), ProbeState.FAILED),
    "refused": (
        Sight(now=NOW + 5 * S, told=replace(ZERO, state=SetpointState.REJECTED), last=ZERO),
        ProbeState.FAILED,
    ),
}


@pytest.mark.parametrize(("sight", "verdict"), RESTS.values(), ids=RESTS)
def test_a_probe_begins_from_rest(sight: Sight, verdict: ProbeState) -> None:
    """F10: before, it began at full power, where "unlimited" shows no rise."""
    assert judge(REST, sight, 30 * S) is verdict


@pytest.mark.parametrize(
    ("told", "at_s", "verdict"),
    [
        (TOLD, 10, ProbeState.PASSED),
        (TOLD, -1, ProbeState.RUNNING),
        (None, 10, ProbeState.RUNNING),
        (replace(TOLD, acknowledged_at=None), 10, ProbeState.RUNNING),
        (replace(TOLD, state=SetpointState.REJECTED), 10, ProbeState.FAILED),
    ],
    ids=["after the yes", "before the yes", "another setpoint holds", "no yes yet", "a no"],
)
def test_only_what_was_sampled_under_the_probe_s_own_setpoint_is_a_verdict(
    told: SetpointRecord | None, at_s: int, verdict: ProbeState
) -> None:
    """V2G-8: between the probe's beginning and its sending the charge from before still holds."""
    reading = replace(seen(-1000), at=NOW + at_s * S)
    assert judge(begin(NOW, 0.0, 6000), Sight(now=NOW + 10 * S, told=told, reading=reading), 30 * S) is verdict


def test_a_station_is_asked_what_it_makes_of_a_negative_value_once_it_has_taken_it() -> None:
    """F10: one that reads it as "unlimited" says so before its meter does."""
    probe = begin(NOW, 0.0, 6000)
    assert is_to_be_read_back(probe, TOLD)
    assert not is_to_be_read_back(probe, replace(TOLD, acknowledged_at=None))
    assert not is_to_be_read_back(probe, None)
    assert not is_to_be_read_back(REST, ZERO)
    assert is_schedule_safe(-1000.0)
    assert is_schedule_safe(None)
    assert not is_schedule_safe(33_120.0)
