"""The registry of stations' ways."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from csms.domain.errors import BadSettings
from csms.domain.station import HoldMethod, Quirks, SetpointDriver, Version
from handlers import load_registry, quirks_for
from handlers.quirks import REGISTRY

ENTRIES: list[dict[str, Any]] = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))["station"]
LOADED = load_registry()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_an_entry_matches_the_station_it_was_written_for(entry: dict[str, Any]) -> None:
    """V2G-21: the strings as the station sends them, on every version it is for."""
    for number in entry.get("versions", ("1.6", "2.0.1", "2.1")):
        assert quirks_for(LOADED, Version(f"ocpp{number}"), *entry["seen"]).name == entry["name"]


def test_names_are_unique() -> None:
    names = [entry.name for entry in LOADED]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("version", Version)
def test_an_unknown_station_never_discharges(version: Version) -> None:
    """V2G-2, V2G-21: unknown = safest; held by nothing started (1.6) or a transaction without authorization (2.x)."""
    quirks = quirks_for(LOADED, version, "Nobody", "X1", "")
    assert quirks.driver is SetpointDriver.CHARGE_ONLY
    assert quirks.hold is (HoldMethod.NONE_START if version is Version.V16 else HoldMethod.UNAUTHORIZED)


def test_before_the_first_connection_nothing_is_assumed() -> None:
    assert quirks_for(LOADED, None, "", "", "") == Quirks()


@pytest.mark.parametrize(
    ("model", "version", "driver"),
    [
        ("Sim V2G 1.6", Version.V16, SetpointDriver.NEGATIVE_LIMIT),
        ("sim v2g 2.0.1", Version.V201, SetpointDriver.NEGATIVE_LIMIT),
        ("Sim V2G 2.1", Version.V21, SetpointDriver.OCPP21_SETPOINT),
        ("Sim V2G 2.1 Dynamic", Version.V21, SetpointDriver.OCPP21_DYNAMIC),
        ("Sim V2G 2.1", Version.V16, SetpointDriver.CHARGE_ONLY),
        ("Sim V2G 1.6", Version.V21, SetpointDriver.CHARGE_ONLY),
        ("Sim AC 2.1", Version.V21, SetpointDriver.CHARGE_ONLY),
    ],
)
def test_a_driver_is_for_the_version_it_was_proven_on(model: str, version: Version, driver: SetpointDriver) -> None:
    """The same box on another version is unknown."""
    assert quirks_for(LOADED, version, "Tidewatt", model, "1.0").driver is driver


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[station]]\nname = "a"\nquirks = { driver = "magic" }', "magic"),
        ('[[station]]\nname = "a"\nquirks = { colour = 1 }', "colour"),
        ('[[station]]\nvendor = "a"', "name"),
        ('[[station]]\nname = "a"\nversions = ["3.0"]', "3.0"),
    ],
)
def test_a_mistake_in_the_registry_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "quirks.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings, match=named):
        load_registry(path)
