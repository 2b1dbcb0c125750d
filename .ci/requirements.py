"""Print what requirements.lock is resolved from: run time, extras, the dev group and the build backend."""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path) -> list[str]:
    """Every requirement of the project but itself. Hatchling asks for ``editables`` when it installs in place."""
    table = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = table["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    developer = [name for name in table["dependency-groups"]["dev"] if not name.startswith(project["name"])]
    return [*project["dependencies"], *extras, *developer, *table["build-system"]["requires"], "editables"]


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path("pyproject.toml"))) + "\n")
