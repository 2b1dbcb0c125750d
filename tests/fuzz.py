"""``make fuzz``: every property test with new random examples, for a given time per file.

``make test`` runs a fixed set of examples; this looks for the ones that nobody has seen yet. What fails is printed with
its falsifying example and the blob that reproduces it; make it an explicit ``@example`` of its test when it is mended.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parent.parent
NOTHING_RAN = 5
"""pytest's exit code when every test was deselected."""
LONGEST_OVERTIME_S = 120.0
FAILED = re.compile(r"^FAILED (\S+?::\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a file's property tests. ``failed``: ids of the tests that did."""

    code: int
    output: str

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(FAILED.findall(self.output))


def property_files(root: Path = ROOT) -> list[Path]:
    """The test files with properties; those of the pure policies first."""
    found = (path for path in (root / "tests").rglob("test_*.py") if "@given(" in path.read_text(encoding="utf-8"))
    return sorted(found, key=lambda path: (path.parent.name != "policies", path))


def one_round(file: Path, known: Sequence[str], timeout_s: float, root: Path = ROOT) -> Round:
    """Random examples for all properties of a file but those that are ``known`` to fail. A run that takes too long is
    ended, as one in which nothing was found."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "hypothesis", "-p", "no:randomly", "-rf", "--tb=short"]
    command += [argument for test in known for argument in ("--deselect", test)]
    env = os.environ | {"TIDEWATT_HYPOTHESIS": "fuzz", "PYTHONPATH": str(root)}
    try:
        ran = subprocess.run(
            [*command, str(file)], cwd=root, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Round(0, "")
    return Round(ran.returncode, ran.stdout + ran.stderr)


def fuzz(file: Path, minutes: float, root: Path = ROOT) -> dict[str, str]:
    """Round after round until the time is over. What failed: test id → the output that shows it."""
    until = monotonic() + 60 * minutes
    found: dict[str, str] = {}
    while monotonic() < until:
        ran = one_round(file, tuple(found), until - monotonic() + LONGEST_OVERTIME_S, root)
        if ran.code == NOTHING_RAN:
            break
        if ran.code and not ran.failed:
            return found | {str(file): ran.output}
        found |= dict.fromkeys(ran.failed, ran.output)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="per file")
    parser.add_argument("files", nargs="*", type=Path, help="default: every file with a property")
    given = parser.parse_args(arguments)
    failures = 0
    for file in given.files or property_files():
        found = fuzz(file, given.minutes)
        print(f"{file}: {'nothing found' if not found else ', '.join(found)}", flush=True)
        for output in dict.fromkeys(found.values()):
            print(output, flush=True)
        failures += len(found)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
