"""Commands to OCPP 2.0.1 and 2.1 stations, as far as both spell them alike. Functional blocks: OCPP 2.0.1 part 2."""

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
    ReadTransaction,
    Reset,
    StartTransaction,
    StopTransaction,
    Trigger,
    TriggerKind,
)
from csms.domain.station import RateUnit, SetpointDriver, Version
from handlers import metering_plan as plan
from handlers.power import limit_period, rate_unit
from handlers.times import spelt
from handlers.tokens import LONGEST, spelt_2
from handlers.window import seconds_between
from handlers.wire import WireCall

Json = dict[str, Any]


def apply_limit(command: ApplySetpoint, version: Version) -> tuple[WireCall, ...]:
    """SetChargingProfile with a limit (K01). A negative one only in 2.0.1, and only for a station with the
    NEGATIVE_LIMIT agreement (V2G-3)."""
    agreed = command.driver is SetpointDriver.NEGATIVE_LIMIT and version is Version.V201
    if command.setpoint_w < 0 and not agreed:
        return ()
    return (set_profile(command.evse.evse, limit_profile(command)),)


def limit_profile(command: ApplySetpoint) -> Json:
    """A bounded profile of one limit."""
    unit = rate_unit(command.rate_unit, command.ratings)
    return bounded_profile(command, unit, limit_period(command.setpoint_w, unit, command.ratings))


def bounded_profile(command: ApplySetpoint, unit: RateUnit, period: Json) -> Json:
    """An Absolute profile that ends by itself: duration and validTo (V2G-5)."""
    window = {
        "startSchedule": spelt(command.starts_at),
        "duration": seconds_between(command.starts_at, command.expires_at),
    }
    return {
        **profile_head(command),
        "chargingProfileKind": "Absolute",
        "validTo": spelt(command.expires_at),
        "chargingSchedule": [schedule(unit, period, window)],
    }


def profile_head(command: ApplySetpoint) -> Json:
    """Id, level and purpose: TxProfile in a transaction, else the default of this EVSE's next one."""
    head: Json = {"id": command.profile, "stackLevel": command.stack_level}
    if command.transaction is None:
        return head | {"chargingProfilePurpose": "TxDefaultProfile"}
    return head | {"chargingProfilePurpose": "TxProfile", "transactionId": str(command.transaction)}


def schedule(unit: RateUnit, period: Json, timing: Json) -> Json:
    return {"id": 1, **timing, "chargingRateUnit": unit.value, "chargingSchedulePeriod": [period]}


def set_profile(evse: int, profile: Json) -> WireCall:
    return WireCall("SetChargingProfile", {"evseId": evse, "chargingProfile": profile})


def install_floor(command: InstallFailsafeLimit, version: Version) -> tuple[WireCall, ...]:
    """The failsafe limit (V2G-6): Relative, which must not carry a start (K01.FR.41), and without an end."""
    unit = rate_unit(command.rate_unit, command.ratings)
    profile = {
        "id": command.profile,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": [schedule(unit, limit_period(command.limit_w, unit, command.ratings), {})],
    }
    return (set_profile(command.evse.evse, profile),)


def clear(command: ClearProfile, version: Version) -> tuple[WireCall, ...]:
    return (WireCall("ClearChargingProfile", {"chargingProfileId": command.profile}),)


def read_schedule(command: ReadSchedule, version: Version) -> tuple[WireCall, ...]:
    """K08 GetCompositeSchedule, in the unit that the station likes."""
    return (WireCall("GetCompositeSchedule", {"duration": command.duration_s, "evseId": command.evse.evse}),)


def start(command: StartTransaction, version: Version) -> tuple[WireCall, ...]:
    """F01 RequestStartTransaction. Its limit is a TxProfile without a transaction id; without one the floor holds."""
    if len(command.token.value) > LONGEST[version]:
        return ()
    payload: Json = {
        "evseId": command.evse.evse,
        "remoteStartId": command.remote_start_id,
        "idToken": spelt_2(command.token, version),
    }
    if command.limit is not None:
        payload["chargingProfile"] = limit_profile(command.limit) | {"chargingProfilePurpose": "TxProfile"}
    return (WireCall("RequestStartTransaction", payload),)


def stop(command: StopTransaction, version: Version) -> tuple[WireCall, ...]:
    return (WireCall("RequestStopTransaction", {"transactionId": str(command.transaction)}),)


def read_transaction(command: ReadTransaction, version: Version) -> tuple[WireCall, ...]:
    """E14 GetTransactionStatus."""
    return (WireCall("GetTransactionStatus", {"transactionId": str(command.transaction)}),)


def trigger(command: Trigger, version: Version) -> tuple[WireCall, ...]:
    """F06 TriggerMessage. A status is asked of a connector (F06.FR.12), the rest of an EVSE. Of the whole station no
    status can be asked: stations reject it."""
    if command.kind is TriggerKind.STATUS and not command.evse.evse:
        return ()
    payload: Json = {"requestedMessage": command.kind.value}
    if command.evse.evse and command.kind is not TriggerKind.BOOT:
        connector = {"connectorId": 1} if command.kind is TriggerKind.STATUS else {}
        payload["evse"] = {"id": command.evse.evse, **connector}
    return (WireCall("TriggerMessage", payload),)


def reset(command: Reset, version: Version) -> tuple[WireCall, ...]:
    return (WireCall("Reset", {"type": "Immediate" if command.hard else "OnIdle"}),)


def configure(command: Configure, version: Version) -> tuple[WireCall, ...]:
    """B05 SetVariables, one variable a call: a refusal then names its variable."""
    settings = configuration(command.sample_interval_s, starts_at_cable=command.starts_at_cable)
    return tuple(set_variable(key, value) for key, value in plan.to_write(settings, command.known, command.avoid))


def read_configuration(command: ReadConfiguration, version: Version) -> tuple[WireCall, ...]:
    """B06 GetVariables, all in one call."""
    keys = dict.fromkeys(key for key, _, _ in configuration(60, starts_at_cable=True))
    return (WireCall("GetVariables", {"getVariableData": [_named(key) for key in keys]}),)


def configuration(sample_interval_s: int, *, starts_at_cable: bool) -> list[plan.Setting]:
    """``Component.Variable``, in the order in which they are set. TxStartPoint is set for a station only that needs it:
    one that begins with the cable refuses a remote start on many (F5)."""
    start = [("TxCtrlr.TxStartPoint", "EVConnected", plan.just("EVConnected"))] if starts_at_cable else []
    return [
        *start,
        ("SampledDataCtrlr.TxUpdatedInterval", str(sample_interval_s), plan.within(sample_interval_s)),
        *(("SampledDataCtrlr.TxUpdatedMeasurands", names, plan.just(plan.SAMPLED[-1])) for names in plan.SAMPLED),
        *(("SampledDataCtrlr.TxEndedMeasurands", names, plan.just(plan.AT_THE_END[-1])) for names in plan.AT_THE_END),
    ]


def set_variable(key: str, value: str) -> WireCall:
    return WireCall("SetVariables", {"setVariableData": [{"attributeValue": value, **_named(key)}]})


def _named(key: str) -> Json:
    component, variable = key.split(".")
    return {"component": {"name": component}, "variable": {"name": variable}}


ENCODERS: Final[Mapping[type, Callable[[Any, Version], tuple[WireCall, ...]]]] = {
    ApplySetpoint: apply_limit,
    ClearProfile: clear,
    Configure: configure,
    InstallFailsafeLimit: install_floor,
    ReadConfiguration: read_configuration,
    ReadSchedule: read_schedule,
    ReadTransaction: read_transaction,
    Reset: reset,
    StartTransaction: start,
    StopTransaction: stop,
    Trigger: trigger,
}
"""By command. UpdateSetpoint is not here: 2.0.1 has no dynamic profiles."""


def encode(command: Command, version: Version) -> tuple[WireCall, ...]:
    """The calls; () for a command without an entry in ENCODERS."""
    encoder = ENCODERS.get(type(command))
    return encoder(command, version) if encoder else ()
