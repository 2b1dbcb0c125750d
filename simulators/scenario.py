"""A scenario file: which stations there are, and who visits them when. Unknown keys and nonsense are refused."""

import random
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.behaviours import BEHAVIOURS
from simulators.models import MODELS, Model

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Range = tuple[NotNegative, NotNegative]
VersionNumber = Literal["1.6", "2.0.1", "2.1"]


class BadScenario(Exception):
    """The scenario cannot be run; the text says where and why."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(_Section):
    """``ocpp_url``: without the station's id, as in ``ws://127.0.0.1:9000/ocpp``."""

    ocpp_url: Annotated[str, Field(pattern=r"^wss?://")]


class Defaults(_Section):
    """What stations have in common. ``time_scale``: simulated seconds per second."""

    password: str | None = None
    sample_interval_s: Positive = 60.0
    interval_fraction: Positive = 1.0
    tick_s: Positive = 1.0
    reconnect_s: Positive = 1.0
    time_scale: Positive = 1.0


class Visit(_Section):
    """One vehicle at one EVSE, from ``arrive_s`` to ``depart_s`` after the start.

    With a ``link`` its driver registers there and answers; with a ``token`` the driver holds a card to the reader.
    """

    arrive_s: NotNegative = 0.0
    depart_s: Positive
    evse: Annotated[int, Field(ge=1)] = 1
    capacity_wh: Positive = 60_000.0
    soc_percent: Percent = 50.0
    max_charge_w: Positive = 7400.0
    max_discharge_w: NotNegative = 0.0
    required_soc_percent: Percent = 60.0
    driver: str = "Driver"
    vehicle: str = "Car"
    link: str | None = None
    answer: Literal["yes", "no", "never"] = "yes"
    answer_after_s: NotNegative = 1.0
    token: str | None = None
    token_after_s: NotNegative = 1.0
    min_sell_per_kwh: str | float | None = None
    max_buy_per_kwh: str | float | None = None
    entrust: bool | None = None
    charge: bool | None = None
    discharge: bool | None = None

    @model_validator(mode="after")
    def _leaves_after_it_came(self) -> Self:
        if self.depart_s <= self.arrive_s:
            raise ValueError("depart_s must be after arrive_s")
        return self


class StationEntry(_Section):
    """One station. ``model`` by name, or by ``version`` and ``discharge``; ``link`` is where its visitors register."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9*_=+|@.-]{1,48}$")]
    password: str | None = None
    version: VersionNumber = "2.1"
    model: str | None = None
    discharge: bool = False
    evses: Annotated[int, Field(ge=1, le=32)] = 1
    phases: Literal[1, 2, 3] = 1
    max_charge_w: Positive = 7360.0
    max_discharge_w: NotNegative | None = None
    ramp_w_per_s: Positive = 2000.0
    behaviours: tuple[str, ...] = ()
    notify_event: bool = False
    configuration: dict[str, str] = {}
    link: str | None = None
    visit: tuple[Visit, ...] = ()

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        if self.model is not None and self.model not in MODELS:
            raise ValueError(f"model {self.model!r} is unknown; known are {', '.join(MODELS)}")
        for name in self.behaviours:
            if name not in BEHAVIOURS:
                raise ValueError(f"behaviour {name!r} is unknown; known are {', '.join(BEHAVIOURS)}")
        if any(visit.evse > self.evses for visit in self.visit):
            raise ValueError("a visit's evse is higher than evses")
        return self

    @property
    def model_entry(self) -> Model:
        return MODELS[self.model or f"Sim {'V2G' if self.discharge else 'AC'} {self.version}"]


class VisitPattern(_Section):
    """Visits drawn by chance (repeatable by the seed): ``visits`` per station between ``from_s`` and ``to_s``."""

    stations: tuple[str, ...] = ()
    """Ids; empty = all."""
    visits: Annotated[int, Field(ge=1, le=100)] = 1
    from_s: NotNegative = 0.0
    to_s: Positive = 600.0
    stay_s: Range = (120.0, 300.0)
    capacity_wh: Range = (40_000.0, 80_000.0)
    soc_percent: Range = (30.0, 80.0)
    required_soc_percent: Percent = 60.0
    yes: Annotated[float, Field(ge=0, le=1)] = 0.8
    no: Annotated[float, Field(ge=0, le=1)] = 0.1
    answer_after_s: Range = (1.0, 5.0)
    token: str | None = None

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.yes + self.no > 1:
            raise ValueError("yes + no must not be more than 1; the rest never answers")
        return self


class Scenario(_Section):
    """The whole file."""

    server: Server
    defaults: Defaults = Defaults()
    station: Annotated[tuple[StationEntry, ...], Field(min_length=1)]
    visit_pattern: tuple[VisitPattern, ...] = ()

    @model_validator(mode="after")
    def _station_ids(self) -> Self:
        ids = [station.id for station in self.station]
        if len(set(ids)) != len(ids):
            raise ValueError("two stations have the same id")
        unknown = {name for pattern in self.visit_pattern for name in pattern.stations} - set(ids)
        if unknown:
            raise ValueError(f"visit_pattern names {min(unknown)}, which is no station")
        return self


def load(path: Path, seed: int = 0) -> Scenario:
    """Read a file and draw its visits. Raises BadScenario with one line."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        scenario = Scenario.model_validate(raw)
    except OSError as error:
        raise BadScenario(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadScenario(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        raise BadScenario(f"{path}: {_first_line(error)}") from error
    return with_drawn_visits(scenario, seed)


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or correct its spelling"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}" if where else reason


def with_drawn_visits(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with the visits of its patterns added; the same seed gives the same visits."""
    stations = tuple(_with_patterns(station, scenario.visit_pattern, seed) for station in scenario.station)
    return scenario.model_copy(update={"station": stations})


def _with_patterns(station: StationEntry, patterns: tuple[VisitPattern, ...], seed: int) -> StationEntry:
    dice = random.Random(f"{seed}:{station.id}:visits")  # noqa: S311 — repeatable on purpose
    drawn = [
        _draw(dice, pattern, station, turn)
        for pattern in patterns
        if not pattern.stations or station.id in pattern.stations
        for turn in range(pattern.visits)
    ]
    return station.model_copy(update={"visit": (*station.visit, *drawn)})


def _draw(dice: random.Random, pattern: VisitPattern, station: StationEntry, turn: int) -> Visit:
    """The ``turn``-th visit: each has its own part of the time, so that no two meet."""
    part = (pattern.to_s - pattern.from_s) / pattern.visits
    stay = min(dice.uniform(*pattern.stay_s), part * 0.9)
    arrive = pattern.from_s + turn * part + dice.uniform(0, part * 0.95 - stay)
    chance = dice.random()
    given: dict[str, Any] = {
        "arrive_s": arrive,
        "depart_s": arrive + stay,
        "capacity_wh": dice.uniform(*pattern.capacity_wh),
        "soc_percent": dice.uniform(*pattern.soc_percent),
        "max_charge_w": station.max_charge_w,
        "max_discharge_w": station.max_charge_w if station.model_entry.discharges else 0.0,
        "required_soc_percent": pattern.required_soc_percent,
        "driver": f"Driver {station.id}-{turn + 1}",
        "answer": "yes" if chance < pattern.yes else "no" if chance < pattern.yes + pattern.no else "never",
        "answer_after_s": dice.uniform(*pattern.answer_after_s),
        "token": pattern.token,
    }
    return Visit.model_validate(given)
