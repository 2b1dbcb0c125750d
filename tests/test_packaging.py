"""What is shipped and what is locked (design §9)."""

import json
import re
import tomllib
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.servers import ROOT

PACKAGES = {"csms", "handlers", "policies", "simulators"}
LOCK_LINE = re.compile(
    r"[a-z0-9]+(?:-[a-z0-9]+)*(?:\[[a-z,-]+\])?==[0-9][0-9a-z.+!-]*(?: ; .*)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel, built from this tree."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    with ZipFile(built) as archive:
        return archive


def _shipped(wheel: ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def _in_tree() -> set[str]:
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


def _metadata(wheel: ZipFile, name: str) -> str:
    with ZipFile(wheel.filename or "") as archive:
        (entry,) = (entry for entry in archive.namelist() if entry.endswith(f".dist-info/{name}"))
        return archive.read(entry).decode()


def test_the_wheel_holds_the_four_packages_and_all_their_files(wheel: ZipFile) -> None:
    """Migrations, quirk records, catalogues and the pages are data files: each must be in."""
    assert _shipped(wheel) == _in_tree()
    assert {name.split("/")[0] for name in _shipped(wheel)} == PACKAGES


def test_the_wheel_ships_the_migrations(wheel: ZipFile) -> None:
    """An installed program creates its tables itself."""
    migrations = {name for name in _shipped(wheel) if name.startswith("csms/store/migrations/")}
    assert any(Path(name).name == "env.py" for name in migrations)
    assert any("/versions/" in name for name in migrations)


def test_the_distribution_cannot_be_uploaded_by_accident(wheel: ZipFile) -> None:
    """An index refuses whatever has the classifier Private."""
    metadata = Parser().parsestr(_metadata(wheel, "METADATA"))
    assert "Private :: Do Not Upload" in metadata.get_all("Classifier", [])
    assert metadata["Name"] == "tidewatt"
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_commands_are_csms_and_csms_simulate(wheel: ZipFile) -> None:
    """The names that the documentation and other programs use."""
    scripts = _metadata(wheel, "entry_points.txt")
    assert "csms = csms.__main__:main" in scripts
    assert "csms-simulate = simulators.__main__:main" in scripts


def test_the_python_lock_has_names_versions_and_hashes_only() -> None:
    """No address of an index, so that the lock works with any."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []


def _normal(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def test_the_python_lock_covers_everything_that_the_project_asks_for() -> None:
    """Forgetting ``make lock`` after a new dependency shows here, not on somebody's machine."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = table["project"]
    wanted = [*project["dependencies"], *table["dependency-groups"]["dev"], *table["build-system"]["requires"]]
    wanted += [name for extra in project.get("optional-dependencies", {}).values() for name in extra]
    locked = re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    assert {_normal(name) for name in wanted} - set(locked) == {project["name"]}


def test_the_npm_lock_has_no_addresses() -> None:
    """The same for npm; every package has its hash."""
    text = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert "://" not in text
    assert [name for name, entry in packages.items() if "resolved" in entry or "integrity" not in entry] == []
    assert "omit-lockfile-registry-resolved=true" in (ROOT / ".npmrc").read_text(encoding="utf-8")
