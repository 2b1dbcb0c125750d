"""Does the EVSE follow, and does it discharge at all? V2G-8, V2G-9, V2G-10."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.facts import Reading
from csms.domain.station import ProbeState
from policies.compliance import Act, Compliance, Level, follows, observe, refused
from policies.probe import begin, judge

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


def test_a_refusal_costs_one_rung_at_once() -> None:
    once = refused(Compliance())
    assert (once.level, refused(once).level, refused(refused(once)).level) == (
        Level.NO_DISCHARGE,
        Level.UNCONTROLLED,
        Level.UNCONTROLLED,
    )


@given(st.lists(st.tuples(st.integers(-7000, 7000), st.floats(-8000, 8000)), max_size=40), st.integers(1, 5))
def test_trust_never_grows_by_itself(samples: list[tuple[int, float]], allowed: int) -> None:
    rungs = list(Level)
    compliance = Compliance()
    for desired_w, observed_w in samples:
        before = compliance
        compliance, act = observe(compliance, desired_w, observed_w, allowed)
        assert rungs.index(compliance.level) >= rungs.index(before.level)
        assert (act is Act.DEGRADE) == (compliance.level is not before.level)


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
    assert judge(probe, NOW + timedelta(seconds=after_s), reading) is verdict


def test_a_probe_is_small_and_short() -> None:
    """V2G-8: at most 1 kW for at most 120 s."""
    assert begin(NOW, 0.0, 6000).setpoint_w == -1000
    assert begin(NOW, 0.0, 700).setpoint_w == -700
    assert begin(NOW, 0.0, 6000).deadline_at == NOW + timedelta(seconds=120)
