"""``config.toml`` and ``CSMS_*`` variables as one frozen value. An unknown key stops the start.

``CSMS_OCPP__PORT=9001`` overrides ``[ocpp] port``. Durations are seconds where the name ends in ``_s``.
"""

import os
import tomllib
from collections.abc import Mapping
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from csms.domain.errors import BadSettings

ENV_PREFIX = "CSMS_"


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("not a time zone name such as Asia/Tokyo") from error
    return name


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Zone = Annotated[str, AfterValidator(_known_zone)]
PricePerKwh = Annotated[Decimal, Field(ge=-1000, le=100_000)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ocpp(_Section):
    """The stations' listener. ``auto_register``: unknown stations are let in and provisioned on the spot (lab use).

    ``handshakes_per_source``, ``handshakes_at_once``: connections that are not authenticated yet, of one address and in
    all; ``connections_per_source``: all of one address (a whole fleet may come through one).
    """

    host: str = "127.0.0.1"
    port: Port = 9000
    auto_register: bool = False
    auto_register_site: str = "default"
    heartbeat_interval_s: Annotated[int, Field(ge=10, le=86_400)] = 300
    call_timeout_s: Seconds = 30.0
    handshake_timeout_s: Seconds = 10.0
    ping_interval_s: Seconds = 25.0
    pong_timeout_s: Seconds = 20.0
    handshakes_per_source: Annotated[int, Field(ge=1)] = 5_000
    handshakes_at_once: Annotated[int, Field(ge=1)] = 10_000
    connections_per_source: Annotated[int, Field(ge=1)] = 20_000
    max_frame_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 128 * 1024
    strict_formats: bool = False


class Http(_Section):
    """The API's and the driver page's listener. ``public_url``: how phones reach it, for the EVSE links."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str | None = None


class Database(_Section):
    """``sqlite:///file.db`` or ``postgresql+psycopg://user@host/name``."""

    url: str = "sqlite:///tidewatt.db"
    commit_spacing_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0
    queue_limit: Annotated[int, Field(ge=100)] = 20_000


class PermissionSettings(_Section):
    """What happens around the question at plug-in. ``charge`` = plain charging, ``nothing`` = no energy.

    ``hold_limit_s``: a 1.6 station is started at 0 W after this, before its ConnectionTimeOut gives the cable up.
    """

    question_timeout_s: Seconds = 300.0
    on_refusal: Literal["charge", "nothing"] = "charge"
    on_no_answer: Literal["charge", "nothing"] = "charge"
    debounce_s: Annotated[float, Field(ge=0)] = 3.0
    hold_limit_s: Seconds = 200.0


class Dispatch(_Section):
    """``setpoint_validity_s``: a station left alone falls to its failsafe limit after this.

    ``settle_s``: time for a vehicle to ramp before its meter is held against the setpoint.
    """

    tick_s: Seconds = 10.0
    setpoint_validity_s: Annotated[int, Field(ge=5, le=900)] = 180
    min_change_s: Annotated[float, Field(ge=0)] = 10.0
    observe_samples: Annotated[int, Field(ge=1, le=10)] = 2
    settle_s: Annotated[float, Field(ge=0)] = 5.0
    probe: bool = True


class Metering(_Section):
    """How often stations are asked to sample while a vehicle is plugged in."""

    sample_interval_s: Annotated[int, Field(ge=1, le=900)] = 60


class Settlement(_Section):
    """``interval`` is the market interval; ``grace_s`` the wait for late meter values before the first settlement."""

    interval: Annotated[timedelta, Field(ge=timedelta(seconds=5), le=timedelta(days=1))] = timedelta(minutes=30)
    grace_s: Annotated[float, Field(ge=0)] = 60.0
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "JPY"


class PolicySettings(_Section):
    """The plugs that decide, by name and version; see docs/extending.md. Those of other packages stand here too."""

    objective: str = "merit-1"
    baseline: str = "frozen-1"
    availability: tuple[str, ...] = ()
    adders: tuple[str, ...] = ()
    benefits: tuple[str, ...] = ()


class TariffPeriod(_Section):
    """From ``start`` (time of day) until the next period's start."""

    start: time
    price_per_kwh: PricePerKwh


class TariffSettings(_Section):
    """A flat ``price_per_kwh``, or ``[[tariff.period]]`` entries, for one area."""

    area: str = "default"
    zone: Zone = "Asia/Tokyo"
    price_per_kwh: PricePerKwh | None = None
    period: tuple[TariffPeriod, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> "TariffSettings":
        if (self.price_per_kwh is None) == (not self.period):
            raise ValueError("give either price_per_kwh (flat) or [[tariff.period]] entries (time of use)")
        return self


class SiteSettings(_Section):
    """A node of the tree of limits, W. ``parent`` is another site's id."""

    id: Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
    parent: str | None = None
    area: str = "default"
    import_limit_w: Annotated[int, Field(ge=0)]
    export_limit_w: Annotated[int, Field(ge=0)] = 0


KeptDays = Annotated[int, Field(ge=62, le=36_500)]
"""What lies less than 31 days back may still be settled anew."""


class Retention(_Section):
    """How long what is no longer needed is kept, in whole days; accounts, plug-ins and answers are kept for ever.

    ``frames_days``: raw frames that money or permission rests on; 0 = none are kept. Nothing that leads to them goes
    before them.
    """

    frames_days: Annotated[int, Field(ge=0, le=36_500)] = 400
    readings_days: KeptDays = 800
    setpoints_days: KeptDays = 800
    statuses_days: KeptDays = 400
    notices_days: KeptDays = 400
    decisions_days: KeptDays = 400
    quarantine_days: KeptDays = 800
    requests_days: Annotated[int, Field(ge=1, le=36_500)] = 30

    @model_validator(mode="after")
    def _frames_can_be_found(self) -> "Retention":
        for name in ("readings_days", "setpoints_days", "statuses_days", "notices_days"):
            if getattr(self, name) < self.frames_days:
                raise ValueError(f"{name} must not be less than frames_days: frames are found by what they told")
        return self


class Log(_Section):
    """``json``: one object per line, for machines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = False


class Security(_Section):
    """``link_secret`` signs the EVSE links; empty = made at the first start and kept in the database.

    ``failures_per_minute``: wrong logins of one address (stations) or caller (API); the right password gets in all the
    same.
    """

    link_secret: str = ""
    failures_per_minute: Annotated[int, Field(ge=1)] = 10
    registrations_per_minute: Annotated[int, Field(ge=1)] = 120


class Settings(BaseModel):
    """The whole configuration. The defaults run a single process on SQLite, reachable from this machine only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ocpp: Ocpp = Ocpp()
    http: Http = Http()
    database: Database = Database()
    permission: PermissionSettings = PermissionSettings()
    dispatch: Dispatch = Dispatch()
    metering: Metering = Metering()
    settlement: Settlement = Settlement()
    policies: PolicySettings = PolicySettings()
    retention: Retention = Retention()
    log: Log = Log()
    security: Security = Security()
    tariff: tuple[TariffSettings, ...] = (TariffSettings(price_per_kwh=Decimal(30)),)
    site: tuple[SiteSettings, ...] = (SiteSettings(id="default", import_limit_w=50_000, export_limit_w=50_000),)

    @model_validator(mode="after")
    def _tree_and_areas(self) -> "Settings":
        _check_tree(self.site)
        _check_areas(self.site, self.tariff)
        _check_auto_register(self.ocpp, self.site)
        return self


def _check_tree(sites: tuple[SiteSettings, ...]) -> None:
    parents = {site.id: site.parent for site in sites}
    if len(parents) != len(sites):
        raise ValueError("site: two entries have the same id")
    for site in sites:
        seen, node = set[str](), site.parent
        while node is not None:
            if node not in parents:
                raise ValueError(f"site {site.id}: parent {node} is no [[site]] id")
            if node in seen or node == site.id:
                raise ValueError(f"site {site.id}: its parents form a circle")
            seen.add(node)
            node = parents[node]


def _check_areas(sites: tuple[SiteSettings, ...], tariffs: tuple[TariffSettings, ...]) -> None:
    areas = [tariff.area for tariff in tariffs]
    if len(set(areas)) != len(areas):
        raise ValueError("tariff: two entries have the same area")
    if missing := {site.area for site in sites} - set(areas):
        raise ValueError(f"area {min(missing)} has no [[tariff]] entry")


def _check_auto_register(ocpp: Ocpp, sites: tuple[SiteSettings, ...]) -> None:
    """A station at a site without known limits takes no part in anything."""
    if ocpp.auto_register and ocpp.auto_register_site not in {site.id for site in sites}:
        raise ValueError(
            f"ocpp.auto_register_site: there is no [[site]] {ocpp.auto_register_site}; name one, or add it"
        )


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from a file (None = defaults) under the environment's overrides.

    Raises BadSettings with one line that names the key and the remedy.
    """
    raw = _read(path) if path else {}
    for keys, value in _overrides(environ):
        _put(raw, keys, value)
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise BadSettings(f"{path or 'settings'}: {_first_line(error)}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read ({error.strerror}); name a file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: not valid TOML: {error}") from error


def _overrides(environ: Mapping[str, str]) -> list[tuple[list[str], str]]:
    prefixed = {key: value for key, value in environ.items() if key.startswith(ENV_PREFIX)}
    return [
        (key.removeprefix(ENV_PREFIX).lower().split("__"), value)
        for key, value in sorted(prefixed.items())
        if "__" in key.removeprefix(ENV_PREFIX)
    ]


def _put(raw: dict[str, Any], keys: list[str], value: str) -> None:
    section = raw
    for key in keys[:-1]:
        inner = section.setdefault(key, {})
        if not isinstance(inner, dict):
            raise BadSettings(f"{ENV_PREFIX}{'__'.join(keys).upper()}: {key} is a list; set it in config.toml")
        section = inner
    section[keys[-1]] = value


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=True)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or correct its spelling"
    reason = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict | BaseModel) else f" (given: {first['input']!r})"
    return f"{where}: {reason}{given}" if where else reason
