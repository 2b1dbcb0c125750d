"""What happens in one run of the twin: who comes, with which vehicle, meter and conditions, and what is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from csms.domain.conditions import Conditions
from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, SiteId
from csms.domain.people import Vehicle
from csms.domain.snapshot import Site
from csms.domain.station import Ratings
from csms.domain.tariff import PriceSeries

START = datetime(2026, 7, 1, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """A real vehicle when it arrives. Powers are AC magnitudes; shares are of the capacity.

    It takes its full power up to ``taper_from``, then less and less, down to ``taper_to`` of it when it is full. It
    gives nothing below ``empty_share``.
    """

    capacity_wh: float
    energy_wh: float
    max_charge_w: float = 7360.0
    max_discharge_w: float = 0.0
    charge_efficiency: float = 0.9
    discharge_efficiency: float = 0.9
    taper_from: float = 0.97
    taper_to: float = 0.2
    empty_share: float = 0.05


class PowerTold(StrEnum):
    """How a station tells its power."""

    POWER = "power"
    CURRENT = "current"
    """Current and voltage only."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSpec:
    """A station's meter. ``step_wh``: of its registers. ``keeps``: samples of an offline spell are sent afterwards."""

    step_wh: float = 1.0
    interval_s: int = 60
    tells_soc: bool = True
    power: PowerTold = PowerTold.POWER
    keeps: bool = True
    offset_wh: float = 0.0


class Answer(StrEnum):
    """What the driver says to the question."""

    YES = "yes"
    NO = "no"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One plug-in at an EVSE of its own, in seconds since the start. ``record``: what the server knows of the vehicle.

    ``offline``: spells [from, to) without a connection. ``latency_s``: from the decision to the changed power.
    """

    car: Car
    record: Vehicle
    meter: MeterSpec = MeterSpec()
    ratings: Ratings = Ratings()
    site: SiteId = SiteId("site")
    arrives_s: int = 0
    leaves_s: int
    answer: Answer = Answer.YES
    answers_after_s: int = 30
    conditions: Conditions = Conditions()
    stated_soc_percent: float | None = None
    offline: tuple[tuple[int, int], ...] = ()
    latency_s: int = 5
    can_discharge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run of ``seconds`` from ``start``; ``tick_s``: between two decisions."""

    seconds: int
    visits: tuple[Visit, ...]
    sites: tuple[Site, ...]
    prices: Mapping[AreaId, PriceSeries]
    events: tuple[DrEvent, ...] = ()
    start: datetime = START
    tick_s: int = 30
    horizon_s: int = 180
    interval_s: int = 1800
