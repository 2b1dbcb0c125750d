"""What the control shows to the outside: frozen pictures of live state and reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointState
from csms.domain.dr import DrEvent
from csms.domain.ids import EvseRef
from csms.domain.live import StoredStatus
from csms.domain.people import User, Vehicle
from csms.domain.permission import PlugIn
from csms.domain.station import BootState, Evse, ProbeState, SetpointDriver, Station, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseView:
    """One EVSE now. ``power_w``: metered net power, + into the vehicle; None = not metered."""

    evse: Evse
    statuses: tuple[StoredStatus, ...]
    power_w: int | None
    soc_percent: float | None
    plug_in: PlugIn | None
    driver: SetpointDriver
    probe: ProbeState
    level: str
    setpoint_w: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StationView:
    """One station now. ``version`` is that of the live connection, else of the last one."""

    station: Station
    online: bool
    version: Version | None
    boot_state: BootState
    last_heard_at: datetime | None
    evses: tuple[EvseView, ...]
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverState:
    """What a user's terminal shows. Prices per kWh in ``currency``; ``sell_per_kwh``: what discharging earns now."""

    plug_in: PlugIn | None
    station_name: str | None
    power_w: int | None
    soc_percent: float | None
    setpoint_w: int | None
    reasons: tuple[Reason, ...]
    price_per_kwh: Decimal | None
    sell_per_kwh: Decimal | None
    currency: str
    event_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new driver: ``terminal_token`` is shown once, only its hash is kept."""

    user: User
    vehicle: Vehicle
    terminal_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalReport:
    """One market interval (or the part of it within the event). Energies in Wh in the event's direction.

    ``within_wh``: the part of it that was allotted, which is paid. ``shortfall_wh``: requested less that.
    """

    start: datetime
    end: datetime
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    quality: str
    within_wh: int = 0
    shortfall_wh: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseReport:
    """One EVSE in a DR event: its newest setpoint in the event and what its meter shows for the event so far."""

    evse: EvseRef
    desired_w: int
    acknowledged_w: int | None
    observed_w: int | None
    counterfactual_w: int
    delivered_wh: int
    state: SetpointState
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrReport:
    """Requested, allotted and metered; energies as in ``IntervalReport``. ``achievement`` = delivered / requested so
    far, 0 before the start. ``quality``: the worst of its parts."""

    event: DrEvent
    capacity_w: int
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    achievement: float
    intervals: tuple[IntervalReport, ...]
    evses: tuple[EvseReport, ...]
    within_wh: int = 0
    shortfall_wh: int = 0
    quality: str = "missing"
