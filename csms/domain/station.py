"""A station, its EVSEs and what is known of their ways. OCPP 1.6 §7, 2.0.1 part 2 §3; G4, V2G-21."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from csms.domain.ids import EvseRef, SiteId, StationId, UserId


class Version(StrEnum):
    """OCPP version of one connection; the value is the WebSocket subprotocol."""

    V16 = "ocpp1.6"
    V201 = "ocpp2.0.1"
    V21 = "ocpp2.1"

    @property
    def number(self) -> str:
        return self.value.removeprefix("ocpp")


class BootState(StrEnum):
    """Registration of a station. NEVER = provisioned here, but no BootNotification yet."""

    NEVER = "never"
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class ConnectorStatus(StrEnum):
    """State of one connector: the union of 1.6's (§7.7) and 2.x's names."""

    AVAILABLE = "available"
    PREPARING = "preparing"
    OCCUPIED = "occupied"
    CHARGING = "charging"
    SUSPENDED_EV = "suspended_ev"
    SUSPENDED_EVSE = "suspended_evse"
    FINISHING = "finishing"
    RESERVED = "reserved"
    UNAVAILABLE = "unavailable"
    FAULTED = "faulted"

    @property
    def is_plugged(self) -> bool:
        """A cable is in. FINISHING too: the vehicle is still there."""
        return self in _PLUGGED


_PLUGGED = frozenset(
    {
        ConnectorStatus.PREPARING,
        ConnectorStatus.OCCUPIED,
        ConnectorStatus.CHARGING,
        ConnectorStatus.SUSPENDED_EV,
        ConnectorStatus.SUSPENDED_EVSE,
        ConnectorStatus.FINISHING,
    }
)


class Current(StrEnum):
    """Kind of current an EVSE delivers."""

    AC = "AC"
    DC = "DC"


class SetpointDriver(StrEnum):
    """How a station is told a power (V2G-2). CHARGE_ONLY sends limits >= 0 and never discharges."""

    CHARGE_ONLY = "charge_only"
    OCPP21_SETPOINT = "ocpp21_setpoint"
    OCPP21_DYNAMIC = "ocpp21_dynamic"
    NEGATIVE_LIMIT = "negative_limit"

    @property
    def can_discharge(self) -> bool:
        return self is not SetpointDriver.CHARGE_ONLY


class HoldMethod(StrEnum):
    """How energy is held back until the user has answered (reference v2g-over-ocpp §2.4)."""

    NONE_START = "none_start"
    """Start nothing: the station waits in Preparing (1.6) until RemoteStart."""
    START_ZERO = "start_zero"
    """Start at once under a 0 W profile; for stations that refuse a late start."""
    UNAUTHORIZED = "unauthorized"
    """2.x with TxStartPoint EVConnected: the transaction exists but is not authorized."""


class RateUnit(StrEnum):
    """Unit of charging schedules a station understands."""

    A = "A"
    W = "W"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """How one vendor's model (and firmware) behaves. The defaults are the safest. V2G-21."""

    name: str = "unknown"
    driver: SetpointDriver = SetpointDriver.CHARGE_ONLY
    hold: HoldMethod = HoldMethod.NONE_START
    rate_unit: RateUnit = RateUnit.W
    stack_level: int = 1
    """Stack level of setpoints; the failsafe limit is always level 0."""
    zero_ends_transaction: bool = False
    """A limit below the minimum ends the transaction (field lesson 24): pause at the minimum instead."""
    assume_version: Version | None = None
    """Version for a connection that offers no subprotocol (Grizzl-E and others)."""
    signed_power: bool = False
    """Discharge is metered as a negative Power.Active.Import instead of Power.Active.Export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """Ratings of one EVSE at its AC connection point.

    ``max_discharge_w`` is a magnitude. ``min_charge_w``: the least power that is not zero (IEC 61851: 6 A a phase).
    """

    current: Current = Current.AC
    phases: int = 1
    voltage_v: int = 230
    max_charge_w: int = 7360
    min_charge_w: int = 1380
    max_discharge_w: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evse:
    """One configured EVSE and where it stands.

    ``on_refusal``, ``on_no_answer``: what its host gives without a permission, "charge" or "nothing"; None = the
    server's setting (P4). ``allowed``: users who may use a private EVSE besides its owner, the station's host.
    ``approved``: False for one that its station showed unasked, until the operator says that it is there.
    """

    ref: EvseRef
    site: SiteId
    ratings: Ratings = Ratings()
    connectors: int = 1
    public: bool = True
    on_refusal: str | None = None
    on_no_answer: str | None = None
    allowed: tuple[UserId, ...] = ()
    approved: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A provisioned station. ``version`` is that of the last connection, None before the first.

    ``quirks``: fields of Quirks as its operator wrote them (F13), ``learnt``: as it has shown them (F11); both in plain
    JSON, and stronger than the registry's record of its model; the operator has the last word.

    ``registration`` is what its next BootNotification is answered: accepted, pending or rejected (scenario 3).
    """

    id: StationId
    site: SiteId
    evses: tuple[Evse, ...]
    host: str | None = None
    version: Version | None = None
    registration: BootState = BootState.ACCEPTED
    boot_state: BootState = BootState.NEVER
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    last_heard_at: datetime | None = None
    quirks: Mapping[str, Any] = field(default_factory=dict)
    learnt: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own_ways(self) -> Mapping[str, Any]:
        """What is known of this one beyond its model."""
        return {**self.learnt, **self.quirks}


class ProbeState(StrEnum):
    """Proof that an EVSE's station discharges when told to (V2G-8)."""

    UNTRIED = "untried"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    UNSAFE = "unsafe"
    """Import rose on a negative value: this model reads negative as unlimited. Never tried again."""
