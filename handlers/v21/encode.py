"""Commands that OCPP 2.1 says in its own way: setpoints (functional block Q) and Dynamic profiles (K28)."""

from typing import Final

from csms.domain.commands import ApplySetpoint, Command, UpdateSetpoint
from csms.domain.station import RateUnit, SetpointDriver, Version
from handlers.power import setpoint_period
from handlers.v2 import encode as v2
from handlers.window import seconds_between
from handlers.wire import WireCall

OFFLINE: Final = {"maxOfflineDuration": 120, "invalidAfterOfflineDuration": True}
"""Alone for two minutes, a station leaves the setpoint and falls to its failsafe limit (V2G-5)."""


def encode(command: Command) -> tuple[WireCall, ...]:
    match command:
        case ApplySetpoint(driver=SetpointDriver.OCPP21_SETPOINT):
            return (apply_setpoint(command),)
        case ApplySetpoint(driver=SetpointDriver.OCPP21_DYNAMIC):
            return (apply_dynamic(command),)
        case UpdateSetpoint():
            update = {"setpoint": float(command.setpoint_w)}
            payload = {"chargingProfileId": command.profile, "scheduleUpdate": update}
            return (WireCall("UpdateDynamicSchedule", payload),)
        case _:
            return v2.encode(command, Version.V21)


def apply_setpoint(command: ApplySetpoint) -> WireCall:
    """CentralSetpoint within a window. Also for >= 0: "no discharge" is said, never inferred (V2G-11)."""
    profile = v2.bounded_profile(command, RateUnit.W, setpoint_period(command.setpoint_w))
    return v2.set_profile(command.evse.evse, profile | OFFLINE)


def apply_dynamic(command: ApplySetpoint) -> WireCall:
    """A Dynamic profile: one schedule of one period. Its duration is a dead man's handle: without an update it is
    invalid, with one it lives on (K28.FR.13-15); so it carries no validTo."""
    handle = {"duration": seconds_between(command.starts_at, command.expires_at)}
    body = v2.schedule(RateUnit.W, setpoint_period(command.setpoint_w), handle)
    profile = {**v2.profile_head(command), "chargingProfileKind": "Dynamic", **OFFLINE, "chargingSchedule": [body]}
    return v2.set_profile(command.evse.evse, profile)
