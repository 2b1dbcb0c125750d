"""One user's page as JSON: what is on now, from live state, and what is kept, from the store."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends

from csms.control.permission.driver_view import DriverState, DriverView, PlugInState
from csms.domain.conditions import Conditions, Pattern
from csms.domain.ids import UserId, VehicleId
from csms.domain.ledger import Balance
from csms.domain.people import User
from csms.domain.permission import Permission, PlugIn
from csms.domain.ports import Clock
from csms.edge.http.patterns import conditions_of, offered
from csms.edge.http.rooms import ClockDep, DriverViewDep, SettingsDep, StoreDep
from csms.edge.http.shapes import conditions_json, instant, pattern_json, vehicle_json
from csms.store import Store, reads

BALANCE_SPAN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class DriverPage:
    """What a driver's page is put together from."""

    store: Store
    clock: Clock
    view: DriverView
    currency: str

    async def state(self, user: User) -> dict[str, Any]:
        """The body of GET /d/api/state and of every `state` event. ``number``: one that is lower is older."""
        now, number = self.clock.now(), self.view.next_number()
        own = tuple(await self.store.read(lambda conn: reads.patterns(conn, user.id)))
        vehicles = await self.store.read(lambda conn: reads.vehicles(conn, user.id))
        balance = await balance_of(self.store, self.currency, user.id, start=now - BALANCE_SPAN, end=now)
        return {
            "number": number,
            **_state_json(user, now, own, balance, self.view.of(user.id)),
            "vehicles": [vehicle_json(vehicle, user.id) for vehicle in vehicles],
        }


async def driver_page(store: StoreDep, clock: ClockDep, view: DriverViewDep, settings: SettingsDep) -> DriverPage:
    """The dependency."""
    return DriverPage(store, clock, view, settings.settlement.currency)


DriverPageDep = Annotated[DriverPage, Depends(driver_page)]


def _state_json(
    user: User, now: datetime, own: tuple[Pattern, ...], balance: Balance, live: DriverState
) -> dict[str, Any]:
    return {
        "at": instant(now),
        "user": {"id": user.id, "name": user.name, "language": user.language},
        "plug_in": _plug_in_json(live.shown) if live.shown else None,
        "plug_ins": [_plug_in_json(each) for each in live.plug_ins],
        "event_active": live.event_active,
        "taken_over": {"station": live.taken_over.station, "evse": live.taken_over.evse} if live.taken_over else None,
        "conditions": conditions_json(conditions_of(own) or Conditions()),
        "conditions_saved": conditions_of(own) is not None,
        "patterns": [pattern_json(pattern) for pattern in offered(own)],
        "balance": balance_json(balance),
        "currency": live.currency,
    }


def _plug_in_json(live: PlugInState) -> dict[str, Any]:
    return {
        **plug_in_json(live.plug_in),
        "station_name": live.station_name,
        "power_w": live.power_w,
        "setpoint_w": live.setpoint_w,
        "soc_percent": live.soc_percent,
        "reasons": list(live.reasons),
        "start_failed": live.start_failed,
        "price_per_kwh": _price(live.price_per_kwh),
        "sell_per_kwh": _price(live.sell_per_kwh),
        "event_active": live.event_active,
    }


def plug_in_json(plug_in: PlugIn) -> dict[str, Any]:
    """A plug-in with its permission."""
    return {
        "id": plug_in.id,
        "station": plug_in.evse.station,
        "evse": plug_in.evse.evse,
        "plugged_at": instant(plug_in.plugged_at),
        "unplugged_at": instant(plug_in.unplugged_at),
        "vehicle": plug_in.vehicle,
        "stated_soc_percent": plug_in.stated_soc_percent,
        "participating_since": instant(plug_in.participating_since),
        "permission": _permission_json(plug_in.permission),
    }


def _permission_json(permission: Permission) -> dict[str, Any]:
    return {
        "state": permission.state,
        "asked_at": instant(permission.asked_at),
        "expires_at": instant(permission.expires_at),
        "answered_at": instant(permission.answered_at),
        "channel": permission.channel,
        "text_version": permission.text_version,
        "departure_at": instant(permission.departure_at),
        "pattern": permission.pattern,
        "revised_at": instant(permission.revised_at),
        "conditions": conditions_json(permission.conditions) if permission.conditions else None,
    }


async def balance_of(
    store: Store,
    currency: str,
    user: UserId,
    vehicle: VehicleId | None = None,
    *,
    start: datetime | None,
    end: datetime | None,
) -> Balance:
    """A user's sums in a currency; absent bounds are open."""
    return await store.read(lambda conn: reads.balance(conn, user, vehicle, start, end, currency=currency))


def balance_json(balance: Balance) -> dict[str, Any]:
    """Sums over a period, in Wh and minor units of the currency."""
    return {
        "user": balance.user,
        "vehicle": balance.vehicle,
        "start": instant(balance.start),
        "end": instant(balance.end),
        "currency": balance.currency,
        "sold_wh": balance.sold_wh,
        "earned_minor": balance.earned_minor,
        "bought_wh": balance.bought_wh,
        "spent_minor": balance.spent_minor,
        "rewarded_wh": balance.rewarded_wh,
        "rewarded_minor": balance.rewarded_minor,
        "amount_minor": balance.amount_minor,
    }


def _price(value: object) -> str | None:
    return None if value is None else f"{value:f}"


def default_period(now: datetime, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """The last 30 days where nothing else was asked for."""
    end = end or now
    return start or end - BALANCE_SPAN, end
