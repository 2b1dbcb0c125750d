"""What a policy module may bring: the shapes of the plugs, and the set of them that decides. Design §4.

A plug is a pure function with a name and a version. Whatever it returns is bounded where it is used, and the decision
that follows from it is checked by ``constraints.violations`` like any other: no plug reaches past a user's condition,
a fuse or a rating.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, UserId
from csms.domain.snapshot import EvseState, Snapshot, Virtual
from policies.pricing import Market


class Objective(Protocol):
    """Cost per kWh of a vehicle's two steps for an event: DOWN stop charging, discharge; UP charge, nothing. Cheap
    steps are used first; the second is never taken before the first."""

    def __call__(
        self, evse: EvseState, market: Market, event: DrEvent, price_per_kwh: Decimal
    ) -> tuple[float, float]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """Bounds of an EVSE's use now, W, magnitudes; None = as far as it can. A required charge stands above them (P7)."""

    charge_w: int | None = None
    discharge_w: int | None = None


class Availability(Protocol):
    """When and how much an EVSE may be used: lending windows, daily energy."""

    def __call__(self, evse: EvseState, now: datetime) -> Available: ...


class Adder(Protocol):
    """More incentive per kWh, >= 0, on top of an event's price: by user, site, event and time. An upward event gets
    that much cheaper, down to nothing."""

    def __call__(self, evse: EvseState, event: DrEvent, now: datetime) -> Decimal: ...


class Baseline(Protocol):
    """The world without the events that are active in these areas: each plug-in's state in it at ``snapshot.now``
    (``power_w`` is set by the decision)."""

    def __call__(self, snapshot: Snapshot, areas: frozenset[AreaId]) -> Mapping[EvseRef, Virtual]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledInterval:
    """What one plug-in did for one event at one price in one market interval. ``moved_wh``: metered, at most what was
    commanded, > 0: stopped or added charging, or discharge."""

    evse: EvseRef
    plug_in: PlugInId
    user: UserId
    event: DrEventId | None
    start: datetime
    end: datetime
    moved_wh: int
    price_per_kwh: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A benefit that follows from a settled interval: a whole amount, >= 0, of "points", "coupon:<kind>" or the minor
    units of the currency. ``user`` None = the one of the interval; no other gets anything for it."""

    unit: str
    amount: int
    user: UserId | None = None


class Benefits(Protocol):
    """What a settled interval earns besides its price; see ``policies.benefits`` for what is done with it. The same
    interval earns the same each time: it is asked again when a late reading comes."""

    def __call__(self, settled: SettledInterval) -> tuple[Grant, ...]: ...


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Plug(Generic[T_co]):
    """One plug under its name; ``version`` is stored with each decision and entry."""

    name: str
    version: int
    run: T_co

    @property
    def id(self) -> str:
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The plugs that decide. Several availabilities: the least of them; several adders: their sum."""

    objective: Plug[Objective]
    baseline: Plug[Baseline]
    availability: tuple[Plug[Availability], ...] = ()
    adders: tuple[Plug[Adder], ...] = ()
    benefits: tuple[Plug[Benefits], ...] = ()

    @property
    def stated(self) -> str:
        """Names and versions, as a decision carries them."""
        kinds = {
            "objective": (self.objective,),
            "baseline": (self.baseline,),
            "availability": self.availability,
            "adders": self.adders,
            "benefits": self.benefits,
        }
        return " ".join(f"{kind}={'+'.join(plug.id for plug in plugs)}" for kind, plugs in kinds.items() if plugs)

    def available(self, evse: EvseState, now: datetime) -> Available:
        """The least that the plugs leave."""
        found = [plug.run(evse, now) for plug in self.availability]
        charge = [max(0, each.charge_w) for each in found if each.charge_w is not None]
        discharge = [max(0, each.discharge_w) for each in found if each.discharge_w is not None]
        return Available(charge_w=min(charge, default=None), discharge_w=min(discharge, default=None))

    def added_per_kwh(self, evse: EvseState, event: DrEvent, now: datetime) -> Decimal:
        """The incentive on top of the event's price. No plug takes from what an event has promised."""
        found = (plug.run(evse, event, now) for plug in self.adders)
        return sum((added for added in found if added.is_finite() and added > 0), Decimal(0))
