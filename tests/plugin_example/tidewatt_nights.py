"""An example of policy plugs in a package of their own: a house lends at night only, and pays more on its own site."""

from datetime import datetime
from decimal import Decimal

from csms.domain.dr import DrEvent
from csms.domain.snapshot import EvseState
from policies.plugs import Available, Plug

NIGHT_HOURS = frozenset({*range(22, 24), *range(6)})
BONUS_PER_KWH = Decimal(7)


def at_night(evse: EvseState, now: datetime) -> Available:
    """By day nothing but a required charge."""
    return Available() if now.hour in NIGHT_HOURS else Available(charge_w=0, discharge_w=0)


def house_bonus(evse: EvseState, event: DrEvent, now: datetime) -> Decimal:
    """The house adds to whatever an event pays."""
    return BONUS_PER_KWH if evse.site == "house" else Decimal(0)


nights = Plug("nights", 1, at_night)
bonus = Plug("house-bonus", 2, house_bonus)
broken = "no plug"
