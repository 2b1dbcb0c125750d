"""What must never leave for a station, whatever was decided."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.commands import ApplySetpoint, InstallFailsafeLimit
from csms.domain.ids import EvseRef, TransactionId
from csms.domain.station import Current, RateUnit, Ratings, SetpointDriver, Version
from handlers import WireCall, encode
from tests.handlers.golden import STATION, request_validator

NOW = datetime(2026, 11, 20, 17, tzinfo=UTC)
DYNAMIC_DRIVERS = (SetpointDriver.OCPP21_SETPOINT, SetpointDriver.OCPP21_DYNAMIC)

ratings = st.builds(
    Ratings,
    current=st.sampled_from(Current),
    phases=st.sampled_from((1, 2, 3)),
    voltage_v=st.integers(100, 300),
    max_charge_w=st.integers(0, 400_000),
)
setpoints = st.builds(
    ApplySetpoint,
    evse=st.builds(EvseRef, st.just(STATION), st.integers(1, 4)),
    transaction=st.none() | st.integers(-1, 2**31 - 1).map(lambda number: TransactionId(str(number))),
    setpoint_w=st.integers(-400_000, 400_000) | st.integers(-3, 3),
    starts_at=st.just(NOW),
    expires_at=st.integers(0, 900_000).map(lambda ms: NOW + timedelta(milliseconds=ms)),
    driver=st.sampled_from(SetpointDriver),
    rate_unit=st.sampled_from(RateUnit),
    ratings=ratings,
    profile=st.integers(1, 2**31 - 1),
    stack_level=st.integers(0, 8),
)
versions = st.sampled_from(Version)


def schedule_of(call: WireCall) -> dict[str, Any]:
    if "csChargingProfiles" in call.payload:
        schedule: dict[str, Any] = call.payload["csChargingProfiles"]["chargingSchedule"]
        return schedule
    only: dict[str, Any] = call.payload["chargingProfile"]["chargingSchedule"][0]
    return only


def watts(figure: float, unit: str, ratings: Ratings) -> float:
    return figure * (ratings.voltage_v * ratings.phases if unit == "A" else 1)


@given(versions, setpoints)
def test_every_setpoint_fits_the_schema_of_its_version(version: Version, command: ApplySetpoint) -> None:
    """V2G-58: whatever we send validates, formats included."""
    for action, payload in encode(version, command):
        assert list(request_validator(version, action).iter_errors(payload)) == []


@given(versions, setpoints)
def test_a_negative_limit_needs_the_agreement_and_is_never_minus_one(version: Version, command: ApplySetpoint) -> None:
    """V2G-3: nor anything that a station which rounds or truncates would take for -1, "no limit"."""
    for call in encode(version, command):
        limit = schedule_of(call)["chargingSchedulePeriod"][0].get("limit", 0.0)
        assert limit >= 0 or (command.driver is SetpointDriver.NEGATIVE_LIMIT and version is not Version.V21)
        assert limit >= 0 or limit <= -2


@given(versions, setpoints)
def test_no_limit_is_more_than_was_asked_for(version: Version, command: ApplySetpoint) -> None:
    """V2G-19: rounded towards zero, in W and in A."""
    for call in encode(version, command):
        schedule = schedule_of(call)
        period = schedule["chargingSchedulePeriod"][0]
        figure = period["limit"] if "limit" in period else period["setpoint"]
        sent_w = watts(figure, schedule["chargingRateUnit"], command.ratings)
        assert abs(sent_w) <= abs(command.setpoint_w) + 1e-6
        assert sent_w * command.setpoint_w >= 0


@given(versions, setpoints)
def test_every_setpoint_ends_by_itself(version: Version, command: ApplySetpoint) -> None:
    """V2G-5: a duration of at least a second and, but for a Dynamic profile, the end as an instant."""
    for call in encode(version, command):
        profile = call.payload.get("csChargingProfiles") or call.payload["chargingProfile"]
        assert schedule_of(call)["duration"] >= 1
        assert "validTo" in profile or profile["chargingProfileKind"] == "Dynamic"


@given(versions, setpoints)
def test_only_what_a_station_cannot_express_is_not_sent(version: Version, command: ApplySetpoint) -> None:
    """V2G-2: a negative power without a way to discharge gives no call; everything else gives exactly one."""
    agreed = command.driver is SetpointDriver.NEGATIVE_LIMIT and version is not Version.V21
    has_setpoints = command.driver in DYNAMIC_DRIVERS and version is Version.V21
    expressible = command.setpoint_w >= 0 or agreed or has_setpoints
    assert len(encode(version, command)) == (1 if expressible else 0)


@given(versions, setpoints)
def test_phases_are_named_for_ac_limits_and_never_for_dc(version: Version, command: ApplySetpoint) -> None:
    """K01.FR.44, V2G-19; DC is driven in W."""
    for call in encode(version, command):
        period = schedule_of(call)["chargingSchedulePeriod"][0]
        if command.ratings.current is Current.DC:
            assert "numberPhases" not in period
            assert schedule_of(call)["chargingRateUnit"] == "W"
        elif "limit" in period:
            assert period["numberPhases"] == command.ratings.phases


@given(versions, ratings, st.integers(0, 400_000), st.sampled_from(RateUnit))
def test_a_floor_has_no_end_and_is_within_its_limit(
    version: Version, ratings: Ratings, limit_w: int, unit: RateUnit
) -> None:
    """V2G-6."""
    command = InstallFailsafeLimit(
        evse=EvseRef(STATION, 0), limit_w=limit_w, rate_unit=unit, ratings=ratings, profile=1
    )
    (call,) = encode(version, command)
    assert list(request_validator(version, call.action).iter_errors(call.payload)) == []
    schedule = schedule_of(call)
    assert not {"duration", "startSchedule"} & set(schedule)
    sent_w = watts(schedule["chargingSchedulePeriod"][0]["limit"], schedule["chargingRateUnit"], ratings)
    assert 0 <= sent_w <= limit_w + 1e-6


@pytest.mark.parametrize(
    ("power_w", "unit", "phases", "limit"),
    [
        (7400, "W", 1, 7400.0),
        (7400, "A", 1, 32.1),
        (7400, "A", 3, 10.7),
        (4140, "A", 3, 6.0),
        (0, "A", 3, 0.0),
        (-5000, "A", 3, -7.2),
        (-690, "A", 3, 0.0),
        (-1, "W", 1, 0.0),
        (-2, "W", 1, -2.0),
    ],
)
def test_limits_of_known_powers(power_w: int, unit: str, phases: int, limit: float) -> None:
    """Reference v2g-over-ocpp §1.2, at 230 V."""
    command = ApplySetpoint(
        evse=EvseRef(STATION, 1),
        transaction=None,
        setpoint_w=power_w,
        starts_at=NOW,
        expires_at=NOW + timedelta(minutes=3),
        driver=SetpointDriver.NEGATIVE_LIMIT,
        rate_unit=RateUnit(unit),
        ratings=Ratings(phases=phases),
        profile=1,
        stack_level=1,
    )
    (call,) = encode(Version.V16, command)
    assert schedule_of(call)["chargingSchedulePeriod"][0]["limit"] == limit
