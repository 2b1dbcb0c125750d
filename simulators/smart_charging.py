"""Set, update and clear charging profiles on a hardware; both versions speak of the same stack."""

from typing import Any

from simulators.behaviours import Negative
from simulators.hardware import Evse, Hardware, advance
from simulators.profile_rules import Named, cleared, has_negative_limit, read_profile, refusal, updated
from simulators.profiles import Demand, installed, schedule
from simulators.rpc import CallError

Payload = dict[str, Any]


def set_profile(hardware: Hardware, payload: Payload, evse_id: int) -> str | None:
    """Install a profile; the reason of a refusal, or None. Raises CallError where negatives are one."""
    now = hardware.clock.now()
    advance(hardware, now)
    evse = hardware.evses.get(evse_id)
    new = read_profile(payload, evse_id, now)
    if reason := refusal(new, hardware.profiles, hardware.abilities, _transaction(evse)):
        return reason
    if new is None or (has_negative_limit(new) and not _takes_negatives(hardware)):
        return "InvalidSchedule"
    if not hardware.behaviour.ignores_profiles:
        hardware.profiles = installed(hardware.profiles, new)
    return None


def _transaction(evse: Evse | None) -> str | None:
    return evse.session.transaction if evse and evse.session else None


def _takes_negatives(hardware: Hardware) -> bool:
    if hardware.negative is Negative.CALLERROR:
        raise CallError("PropertyConstraintViolation", "limit must not be negative")
    return hardware.negative is not Negative.REFUSE


def update_dynamic(hardware: Hardware, profile_id: int, update: Payload) -> str | None:
    """UpdateDynamicSchedule (2.1 K28); the reason of a refusal, or None."""
    advance(hardware, hardware.clock.now())
    if hardware.behaviour.ignores_profiles:
        return None
    known = next((p for p in hardware.profiles if p.id == profile_id), None)
    if known is None or known.kind != "Dynamic":
        return "InvalidProfileId" if known is None else "UnsupportedKind"
    new = updated(known, update, hardware.clock.now())
    hardware.profiles = tuple(new if p.id == profile_id else p for p in hardware.profiles)
    return None


def clear_profiles(hardware: Hardware, named: Named) -> str:
    """ClearChargingProfile: "Accepted", or "Unknown" when nothing matches."""
    advance(hardware, hardware.clock.now())
    left = cleared(hardware.profiles, named)
    if len(left) == len(hardware.profiles):
        return "Unknown"
    hardware.profiles = left
    return "Accepted"


def composite(hardware: Hardware, evse: Evse, seconds: float) -> tuple[tuple[int, Demand], ...]:
    """GetCompositeSchedule, as (start s, demand)."""
    return schedule(
        hardware.profiles, hardware.situation(evse, hardware.clock.now()), seconds, sharing=hardware.sharing
    )


def shown_limit(evse: Evse, wanted: Demand, unit: str) -> float:
    """A composite value in the asked unit, one decimal; without a profile the rating."""
    power = wanted.setpoint_w if wanted.setpoint_w is not None else wanted.limit_w
    watts = evse.spec.max_charge_w if power is None else power
    return round(watts / (evse.spec.voltage_v * evse.spec.phases) if unit == "A" else watts, 1)
