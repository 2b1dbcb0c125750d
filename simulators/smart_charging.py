"""Set, update and clear charging profiles on a cabinet; both versions speak of the same stack."""

from typing import Any

from simulators.behaviours import Negative
from simulators.cabinet import Bay, Cabinet, advance
from simulators.profile_rules import Named, cleared, has_negative_limit, read_profile, refusal, updated
from simulators.profiles import Demand, installed, schedule
from simulators.rpc import CallError

Payload = dict[str, Any]


def set_profile(cabinet: Cabinet, payload: Payload, evse: int) -> str | None:
    """Install a profile; the reason of a refusal, or None. Raises CallError where negatives are one."""
    now = cabinet.clock.now()
    advance(cabinet, now)
    bay = cabinet.bays.get(evse)
    new = read_profile(payload, evse, now)
    if reason := refusal(new, cabinet.profiles, cabinet.abilities, _transaction(bay)):
        return reason
    if new is None or (has_negative_limit(new) and not _takes_negatives(cabinet)):
        return "InvalidSchedule"
    if not cabinet.behaviour.ignores_profiles:
        cabinet.profiles = installed(cabinet.profiles, new)
    return None


def _transaction(bay: Bay | None) -> str | None:
    return bay.session.transaction if bay and bay.session else None


def _takes_negatives(cabinet: Cabinet) -> bool:
    if cabinet.negative is Negative.CALLERROR:
        raise CallError("PropertyConstraintViolation", "limit must not be negative")
    return cabinet.negative is not Negative.REFUSE


def update_dynamic(cabinet: Cabinet, profile_id: int, update: Payload) -> str | None:
    """UpdateDynamicSchedule (2.1 K28); the reason of a refusal, or None."""
    advance(cabinet, cabinet.clock.now())
    if cabinet.behaviour.ignores_profiles:
        return None
    known = next((p for p in cabinet.profiles if p.id == profile_id), None)
    if known is None or known.kind != "Dynamic":
        return "InvalidProfileId" if known is None else "UnsupportedKind"
    new = updated(known, update, cabinet.clock.now())
    cabinet.profiles = tuple(new if p.id == profile_id else p for p in cabinet.profiles)
    return None


def clear_profiles(cabinet: Cabinet, named: Named) -> str:
    """ClearChargingProfile: "Accepted", or "Unknown" when nothing matches."""
    advance(cabinet, cabinet.clock.now())
    left = cleared(cabinet.profiles, named)
    if len(left) == len(cabinet.profiles):
        return "Unknown"
    cabinet.profiles = left
    return "Accepted"


def composite(cabinet: Cabinet, bay: Bay, seconds: float) -> tuple[tuple[int, Demand], ...]:
    """GetCompositeSchedule, as (start s, demand)."""
    return schedule(cabinet.profiles, cabinet.situation(bay, cabinet.clock.now()), seconds, sharing=cabinet.sharing)


def shown_limit(bay: Bay, wanted: Demand, unit: str) -> float:
    """A composite value in the asked unit, one decimal; without a profile the rating."""
    power = wanted.setpoint_w if wanted.setpoint_w is not None else wanted.limit_w
    watts = bay.spec.max_charge_w if power is None else power
    return round(watts / (bay.spec.voltage_v * bay.spec.phases) if unit == "A" else watts, 1)
