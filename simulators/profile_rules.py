"""What a real station refuses: SetChargingProfile's rules of 1.6 §5.16 and 2.x K01, and UpdateDynamicSchedule; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from simulators.profiles import CHARGING_ONLY, SETPOINT_MODES, Period, Profile, Purpose, slot

PURPOSES = {
    "ChargePointMaxProfile": Purpose.MAX,
    "ChargingStationMaxProfile": Purpose.MAX,
    "TxDefaultProfile": Purpose.TX_DEFAULT,
    "TxProfile": Purpose.TX,
}
RECURS_S = {"Daily": 86_400.0, "Weekly": 604_800.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What the station's smart charging can do."""

    evses: int = 1
    max_stack_level: int = 8
    setpoints: bool = False
    dynamic: bool = False
    refuse_duplicates: bool = False
    """2.x: another id on the same level is refused (K01.FR.06, DuplicateProfile); 1.6 replaces it."""


def read_instant(text: str | None) -> datetime | None:
    """An RFC 3339 time; None stays None."""
    return None if text is None else datetime.fromisoformat(text)


def read_profile(payload: Mapping[str, Any], evse: int, now: datetime) -> Profile | None:
    """A profile from either version's camelCase JSON; None for a purpose that the station does not know."""
    purpose = PURPOSES.get(payload["chargingProfilePurpose"])
    if purpose is None:
        return None
    given = payload["chargingSchedule"]
    plan = given[0] if isinstance(given, list) else given
    transaction = payload.get("transactionId")
    return Profile(
        id=payload["chargingProfileId"] if "chargingProfileId" in payload else payload["id"],
        evse=evse,
        stack_level=payload["stackLevel"],
        purpose=purpose,
        kind=payload["chargingProfileKind"],
        periods=tuple(read_period(period) for period in plan["chargingSchedulePeriod"]),
        in_amperes=plan["chargingRateUnit"] == "A",
        start_at=read_instant(plan.get("startSchedule")),
        duration_s=plan.get("duration"),
        valid_from=read_instant(payload.get("validFrom")),
        valid_to=read_instant(payload.get("validTo")),
        recurs_s=RECURS_S.get(payload.get("recurrencyKind", "")),
        transaction=None if transaction is None else str(transaction),
        updated_at=read_instant(payload.get("dynUpdateTime")) or now,
        max_offline_s=payload.get("maxOfflineDuration"),
        invalid_after_offline=payload.get("invalidAfterOfflineDuration", False),
    )


def read_period(period: Mapping[str, Any]) -> Period:
    """One chargingSchedulePeriod."""
    return Period(
        start_s=period["startPeriod"],
        limit=period.get("limit"),
        setpoint=period.get("setpoint"),
        discharge_limit=period.get("dischargeLimit"),
        phases=period.get("numberPhases"),
        mode=period.get("operationMode", CHARGING_ONLY),
    )


def refusal(new: Profile | None, stack: Sequence[Profile], abilities: Abilities, transaction: str | None) -> str | None:
    """Why the station says Rejected (a 2.x reasonCode), or None. ``transaction``: the one running on that EVSE."""
    if new is None:
        return "UnsupportedPurpose"
    if new.evse > abilities.evses or new.evse < 0:
        return "UnknownEvse"
    return (
        _bad_transaction(new, transaction)
        or _bad_level(new, abilities)
        or _bad_kind(new, abilities)
        or _bad_mode(new, abilities)
        or _duplicate(new, stack, abilities)
    )


def _bad_transaction(new: Profile, transaction: str | None) -> str | None:
    if new.purpose is not Purpose.TX:
        return None
    if new.evse == 0 or transaction is None:
        return "TxNotFound"
    return "TxNotFound" if new.transaction not in (None, transaction) else None


def _bad_level(new: Profile, abilities: Abilities) -> str | None:
    return None if 0 <= new.stack_level <= abilities.max_stack_level else "InvalidStackLevel"


def _bad_kind(new: Profile, abilities: Abilities) -> str | None:
    if new.periods[0].start_s != 0:
        return "InvalidSchedule"
    if new.kind == "Dynamic":
        return _bad_dynamic(new, abilities)
    missing_start = new.kind in ("Absolute", "Recurring") and new.start_at is None
    return "InvalidSchedule" if missing_start or (new.kind == "Recurring" and new.recurs_s is None) else None


def _bad_dynamic(new: Profile, abilities: Abilities) -> str | None:
    if not abilities.dynamic:
        return "UnsupportedKind"
    return None if len(new.periods) == 1 else "InvalidSchedule"  # K28.FR.01, FR.02


def _bad_mode(new: Profile, abilities: Abilities) -> str | None:
    return next((reason for period in new.periods if (reason := _bad_period(period, new, abilities))), None)


def _bad_period(period: Period, new: Profile, abilities: Abilities) -> str | None:
    if period.mode == CHARGING_ONLY:
        return "InvalidSchedule" if period.limit is None else None
    allowed = SETPOINT_MODES | {"Idle"} if abilities.setpoints else frozenset[str]()
    if period.mode not in allowed or new.purpose is Purpose.MAX:
        return "InvalidOperationMode"
    return _bad_setpoint(period)


def _bad_setpoint(period: Period) -> str | None:
    if period.mode == "Idle":
        return None
    if period.setpoint is None:
        return "InvalidSchedule"
    too_low = period.discharge_limit is not None and period.setpoint < period.discharge_limit
    too_high = period.limit is not None and period.setpoint > period.limit
    return "InvalidSchedule" if too_low or too_high else None  # V2X.05


def _duplicate(new: Profile, stack: Sequence[Profile], abilities: Abilities) -> str | None:
    clash = any(slot(p) == slot(new) and p.id != new.id for p in stack)
    return "DuplicateProfile" if clash and abilities.refuse_duplicates else None


def has_negative_limit(profile: Profile) -> bool:
    """A limit below zero: nothing in the standard, a private agreement in the field (reference V2G §1.2)."""
    return any((period.limit or 0) < 0 for period in profile.periods)


def updated(profile: Profile, update: Mapping[str, Any], now: datetime) -> Profile:
    """A Dynamic profile with new values; its dead-man timer begins again (K28.FR.13-15)."""
    names = {"limit": "limit", "setpoint": "setpoint", "dischargeLimit": "discharge_limit"}
    changes = {ours: update[theirs] for theirs, ours in names.items() if theirs in update}
    return replace(profile, periods=(replace(profile.periods[0], **changes),), updated_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What ClearChargingProfile names; None matches everything. A profile id alone decides."""

    profile: int | None = None
    evse: int | None = None
    purpose: str | None = None
    level: int | None = None

    def matches(self, profile: Profile) -> bool:
        if self.profile is not None:
            return profile.id == self.profile
        return (
            self.evse in (None, profile.evse)
            and (self.purpose is None or PURPOSES.get(self.purpose) is profile.purpose)
            and self.level in (None, profile.stack_level)
        )


def cleared(stack: Sequence[Profile], named: Named) -> tuple[Profile, ...]:
    """The stack without what was named."""
    return tuple(profile for profile in stack if not named.matches(profile))
