"""What a driver's terminal shows."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from csms.control.permission.matching import Matching
from csms.control.state.events import Events
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive
from csms.control.state.prices import Prices
from csms.domain.decision import Reason
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, EvseRef, SiteId, UserId
from csms.domain.permission import PlugIn, StartFailure
from csms.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverState:
    """What a user's terminal shows. Prices per kWh in ``currency``; ``sell_per_kwh``: what discharging earns now.

    ``taken_over``: where somebody else is asked of the plug-in that was this user's."""

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
    start_failed: StartFailure | None
    taken_over: EvseRef | None


def driver_state(  # noqa: PLR0913  all that is shown
    evse: EvseLive | None,
    tariff: Decimal | None,
    down: DrEvent | None,
    currency: str,
    now: datetime,
    *,
    event_active: bool,
    taken_over: EvseRef | None,
) -> DriverState:
    """What a user's terminal shows; ``down``: the downward event that pays now, if one runs."""
    setpoint = evse.told.setpoint if evse else None
    sell = None if tariff is None else (down.unit_price(tariff) if down else tariff)
    if setpoint and down and setpoint.event == down.id and setpoint.price_per_kwh is not None:
        sell = setpoint.price_per_kwh  # with what is added for this user, as it will be paid
    return DriverState(
        plug_in=evse.plug_in if evse else None,
        station_name=str(evse.ref.station) if evse else None,
        power_w=evse.power_at(now) if evse else None,
        soc_percent=evse.soc_percent if evse else None,
        setpoint_w=setpoint.desired_w if setpoint else None,
        reasons=setpoint.reasons if setpoint else (),
        price_per_kwh=tariff,
        sell_per_kwh=sell,
        currency=currency,
        event_active=event_active,
        start_failed=evse.answered.start_failed if evse and evse.answered else None,
        taken_over=taken_over,
    )


class DriverView:
    """What each user's terminal shows, from live state, events and prices."""

    def __init__(self, ground: Ground, events: Events, prices: Prices, settings: Settings, matching: Matching) -> None:
        self._ground = ground
        self._matching = matching
        self._events = events
        self._prices = prices
        self._areas = {SiteId(site.id): AreaId(site.area) for site in settings.site}
        self._currency = settings.settlement.currency

    def of(self, user: UserId) -> DriverState:
        """What this user's terminal shows now; prices and events are those of the area where the vehicle is."""
        evse, now = self._ground.live.of_user(user), self._ground.clock.now()
        area = self._areas.get(evse.evse.site, AreaId("default")) if evse else AreaId("default")
        tariff = self._prices.now(area) if evse else None
        active = [event for event in self._events.open() if event.is_active(now) and event.covers(area)]
        down = next((event for event in active if event.direction is Direction.DOWN), None)
        return driver_state(
            evse,
            tariff,
            down,
            self._currency,
            now,
            event_active=bool(active),
            taken_over=self._matching.taken_over(user),
        )
