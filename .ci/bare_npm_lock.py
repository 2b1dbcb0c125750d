"""Take every address out of an npm lock: names, versions and hashes stay (design §9)."""

import json
import sys
from pathlib import Path
from typing import Any

ADDRESSES = ("resolved", "funding", "homepage")


def bare(lock: dict[str, Any]) -> dict[str, Any]:
    """The lock without the fields that hold addresses."""
    packages: dict[str, dict[str, Any]] = lock["packages"]
    kept = {name: _without_addresses(entry) for name, entry in packages.items()}
    return {**lock, "packages": kept}


def _without_addresses(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ADDRESSES}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(json.dumps(bare(json.loads(path.read_text())), indent=2) + "\n")
