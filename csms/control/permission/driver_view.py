"""What a driver's terminal shows."""

from dataclasses import dataclass
from decimal import Decimal

from csms.control.state.live import EvseLive
from csms.domain.decision import Reason
from csms.domain.dr import DrEvent
from csms.domain.permission import PlugIn


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


def driver_state(
    evse: EvseLive | None, tariff: Decimal | None, down: DrEvent | None, currency: str, *, event_active: bool
) -> DriverState:
    """What a user's terminal shows; ``down``: the downward event that pays now, if one runs."""
    setpoint = evse.told.setpoint if evse else None
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
