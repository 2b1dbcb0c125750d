"""The charging profile stack: composites, expiry, setpoints, dead-man timers and refusals."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.profile_rules import Abilities, Named, cleared, read_profile, refusal, updated
from simulators.profiles import (
    Demand,
    Period,
    Profile,
    Purpose,
    Situation,
    demand,
    installed,
    schedule,
    survivors,
    without_transaction,
)

T0 = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
V2X = Abilities(setpoints=True, dynamic=True, refuse_duplicates=True)
PLAIN2 = Abilities(refuse_duplicates=True)


def after(seconds: float, **extra: Any) -> Situation:
    return Situation(evse=1, at=T0 + timedelta(seconds=seconds), started_at=T0, **extra)


def profile(purpose: Purpose = Purpose.TX, limit: float | None = None, **extra: Any) -> Profile:
    values = {"id": 1, "evse": 1, "stack_level": 0, "kind": "Relative", "periods": (Period(0, limit),)}
    return Profile(purpose=purpose, **(values | extra))


STACKS = [
    ("no profile is full power", [], Demand()),
    ("a limit", [profile(limit=5000)], Demand(5000)),
    ("TxProfile replaces TxDefault", [profile(limit=6000), profile(Purpose.TX_DEFAULT, 1000, id=2)], Demand(6000)),
    ("the maximum bounds it", [profile(limit=6000), profile(Purpose.MAX, 4000, id=2, evse=0)], Demand(4000)),
    ("the maximum alone", [profile(Purpose.MAX, 4000, evse=0)], Demand(4000)),
    ("the higher level wins", [profile(limit=6000, stack_level=3), profile(limit=1000, id=2)], Demand(6000)),
    (
        "an expired level falls through",
        [profile(limit=6000, stack_level=3, duration_s=60), profile(limit=10, id=2)],
        Demand(10),
    ),
    ("a negative limit wins the minimum", [profile(limit=-5000), profile(Purpose.MAX, 4000, id=2)], Demand(-5000)),
    ("another EVSE's profile is not ours", [profile(limit=10, evse=2)], Demand()),
    ("not yet valid", [profile(limit=10, valid_from=T0 + timedelta(hours=1))], Demand()),
    ("no longer valid", [profile(limit=10, valid_to=T0)], Demand()),
    ("an absolute start to come", [profile(limit=10, kind="Absolute", start_at=T0 + timedelta(hours=1))], Demand()),
    ("EVSE 0 is every EVSE", [profile(Purpose.TX_DEFAULT, 10, evse=0)], Demand(10)),
    (
        "the EVSE's own default before the station's",
        [profile(Purpose.TX_DEFAULT, 10, evse=0), profile(Purpose.TX_DEFAULT, 20, id=2)],
        Demand(20),
    ),
    (
        "a setpoint",
        [profile(periods=(Period(0, setpoint=-5000, mode="CentralSetpoint"),))],
        Demand(None, -5000, "CentralSetpoint"),
    ),
    (
        "a setpoint under the maximum",
        [profile(periods=(Period(0, setpoint=9000, mode="CentralSetpoint"),)), profile(Purpose.MAX, 4000, id=2)],
        Demand(None, 4000, "CentralSetpoint"),
    ),
    ("idle", [profile(periods=(Period(0, mode="Idle"),))], Demand(None, 0.0, "Idle")),
    ("the second period", [profile(periods=(Period(0, 1000), Period(90, 2000)))], Demand(2000)),
]


@pytest.mark.parametrize(("stack", "expected"), [case[1:] for case in STACKS], ids=[case[0] for case in STACKS])
def test_composite_two_minutes_into_a_transaction(stack: list[Profile], expected: Demand):
    assert demand(stack, after(120)) == expected


@pytest.mark.parametrize(
    ("limit", "in_amperes", "numbered", "in_use", "watts"),
    [
        (32, True, 1, 1, 7360),
        (16, True, 3, 3, 11_040),
        (10.7, True, 3, 1, 2461),
        (16, True, None, 3, 11_040),
        (7400, False, 1, 1, 7400),
        (7400, False, None, 1, 7400),
        (7400, False, 3, 3, 7400),
        (9000, False, 3, 1, 3000),
        (-5000, False, None, 1, -5000),
    ],
)
def test_amperes_are_per_phase_and_watts_are_of_all(limit, in_amperes, numbered, in_use, watts):
    one = profile(in_amperes=in_amperes, periods=(Period(0, limit, phases=numbered),))
    assert demand([one], after(1, phases=in_use)).limit_w == pytest.approx(watts)


def test_a_daily_profile_comes_again_every_day():
    """Scenario 42: a recurring profile holds over midnight."""
    nightly = profile(
        kind="Recurring", start_at=T0, duration_s=3600 * 8, recurs_s=86_400.0, limit=2000, purpose=Purpose.TX_DEFAULT
    )
    hours = [(0, 2000), (7.9, 2000), (8.1, None), (23.9, None), (24.1, 2000), (49, 2000), (57, None)]
    assert [demand([nightly], after(hour * 3600)).limit_w for hour, _ in hours] == [limit for _, limit in hours]


def test_a_dynamic_profile_dies_without_updates_and_revives():
    """K28.FR.13-15: `duration` is a dead-man timer."""
    dynamic = profile(
        kind="Dynamic", duration_s=180, updated_at=T0, periods=(Period(0, setpoint=-5000, mode="CentralSetpoint"),)
    )
    floor = profile(Purpose.TX_DEFAULT, 4000, id=2)
    assert demand([dynamic, floor], after(179)).setpoint_w == -5000
    assert demand([dynamic, floor], after(180)) == Demand(4000)
    fresh = updated(dynamic, {"setpoint": -3500}, T0 + timedelta(seconds=400))
    assert demand([fresh, floor], after(500)).setpoint_w == -3500


def test_a_profile_rests_while_the_csms_is_away_too_long():
    bounded = profile(limit=-5000, max_offline_s=120)
    assert demand([bounded], after(10, offline_s=120)).limit_w == -5000
    assert demand([bounded], after(10, offline_s=121)) == Demand()


@pytest.mark.parametrize(("invalid", "offline_s", "left"), [(True, 121, 0), (False, 121, 1), (True, 119, 1)])
def test_a_profile_may_die_of_being_offline(invalid: bool, offline_s: float, left: int):
    bounded = profile(limit=-5000, max_offline_s=120, invalid_after_offline=invalid)
    assert len(survivors([bounded], offline_s)) == left


def test_the_station_maximum_is_shared():
    assert demand([profile(Purpose.MAX, 9000, evse=0)], after(1), sharing=3).limit_w == 3000


def test_the_composite_schedule_shows_each_change():
    stack = [
        profile(limit=-5000, stack_level=2, kind="Absolute", start_at=T0 + timedelta(seconds=60), duration_s=600),
        profile(Purpose.TX_DEFAULT, 4000, id=2),
    ]
    assert schedule(stack, after(0), 1800) == ((0, Demand(4000)), (60, Demand(-5000)), (660, Demand(4000)))


@given(
    st.lists(
        st.builds(
            lambda n, level, limit, start, length, purpose, recurs: profile(
                purpose, limit, id=n, stack_level=level, kind="Absolute", start_at=T0 + timedelta(seconds=start),
                duration_s=length, recurs_s=recurs,
            ),
            st.integers(1, 99),
            st.integers(0, 3),
            st.integers(-7000, 7000),
            st.integers(-4000, 2000),
            st.integers(1, 3000),
            st.sampled_from(list(Purpose)),
            st.sampled_from([None, 86_400.0]),
        ),
        max_size=6,
    ),
    st.integers(0, 3599),
)  # fmt: skip
def test_the_composite_schedule_never_disagrees_with_the_stack(stack: list[Profile], at: int):
    steps = schedule(stack, after(0), 3600)
    shown = [wanted for start, wanted in steps if start <= at][-1]
    assert shown == demand(stack, after(at))


def test_the_same_id_and_the_same_level_replace():
    stack = installed(installed((), profile(limit=1)), profile(limit=2))
    assert [p.periods[0].limit for p in stack] == [2]
    assert [p.id for p in installed(stack, profile(limit=3, id=9))] == [9]


def test_the_end_of_a_transaction_takes_its_profiles_only():
    stack = (profile(limit=1), profile(limit=1, evse=2, id=2), profile(Purpose.TX_DEFAULT, 1, id=3))
    assert [p.id for p in without_transaction(stack, 1)] == [2, 3]


@pytest.mark.parametrize(
    ("named", "left"),
    [
        (Named(profile=2), [1, 3]),
        (Named(), []),
        (Named(evse=1), [3]),
        (Named(purpose="TxDefaultProfile", level=0), [1]),
        (Named(purpose="TxProfile"), [2, 3]),
        (Named(profile=77), [1, 2, 3]),
    ],
)
def test_clearing_by_id_or_by_criteria(named: Named, left: list[int]):
    """Scenario 40."""
    stack = (profile(limit=1), profile(Purpose.TX_DEFAULT, 1, id=2), profile(Purpose.TX_DEFAULT, 1, id=3, evse=0))
    assert [p.id for p in cleared(stack, named)] == left


SETPOINT = Period(0, setpoint=-5000, mode="CentralSetpoint")
REFUSALS = [
    ("TxProfile in its transaction", profile(limit=1, transaction="t"), PLAIN2, "t", None),
    ("TxProfile without a transaction", profile(limit=1), PLAIN2, None, "TxNotFound"),
    ("TxProfile of another transaction", profile(limit=1, transaction="u"), PLAIN2, "t", "TxNotFound"),
    ("TxProfile for the station", profile(limit=1, evse=0), PLAIN2, "t", "TxNotFound"),
    ("a default needs no transaction", profile(Purpose.TX_DEFAULT, 1, evse=0), PLAIN2, None, None),
    ("an EVSE that is not there", profile(Purpose.TX_DEFAULT, 1, evse=7), PLAIN2, None, "UnknownEvse"),
    ("a level too high", profile(limit=1, stack_level=9), PLAIN2, "t", "InvalidStackLevel"),
    ("absolute without a start", profile(limit=1, kind="Absolute"), PLAIN2, "t", "InvalidSchedule"),
    ("a first period later than 0", profile(periods=(Period(5, 1),)), PLAIN2, "t", "InvalidSchedule"),
    ("charging without a limit", profile(), PLAIN2, "t", "InvalidSchedule"),
    ("a setpoint without V2X", profile(periods=(SETPOINT,)), PLAIN2, "t", "InvalidOperationMode"),
    ("a setpoint with V2X", profile(periods=(SETPOINT,)), V2X, "t", None),
    ("a setpoint as maximum", profile(Purpose.MAX, periods=(SETPOINT,)), V2X, None, "InvalidOperationMode"),
    ("a mode nobody has", profile(periods=(Period(0, mode="LocalFrequency"),)), V2X, "t", "InvalidOperationMode"),
    (
        "a setpoint outside its limits",
        profile(periods=(Period(0, setpoint=-5000, discharge_limit=-3000, mode="CentralSetpoint"),)),
        V2X,
        "t",
        "InvalidSchedule",
    ),
    ("dynamic without support", profile(limit=1, kind="Dynamic"), PLAIN2, "t", "UnsupportedKind"),
    ("dynamic", profile(limit=1, kind="Dynamic"), V2X, "t", None),
    ("dynamic with two periods", profile(kind="Dynamic", periods=(SETPOINT, SETPOINT)), V2X, "t", "InvalidSchedule"),
    ("same level, other id in 2.x", profile(limit=1, id=2), PLAIN2, "t", "DuplicateProfile"),
    ("same level, other id in 1.6", profile(limit=1, id=2), Abilities(), "t", None),
]


@pytest.mark.parametrize(
    ("new", "abilities", "transaction", "reason"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_what_a_station_refuses(new: Profile, abilities: Abilities, transaction: str | None, reason: str | None):
    """Scenarios 19 and 21 (TC_K_02, TC_K_15)."""
    assert refusal(new, [profile(limit=1, id=1)], abilities, transaction) == reason


def test_an_unknown_purpose_is_refused():
    payload = {"chargingProfilePurpose": "PriorityCharging"}
    assert refusal(read_profile(payload, 1, T0), [], V2X, None) == "UnsupportedPurpose"
