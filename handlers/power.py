"""From watts to the figures of a charging schedule, and back. Signs: reference v2g-over-ocpp §1.1; rounding: V2G-19."""

from typing import Any

from csms.domain.station import Current, RateUnit, Ratings

Period = dict[str, Any]


def rate_unit(wanted: RateUnit, ratings: Ratings) -> RateUnit:
    """DC is always driven in W: the current at the DC side says nothing of the power at the AC side."""
    return RateUnit.W if ratings.current is Current.DC else wanted


def limit(power_w: int, unit: RateUnit, ratings: Ratings) -> float:
    """The limit for a power, rounded towards zero to 0.1 A per phase or 1 W: never more than was asked for.

    A negative limit of less than 2 becomes 0: -1 means "no limit" to some stations (§1.2), and one that keeps whole
    units must not land on it either.
    """
    figure = float(power_w) if unit is RateUnit.W else _amperes(power_w, ratings)
    return 0.0 if -2.0 < figure <= 0.0 else figure


def _amperes(power_w: int, ratings: Ratings) -> float:
    tenths = abs(power_w) * 10 // (ratings.voltage_v * ratings.phases)
    return (tenths if power_w >= 0 else -tenths) / 10


def limit_period(power_w: int, unit: RateUnit, ratings: Ratings) -> Period:
    """A schedule of one limit. ``numberPhases`` for AC (absent would mean 3); forbidden for DC (K01.FR.44)."""
    period: Period = {"startPeriod": 0, "limit": limit(power_w, unit, ratings)}
    if ratings.current is Current.AC:
        period["numberPhases"] = ratings.phases
    return period


def setpoint_period(power_w: int) -> Period:
    """A 2.1 schedule of one setpoint, W, alone: no limit beside it (Q03.FR.02, V2G-4)."""
    return {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": float(power_w)}


def watts_of(periods: list[Period], unit: str, ratings: Ratings) -> list[list[float]]:
    """Periods as a station reports them, as ``[[start_s, W], …]``; those without a figure are left out."""
    return [
        [int(period.get("startPeriod", 0)), _watts(figure, unit, period, ratings)]
        for period in periods
        if (figure := _figure(period)) is not None
    ]


def _figure(period: Period) -> float | None:
    if period.get("operationMode") == "Idle":
        return 0.0
    figure = period.get("setpoint", period.get("limit"))
    return float(figure) if isinstance(figure, int | float) else None


def _watts(figure: float, unit: str, period: Period, ratings: Ratings) -> float:
    if unit.upper() != "A":
        return figure
    return round(figure * ratings.voltage_v * (period.get("numberPhases") or ratings.phases), 1)
