"""The registry of stations' ways: data in quirks.toml, matched by vendor, model and firmware (V2G-21)."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from csms.domain.errors import BadSettings
from csms.domain.station import HoldMethod, Quirks, RateUnit, SetpointDriver, Version

REGISTRY: Final = Path(__file__).with_name("quirks.toml")

_READERS: Final = {
    "driver": SetpointDriver,
    "hold": HoldMethod,
    "rate_unit": RateUnit,
    "assume_version": Version,
    "stack_level": int,
    "zero_ends_transaction": bool,
    "signed_power": bool,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuirkEntry:
    """Stations that match, by glob without case, and how they differ from the defaults. ``versions`` empty = any."""

    name: str
    vendor: str = "*"
    model: str = "*"
    firmware: str = "*"
    versions: tuple[Version, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, version: Version | None, vendor: str, model: str, firmware: str) -> bool:
        globs = ((self.vendor, vendor), (self.model, model), (self.firmware, firmware))
        fits = not self.versions or version is None or version in self.versions
        return fits and all(fnmatchcase(said.strip().lower(), glob.lower()) for glob, said in globs)


def load_registry(path: Path = REGISTRY) -> tuple[QuirkEntry, ...]:
    """The entries, in the file's order. BadSettings names the entry and the key that is wrong."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("station", ())
    return tuple(_entry(raw) for raw in entries)


def _entry(raw: Mapping[str, Any]) -> QuirkEntry:
    try:
        return QuirkEntry(
            name=raw["name"],
            **{key: raw[key] for key in ("vendor", "model", "firmware") if key in raw},
            versions=tuple(Version(f"ocpp{number}") for number in raw.get("versions", ())),
            overrides={key: _READERS[key](value) for key, value in raw.get("quirks", {}).items()},
        )
    except (KeyError, ValueError, TypeError) as error:
        raise BadSettings(f"quirks.toml: station {raw.get('name', '?')}: {error}") from error


def quirks_for(
    registry: Sequence[QuirkEntry], version: Version | None, vendor: str, model: str, firmware: str
) -> Quirks:
    """The first entry that matches, over the safest defaults of the version. Unknown stations get these alone."""
    defaults = _safest(version)
    for entry in registry:
        if entry.matches(version, vendor, model, firmware):
            return replace(defaults, name=entry.name, **entry.overrides)
    return defaults


def overridden(quirks: Quirks, own: Mapping[str, Any]) -> Quirks:
    """Quirks with what is known of one station beyond its model. ValueError names what cannot be one."""
    if not own:
        return quirks
    try:
        return replace(quirks, **{key: _READERS[key](value) for key, value in own.items()})
    except KeyError as error:
        raise ValueError(f"there is no quirk {error}") from error


def _safest(version: Version | None) -> Quirks:
    """Charge only. 1.6 holds by starting nothing; 2.x by a transaction that is not authorized (reference §2.4)."""
    held = HoldMethod.NONE_START if version in (None, Version.V16) else HoldMethod.UNAUTHORIZED
    return Quirks(hold=held)
