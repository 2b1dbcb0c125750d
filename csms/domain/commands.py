"""What a station is told to do, and how it ended. Handlers spell commands in the station's OCPP version.

Power is in W at the AC connection point, + into the vehicle. Conversions of sign, unit and phases are the encoder's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from csms.domain.facts import IdToken
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.station import RateUnit, Ratings, SetpointDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplySetpoint:
    """Hold one EVSE at a power until ``expires_at`` (V2G-1, V2G-5).

    A setpoint >= 0 is sent as a limit by drivers without setpoints. A negative one needs a driver that can discharge.
    ``of``: the setpoint that this tells, where it is one that is stored.
    """

    evse: EvseRef
    transaction: TransactionId | None
    setpoint_w: int
    starts_at: datetime
    expires_at: datetime
    driver: SetpointDriver
    rate_unit: RateUnit
    ratings: Ratings
    profile: int
    stack_level: int
    of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSetpoint:
    """2.1 UpdateDynamicSchedule: a new setpoint for an installed Dynamic profile (K28)."""

    evse: EvseRef
    profile: int
    setpoint_w: int
    of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallFailsafeLimit:
    """The failsafe limit: TxDefaultProfile, stack 0, charging only, no end (V2G-6). EVSE 0 = all of the station."""

    evse: EvseRef
    limit_w: int
    rate_unit: RateUnit
    ratings: Ratings
    profile: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearProfile:
    """Remove one installed profile."""

    evse: EvseRef
    profile: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSchedule:
    """GetCompositeSchedule: what the station thinks it follows. Accepted.details: {"periods": [[start_s, w], …]}."""

    evse: EvseRef
    duration_s: int
    ratings: Ratings


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTransaction:
    """RemoteStartTransaction / RequestStartTransaction.

    ``limit``: in force from the first watt on: nothing flows under the floor before the first setpoint (P4). Not
    negative, and of no transaction yet. None = the floor holds.
    """

    evse: EvseRef
    token: IdToken
    remote_start_id: int
    limit: ApplySetpoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTransaction:
    """RemoteStopTransaction / RequestStopTransaction."""

    station: StationId
    transaction: TransactionId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTransaction:
    """2.x GetTransactionStatus (E14). Accepted.details: {"ongoing": bool or None = not said, "queued": bool}."""

    station: StationId
    transaction: TransactionId


class TriggerKind(StrEnum):
    """What TriggerMessage asks for."""

    BOOT = "BootNotification"
    STATUS = "StatusNotification"
    METER = "MeterValues"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """TriggerMessage; ``evse`` 0 asks the whole station."""

    evse: EvseRef
    kind: TriggerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfiguration:
    """What a station has set of all that ``Configure`` may change (field lesson 22: read first).

    Accepted.details: {"values": {key: value}, "fixed": [keys that it lacks, or lets nobody write]}.
    """

    station: StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """Bring metering to what settlement needs (V2G-25, reference §4).

    Encodes to several calls: one key a time, short values (field lesson 22); none for what ``known`` (key to value, as
    ``ReadConfiguration`` gave it) serves as it is, nor for a key to ``avoid``. ``starts_at_cable``: a 2.x transaction
    is to begin with the cable; else its start point is the owner's.
    """

    station: StationId
    sample_interval_s: int
    known: Mapping[str, str] = field(default_factory=dict)
    avoid: frozenset[str] = frozenset()
    starts_at_cable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Reset; ``hard`` = Hard (1.6) or Immediate (2.x), else Soft or OnIdle."""

    station: StationId
    hard: bool = False


Command = (
    ApplySetpoint
    | UpdateSetpoint
    | InstallFailsafeLimit
    | ClearProfile
    | ReadSchedule
    | StartTransaction
    | StopTransaction
    | ReadTransaction
    | Trigger
    | ReadConfiguration
    | Configure
    | Reset
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The station said yes. That it did it is shown by its meter only (V2G-12)."""

    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The station said no; ``reason`` in its own words."""

    reason: str


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The station answered CALLERROR."""

    code: str
    description: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No answer in time: whether it was done is unknown until read back."""


@dataclass(frozen=True, slots=True)
class Offline:
    """Not connected, or the socket was lost before the answer."""


Outcome = Accepted | Rejected | CallFailed | TimedOut | Offline


@dataclass(frozen=True, slots=True)
class CallResult:
    """A raw answer. ``fault``: how it does not fit its schema, "" = it does; it may be of use all the same."""

    payload: Mapping[str, Any]
    fault: str = ""


CallOutcome = CallResult | CallFailed | TimedOut | Offline


def station_of(command: Command) -> StationId:
    """The station a command goes to."""
    match command:
        case StopTransaction() | ReadTransaction() | ReadConfiguration() | Configure() | Reset():
            return command.station
        case _:
            return command.evse.station
