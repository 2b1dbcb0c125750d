"""Commands to OCPP 1.6 stations (OCPP 1.6 edition 2, §5). 1.6 knows limits only; what it cannot say gives no call."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from csms.domain.commands import (
    ApplySetpoint,
    ClearProfile,
    Command,
    Configure,
    InstallFailsafeLimit,
    ReadConfiguration,
    ReadSchedule,
    Reset,
    StartTransaction,
    StopTransaction,
    Trigger,
    TriggerKind,
)
from csms.domain.ids import TransactionId
from csms.domain.station import SetpointDriver, Version
from handlers import metering_plan as plan
from handlers.power import limit_period, rate_unit
from handlers.times import spelt
from handlers.tokens import LONGEST
from handlers.window import seconds_between
from handlers.wire import WireCall


def apply_setpoint(command: ApplySetpoint) -> tuple[WireCall, ...]:
    """SetChargingProfile. A negative power only for a station with the NEGATIVE_LIMIT agreement (V2G-3)."""
    if command.setpoint_w < 0 and command.driver is not SetpointDriver.NEGATIVE_LIMIT:
        return ()
    purpose = "TxDefaultProfile" if command.transaction is None else "TxProfile"
    return (_set_profile(command.evse.evse, _bounded_profile(command, purpose)),)


def _bounded_profile(command: ApplySetpoint, purpose: str) -> dict[str, Any]:
    """Absolute, bounded by duration and validTo (V2G-5)."""
    schedule = {
        "startSchedule": spelt(command.starts_at),
        "duration": seconds_between(command.starts_at, command.expires_at),
        **_schedule(command, command.setpoint_w),
    }
    return {
        "chargingProfileId": command.profile,
        **_bound_to(command.transaction),
        "stackLevel": command.stack_level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "validTo": spelt(command.expires_at),
        "chargingSchedule": schedule,
    }


def install_floor(command: InstallFailsafeLimit) -> tuple[WireCall, ...]:
    """The failsafe limit: Relative, so it needs no start, and it has no end. Connector 0 = all connectors."""
    profile = {
        "chargingProfileId": command.profile,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": _schedule(command, command.limit_w),
    }
    return (_set_profile(command.evse.evse, profile),)


def _schedule(command: ApplySetpoint | InstallFailsafeLimit, power_w: int) -> dict[str, Any]:
    unit = rate_unit(command.rate_unit, command.ratings)
    return {
        "chargingRateUnit": unit.value,
        "chargingSchedulePeriod": [limit_period(power_w, unit, command.ratings)],
    }


def _set_profile(connector: int, profile: dict[str, Any]) -> WireCall:
    return WireCall("SetChargingProfile", {"connectorId": connector, "csChargingProfiles": profile})


def _bound_to(transaction: TransactionId | None) -> dict[str, int]:
    number = transaction_number(transaction)
    return {"transactionId": number} if number is not None else {}


def transaction_number(transaction: TransactionId | None) -> int | None:
    """The integer of a 1.6 transaction; None for an id that we never gave (V2G-55)."""
    return int(transaction) if transaction and transaction.isdecimal() and int(transaction) > 0 else None


def clear(command: ClearProfile) -> tuple[WireCall, ...]:
    return (WireCall("ClearChargingProfile", {"id": command.profile}),)


def read_schedule(command: ReadSchedule) -> tuple[WireCall, ...]:
    """GetCompositeSchedule, in the unit that the station likes."""
    payload = {"connectorId": command.evse.evse, "duration": command.duration_s}
    return (WireCall("GetCompositeSchedule", payload),)


def start(command: StartTransaction) -> tuple[WireCall, ...]:
    """RemoteStartTransaction. Its limit is a TxProfile without a transaction id (§5.11); else the floor holds."""
    if len(command.token.value) > LONGEST[Version.V16]:
        return ()
    payload = {"connectorId": command.evse.evse, "idTag": command.token.value}
    limit = {"chargingProfile": _bounded_profile(command.limit, "TxProfile")} if command.limit else {}
    return (WireCall("RemoteStartTransaction", payload | limit),)


def stop(command: StopTransaction) -> tuple[WireCall, ...]:
    number = transaction_number(command.transaction)
    return () if number is None else (WireCall("RemoteStopTransaction", {"transactionId": number}),)


def trigger(command: Trigger) -> tuple[WireCall, ...]:
    payload: dict[str, Any] = {"requestedMessage": command.kind.value}
    if command.evse.evse and command.kind is not TriggerKind.BOOT:
        payload["connectorId"] = command.evse.evse
    return (WireCall("TriggerMessage", payload),)


def reset(command: Reset) -> tuple[WireCall, ...]:
    return (WireCall("Reset", {"type": "Hard" if command.hard else "Soft"}),)


def configure(command: Configure) -> tuple[WireCall, ...]:
    settings = plan.to_write(configuration(command.sample_interval_s), command.known, command.avoid)
    return tuple(WireCall("ChangeConfiguration", {"key": key, "value": value}) for key, value in settings)


def read_configuration(command: ReadConfiguration) -> tuple[WireCall, ...]:
    """GetConfiguration of the keys that are set here."""
    return (WireCall("GetConfiguration", {"key": list(dict.fromkeys(key for key, _, _ in configuration(60)))}),)


def configuration(sample_interval_s: int) -> list[plan.Setting]:
    """In the order in which they are set: what holds a vehicle first (V2G-26), then metering (§4)."""
    return [
        ("ConnectionTimeOut", str(plan.CONNECTION_TIMEOUT_S), plan.at_least(plan.CONNECTION_TIMEOUT_S)),
        ("MeterValueSampleInterval", str(sample_interval_s), plan.within(sample_interval_s)),
        *(("MeterValuesSampledData", names, plan.just(plan.SAMPLED[-1])) for names in plan.SAMPLED),
        *(("StopTxnSampledData", names, plan.just(plan.AT_THE_END[-1])) for names in plan.AT_THE_END),
    ]


ENCODERS: Final[Mapping[type, Callable[[Any], tuple[WireCall, ...]]]] = {
    ApplySetpoint: apply_setpoint,
    ClearProfile: clear,
    Configure: configure,
    InstallFailsafeLimit: install_floor,
    ReadConfiguration: read_configuration,
    ReadSchedule: read_schedule,
    Reset: reset,
    StartTransaction: start,
    StopTransaction: stop,
    Trigger: trigger,
}
"""By command. UpdateSetpoint is not here: 1.6 has no dynamic profiles."""


def encode(command: Command) -> tuple[WireCall, ...]:
    """The calls; () for a command without an entry in ENCODERS."""
    encoder = ENCODERS.get(type(command))
    return encoder(command) if encoder else ()
