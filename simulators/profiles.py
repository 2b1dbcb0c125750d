"""The charging profile stack of a station, OCPP 1.6 §3.13 and 2.x block K and Q; pure.

Of each purpose the profile with the highest stack level that has a period now counts; TxProfile replaces
TxDefaultProfile; the station's maximum bounds the result. Values are W, + into the vehicle, on the EVSE's own phases.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

NOMINAL_V = 230.0
CHARGING_ONLY = "ChargingOnly"
SETPOINT_MODES = frozenset({"CentralSetpoint", "CentralFrequency"})


class Purpose(StrEnum):
    """What a profile is for; 1.6's ChargePointMaxProfile and 2.x's ChargingStationMaxProfile are one."""

    MAX = "Max"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start_s`` after the schedule's start. Values are in the schedule's unit; ``phases`` None: the EVSE's."""

    start_s: float
    limit: float | None = None
    setpoint: float | None = None
    discharge_limit: float | None = None
    phases: int | None = None
    mode: str = CHARGING_ONLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One installed profile. ``start_at`` None: from the transaction's start (Dynamic: the last update)."""

    id: int
    evse: int
    stack_level: int
    purpose: Purpose
    kind: str
    periods: tuple[Period, ...]
    in_amperes: bool = False
    start_at: datetime | None = None
    duration_s: float | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    recurs_s: float | None = None
    transaction: str | None = None
    updated_at: datetime | None = None
    max_offline_s: float | None = None
    invalid_after_offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the stack is asked about: one EVSE, its transaction's start (None = none), and how long the CSMS is away."""

    evse: int
    at: datetime
    started_at: datetime | None = None
    offline_s: float = 0.0
    phases: int = 1


@dataclass(frozen=True, slots=True)
class Demand:
    """The composite at one instant, W. Both None = no profile: full power."""

    limit_w: float | None = None
    setpoint_w: float | None = None
    mode: str = CHARGING_ONLY


def installed(profiles: Sequence[Profile], new: Profile) -> tuple[Profile, ...]:
    """The stack with ``new`` in it: the same id, or the same level of the same purpose and EVSE, is replaced."""
    return (*(p for p in profiles if p.id != new.id and slot(p) != slot(new)), new)


def slot(profile: Profile) -> tuple[int, Purpose, int]:
    """Where only one profile can be."""
    return profile.evse, profile.purpose, profile.stack_level


def without_transaction(profiles: Sequence[Profile], evse: int) -> tuple[Profile, ...]:
    """The stack after the transaction on an EVSE has ended: its TxProfiles are gone (1.6 §3.13.1)."""
    return tuple(p for p in profiles if not (p.purpose is Purpose.TX and p.evse == evse))


def survivors(profiles: Sequence[Profile], offline_s: float) -> tuple[Profile, ...]:
    """The stack after being offline: 2.1 drops what is ``invalidAfterOfflineDuration`` (K01.FR.141 and Q11)."""
    return tuple(p for p in profiles if not (p.invalid_after_offline and _too_long_offline(p, offline_s)))


def demand(profiles: Iterable[Profile], now: Situation, *, sharing: int = 1) -> Demand:
    """The composite of the stack. ``sharing``: how many EVSEs share the station's maximum."""
    stack = [p for p in profiles if p.evse in (0, now.evse)]
    chosen = _best(stack, Purpose.TX, now) or _best(stack, Purpose.TX_DEFAULT, now)
    cap = _best(stack, Purpose.MAX, now)
    cap_w = None if cap is None else _watts(cap[0], cap[1].limit, cap[1], now)
    return _bounded(_demand_of(chosen, now), None if cap_w is None else cap_w / max(sharing, 1))


def schedule(
    profiles: Sequence[Profile], now: Situation, seconds: float, *, sharing: int = 1
) -> tuple[tuple[int, Demand], ...]:
    """The composite over a time ahead, as (start in s from now, demand) at each change."""
    found: list[tuple[int, Demand]] = []
    for offset in _edges(profiles, now, seconds):
        then = demand(profiles, replace(now, at=now.at + timedelta(seconds=offset)), sharing=sharing)
        if not found or found[-1][1] != then:
            found.append((offset, then))
    return tuple(found)


def _edges(profiles: Sequence[Profile], now: Situation, seconds: float) -> list[int]:
    """Whole seconds from now at which the composite may change."""
    instants = (edge for profile in profiles for edge in _edges_of(profile, now, seconds))
    return sorted({0, *(math.ceil(edge) for edge in instants if 0 < edge < seconds)})


def _edges_of(profile: Profile, now: Situation, seconds: float) -> list[float]:
    bounds = [(at - now.at).total_seconds() for at in (profile.valid_from, profile.valid_to) if at is not None]
    start = _start(profile, now)
    if start is None:
        return bounds
    origin = (start - now.at).total_seconds()
    inner = [*(p.start_s for p in profile.periods), *([profile.duration_s] if profile.duration_s else [])]
    return bounds + [origin + turn + offset for turn in _turns(profile, -origin, seconds) for offset in inner]


def _turns(profile: Profile, elapsed_s: float, seconds: float) -> list[float]:
    if not profile.recurs_s:
        return [0.0]
    first = max(0, int(elapsed_s // profile.recurs_s))
    return [n * profile.recurs_s for n in range(first, first + int(seconds // profile.recurs_s) + 2)]


def _best(stack: Sequence[Profile], purpose: Purpose, now: Situation) -> tuple[Profile, Period] | None:
    """The highest level of a purpose that has a period now; the EVSE's own goes before the whole station's."""
    ranked = sorted((p for p in stack if p.purpose is purpose), key=lambda p: (p.stack_level, p.evse), reverse=True)
    for profile in ranked:
        if (period := current_period(profile, now)) is not None:
            return profile, period
    return None


def current_period(profile: Profile, now: Situation) -> Period | None:
    """The period of a profile that holds now, or None."""
    if not _valid(profile, now) or (elapsed := _elapsed_s(profile, now)) is None:
        return None
    if elapsed < 0 or (profile.duration_s is not None and elapsed >= profile.duration_s):
        return None
    begun = [p for p in profile.periods if p.start_s <= elapsed]
    return begun[-1] if begun else None


def _valid(profile: Profile, now: Situation) -> bool:
    after = profile.valid_from is None or now.at >= profile.valid_from
    before = profile.valid_to is None or now.at < profile.valid_to
    return after and before and not _too_long_offline(profile, now.offline_s)


def _too_long_offline(profile: Profile, offline_s: float) -> bool:
    return profile.max_offline_s is not None and offline_s > profile.max_offline_s


def _start(profile: Profile, now: Situation) -> datetime | None:
    return profile.updated_at if profile.kind == "Dynamic" else profile.start_at or now.started_at


def _elapsed_s(profile: Profile, now: Situation) -> float | None:
    """Seconds since the schedule began; None when it has no beginning yet."""
    start = _start(profile, now)
    if start is None:
        return None
    elapsed = (now.at - start).total_seconds()
    return elapsed % profile.recurs_s if profile.recurs_s and elapsed >= 0 else elapsed


def _demand_of(chosen: tuple[Profile, Period] | None, now: Situation) -> Demand:
    if chosen is None:
        return Demand()
    profile, period = chosen
    if period.mode == "Idle":
        return Demand(setpoint_w=0.0, mode="Idle")
    limit = _watts(profile, period.limit, period, now)
    if period.mode not in SETPOINT_MODES:
        return Demand(limit_w=limit)
    return Demand(limit, _inside(_watts(profile, period.setpoint, period, now), profile, period, now), period.mode)


def _inside(setpoint: float | None, profile: Profile, period: Period, now: Situation) -> float:
    low = _watts(profile, period.discharge_limit, period, now)
    high = _watts(profile, period.limit, period, now)
    value = setpoint or 0.0
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def _bounded(wanted: Demand, cap_w: float | None) -> Demand:
    if cap_w is None:
        return wanted
    if wanted.setpoint_w is not None:
        return replace(wanted, setpoint_w=min(wanted.setpoint_w, cap_w))
    return replace(wanted, limit_w=cap_w if wanted.limit_w is None else min(wanted.limit_w, cap_w))


def _watts(profile: Profile, value: float | None, period: Period, now: Situation) -> float | None:
    """A is per phase; W is the sum over ``phases``: for more phases than in use it keeps its part (S16E 3.34)."""
    if value is None:
        return None
    if profile.in_amperes:
        return value * NOMINAL_V * min(period.phases or now.phases, now.phases)
    return value * min(1.0, now.phases / (period.phases or now.phases))
