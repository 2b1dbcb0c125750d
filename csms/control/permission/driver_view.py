"""What a driver's terminal shows."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count

from csms.control.permission.matching import Matching
from csms.control.state.events import Events
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive
from csms.control.state.prices import Prices
from csms.domain.decision import Reason, parts_within
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import AreaId, EvseRef, SiteId, UserId
from csms.domain.permission import PermissionState, PlugIn, StartFailure
from csms.settings import Settings

_SHOWN = Decimal("0.0001")
_IN_FORCE = frozenset({SetpointState.ACKNOWLEDGED, SetpointState.OBSERVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugInState:
    """One plug-in as its user sees it. Prices per kWh in the currency of the settlement.

    ``sell_per_kwh``: what a discharge that was ordered is paid now, by all events that it is for; None = none was
    ordered, or its station has not taken it. ``event_active``: an event runs in the area where the vehicle is."""

    plug_in: PlugIn
    station_name: str
    power_w: int | None
    soc_percent: float | None
    setpoint_w: int | None
    reasons: tuple[Reason, ...]
    price_per_kwh: Decimal
    sell_per_kwh: Decimal | None
    event_active: bool
    start_failed: StartFailure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverState:
    """What a user's terminal shows. ``plug_ins``: where their vehicles are, an open question before all else, then the
    newest. ``event_active``: in the area of the first one, or where none is plugged in, in the default area.

    ``taken_over``: where somebody else is asked of the plug-in that was this user's."""

    plug_ins: tuple[PlugInState, ...]
    currency: str
    event_active: bool
    taken_over: EvseRef | None

    @property
    def shown(self) -> PlugInState | None:
        """The one that comes first."""
        return self.plug_ins[0] if self.plug_ins else None


def sells_at(setpoint: SetpointRecord | None, tariff: Decimal, now: datetime) -> Decimal | None:
    """What a kWh that goes out is paid by a setpoint. Several events are weighed by their parts of the discharge, as
    each is paid for its own."""
    if setpoint is None or setpoint.desired_w >= 0 or setpoint.expires_at <= now or setpoint.state not in _IN_FORCE:
        return None
    if not setpoint.parts:
        return tariff if setpoint.price_per_kwh is None else setpoint.price_per_kwh
    out = parts_within(tuple(reversed(setpoint.parts)), -setpoint.desired_w)  # the last watts are the discharge
    paid = sum((part.price_per_kwh * part.power_w for part in out), Decimal(0))
    return (paid / sum(part.power_w for part in out)).quantize(_SHOWN)


class DriverView:
    """What each user's terminal shows, from live state, events and prices."""

    def __init__(self, ground: Ground, events: Events, prices: Prices, settings: Settings, matching: Matching) -> None:
        self._ground = ground
        self._matching = matching
        self._events = events
        self._prices = prices
        self._areas = {SiteId(site.id): AreaId(site.area) for site in settings.site}
        self._currency = settings.settlement.currency
        self._numbers = count(round(ground.clock.now().timestamp() * 1_000_000))

    def next_number(self) -> int:
        """Of a state that is put together from now on: one with a lower number, however late it reaches a terminal, is
        of before. A server that is started later goes on above: it counts from its microsecond."""
        return next(self._numbers)

    def of(self, user: UserId) -> DriverState:
        """What this user's terminal shows now."""
        places = [
            self._plug_in(evse, evse.plug_in)
            for evse in self._ground.live.all_of_user(user)
            if evse.plug_in is not None
        ]
        places.sort(key=lambda place: place.plug_in.plugged_at, reverse=True)
        places.sort(key=lambda place: place.plug_in.permission.state is not PermissionState.ASKED)
        return DriverState(
            plug_ins=tuple(places),
            currency=self._currency,
            event_active=places[0].event_active if places else self._is_active(AreaId("default")),
            taken_over=self._matching.taken_over(user),
        )

    def _plug_in(self, evse: EvseLive, plug_in: PlugIn) -> PlugInState:
        """Prices and events are those of the area where the vehicle is."""
        now, setpoint = self._ground.clock.now(), evse.told.setpoint
        area = self._areas.get(evse.evse.site, AreaId("default"))
        tariff = self._prices.now(area)
        return PlugInState(
            plug_in=plug_in,
            station_name=str(evse.ref.station),
            power_w=evse.power_at(now),
            soc_percent=evse.soc_percent,
            setpoint_w=setpoint.desired_w if setpoint else None,
            reasons=setpoint.reasons if setpoint else (),
            price_per_kwh=tariff,
            sell_per_kwh=sells_at(setpoint, tariff, now),
            event_active=self._is_active(area),
            start_failed=evse.answered.start_failed if evse.answered else None,
        )

    def _is_active(self, area: AreaId) -> bool:
        now = self._ground.clock.now()
        return any(event.is_active(now) and event.covers(area) for event in self._events.open())
