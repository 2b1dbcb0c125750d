"""An example of policy plugs in a package of their own: a house lends at night only, and pays more on its own site."""

from datetime import datetime
from decimal import Decimal

from csms.domain.dr import DrEvent
from csms.domain.snapshot import EvseState
from policies.plugs import Available, Grant, Plug, SettledInterval

NIGHT_HOURS = frozenset({*range(22, 24), *range(6)})
BONUS_PER_KWH = Decimal(7)
MEMBERS = frozenset({"u-aoi"})


def at_night(evse: EvseState, now: datetime) -> Available:
    """By day nothing but a required charge."""
    return Available() if now.hour in NIGHT_HOURS else Available(charge_w=0, discharge_w=0)


def house_bonus(evse: EvseState, event: DrEvent, now: datetime) -> Decimal:
    """The house adds to whatever an event pays."""
    return BONUS_PER_KWH if evse.site == "house" else Decimal(0)


def member_bonus(evse: EvseState, event: DrEvent, now: datetime) -> Decimal:
    """Members of the house get more wherever they are."""
    return BONUS_PER_KWH if evse.user in MEMBERS else Decimal(0)


def points(settled: SettledInterval) -> tuple[Grant, ...]:
    """A point for each 100 Wh, and a coffee for a kilowatt-hour."""
    coffee = (Grant(unit="coupon:coffee", amount=1),) if settled.moved_wh >= 1000 else ()
    return (Grant(unit="points", amount=settled.moved_wh // 100), *coffee)


nights = Plug("nights", 1, at_night)
bonus = Plug("house-bonus", 2, house_bonus)
member = Plug("member-bonus", 1, member_bonus)
rewards = Plug("house-points", 1, points)
broken = "no plug"
