"""Everything a decision is made from, as one value. Requirement: same snapshot, same decision (design §4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, SiteId, UserId
from csms.domain.station import Ratings
from csms.domain.tariff import PriceSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A node of the tree of limits: the net power of all EVSEs below it stays in [-export_limit_w, import_limit_w]."""

    id: SiteId
    parent: SiteId | None = None
    area: AreaId = AreaId("default")
    import_limit_w: int
    export_limit_w: int = 0


class Use(StrEnum):
    """What may be done with the vehicle at an EVSE now."""

    IDLE = "idle"
    """No vehicle, or no transaction: nothing flows."""
    HELD = "held"
    """The user has not answered yet: 0 W."""
    NOTHING = "nothing"
    """Refused or unanswered, and the host gives nothing then: 0 W."""
    PLAIN = "plain"
    """Plain charging, never a resource (refused, unanswered, or outside the permitted time slots)."""
    RESOURCE = "resource"
    """Permitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """A vehicle's battery now. ``energy_wh`` is what is in it, ``error_wh`` how much less it may be (V2G-33).

    Powers are the vehicle's own limits at the AC side, magnitudes. ``is_told`` False: no state of charge was told, or
    none that is fresh; then ``energy_wh`` is the least that can be in it, from what was metered since the plug-in.
    """

    capacity_wh: int
    energy_wh: float
    error_wh: float = 0.0
    max_charge_w: int
    max_discharge_w: int
    charge_efficiency: float = 0.9
    discharge_efficiency: float = 0.9
    is_told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The user's conditions for this plug-in, resolved to instants and energies. See domain.conditions.

    ``required_wh`` is battery content; ``required_added_wh`` is energy at the AC side since the plug-in. Where both
    are given both hold. ``permitted_until``: the end of the permitted time slot, None = open.
    """

    min_sell_per_kwh: Decimal | None = None
    max_buy_per_kwh: Decimal | None = None
    min_incentive_per_kwh: Decimal | None = None
    required_wh: float = 0.0
    required_added_wh: float = 0.0
    departure_at: datetime | None = None
    entrust: bool = False
    charge: bool = True
    discharge: bool = True
    permitted_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """What an EVSE was asked for a DR event and was then seen to do, W, + into the vehicle. ``also``: the other events
    that share it."""

    event: DrEventId
    asked_w: int
    given_w: int
    also: tuple[DrEventId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseState:
    """One EVSE as the decision sees it.

    ``battery`` None = state of charge unknown: charging only. ``can_discharge`` = driver there, probe passed, not
    degraded. ``can_pause`` False: 0 W would end the transaction, so the least power while in use is the ratings'
    ``min_charge_w``. ``uncontrolled_w``: it does not follow setpoints; plan with this power. ``drawn_w``: what the
    vehicle took of a limit that left it more, outside any DR event; None = all that it was given, or not known.
    ``served``: of the setpoint in force, once it was metered. ``added_wh``: energy since the plug-in by the register,
    import less export, AC side. ``reserved_w``: the most it may draw whatever it is told, as it is out of reach or does
    not follow; the fuses are kept free for it, plugged in or not. ``user``: whose plug-in it is, None = not known yet;
    an adder may give more to some (P11).
    """

    ref: EvseRef
    site: SiteId
    ratings: Ratings
    use: Use = Use.IDLE
    plug_in: PlugInId | None = None
    user: UserId | None = None
    battery: Battery | None = None
    terms: Terms = Terms()
    can_discharge: bool = False
    can_pause: bool = True
    uncontrolled_w: int | None = None
    observed_w: int | None = None
    drawn_w: int | None = None
    served: Served | None = None
    added_wh: float = 0.0
    reserved_w: int = 0
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtual:
    """One EVSE in the world without the DR events that run now: the counterfactual, rolled forward to ``at``.

    It begins as the real state when the first event in the EVSE's area starts (``frozen_at``), or when the vehicle is
    plugged in after that, and follows the plan without events from then on. ``energy_wh``: battery content as in
    ``Battery``; ``added_wh``: at the AC side since the plug-in; ``power_w``: what would flow from ``at`` on.
    """

    evse: EvseRef
    plug_in: PlugInId
    frozen_at: datetime
    at: datetime
    energy_wh: float
    added_wh: float
    power_w: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """``horizon_s``: how long a setpoint decided now may stay in force with nobody to change it (its validity).

    ``virtual``: the counterfactual as the last decision left it; empty while no event runs.
    """

    now: datetime
    horizon_s: int
    sites: tuple[Site, ...]
    evses: tuple[EvseState, ...]
    events: tuple[DrEvent, ...] = ()
    prices: Mapping[AreaId, PriceSeries]
    virtual: Mapping[EvseRef, Virtual] = field(default_factory=dict)
