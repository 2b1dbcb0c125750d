"""Pictures of live state and of DR events for the outside."""

from collections.abc import Mapping
from decimal import Decimal

from csms.control.state.live import EvseLive, StationLive
from csms.control.views import DriverState, EvseView, StationView
from csms.domain.dr import DrEvent


def station_view(live: StationLive, counters: Mapping[str, int]) -> StationView:
    """One station now."""
    return StationView(
        station=live.station,
        online=live.version is not None,
        version=live.version or live.station.version,
        boot_state=live.station.boot_state,
        last_heard_at=live.last_heard_at,
        evses=tuple(evse_view(live, evse) for _, evse in sorted(live.evses.items())),
        counters=counters,
    )


def evse_view(station: StationLive, evse: EvseLive) -> EvseView:
    """One EVSE now."""
    return EvseView(
        evse=evse.evse,
        statuses=tuple(status for _, status in sorted(evse.statuses.items())),
        power_w=evse.power_w,
        soc_percent=evse.soc_percent,
        plug_in=evse.plug_in,
        driver=station.driver_of(evse),
        probe=evse.probe_state,
        level=evse.compliance.level.value,
        setpoint_w=evse.setpoint.desired_w if evse.setpoint else None,
    )


def driver_state(
    evse: EvseLive | None, tariff: Decimal | None, down: DrEvent | None, currency: str, *, event_active: bool
) -> DriverState:
    """What a user's terminal shows; ``down``: the downward event that pays now, if one runs."""
    setpoint = evse.setpoint if evse else None
    sell = None if tariff is None else (down.unit_price(tariff) if down else tariff)
    return DriverState(
        plug_in=evse.plug_in if evse else None,
        station_name=str(evse.ref.station) if evse else None,
        power_w=evse.power_w if evse else None,
        soc_percent=evse.soc_percent if evse else None,
        setpoint_w=setpoint.desired_w if setpoint else None,
        reasons=setpoint.reasons if setpoint else (),
        price_per_kwh=tariff,
        sell_per_kwh=sell,
        currency=currency,
        event_active=event_active,
    )
