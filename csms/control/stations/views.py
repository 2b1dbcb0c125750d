"""Pictures of stations for the outside."""

from dataclasses import dataclass
from datetime import datetime

from csms.control.state.live import EvseLive, StationLive
from csms.domain.live import StoredStatus
from csms.domain.permission import PlugIn, StartFailure
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
    start_failed: StartFailure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StationView:
    """One station now. ``version`` is that of the live connection, else of the last one."""

    station: Station
    online: bool
    version: Version | None
    boot_state: BootState
    last_heard_at: datetime | None
    evses: tuple[EvseView, ...]


def station_view(live: StationLive, now: datetime) -> StationView:
    """One station now."""
    return StationView(
        station=live.station,
        online=live.version is not None,
        version=live.version or live.station.version,
        boot_state=live.station.boot_state,
        last_heard_at=live.last_heard_at,
        evses=tuple(evse_view(live, evse, now) for _, evse in sorted(live.evses.items())),
    )


def evse_view(station: StationLive, evse: EvseLive, now: datetime) -> EvseView:
    """One EVSE now."""
    return EvseView(
        evse=evse.evse,
        statuses=tuple(status for _, status in sorted(evse.cable.statuses.items())),
        power_w=evse.power_at(now),
        soc_percent=evse.soc_percent,
        plug_in=evse.plug_in,
        driver=station.driver_of(evse),
        probe=evse.told.probe_state,
        level=evse.told.compliance.level.value,
        setpoint_w=evse.told.setpoint.desired_w if evse.told.setpoint else None,
        start_failed=evse.answered.start_failed if evse.answered else None,
    )
