"""Breaks one rule at a time in a copy of the tree and runs the tests that name it. A break that stays green is a
survivor: nothing would have noticed it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory

COPIED = ("csms", "handlers", "policies", "simulators", "tests", "docs", "pyproject.toml", "config.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".hypothesis")
TIMEOUT_S = 300.0
TESTS_FAILED = 1
"""pytest's exit code; any other but 0 means that the tests did not run."""
FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)


class Outcome(StrEnum):
    """What became of a mutant. Only KILLED is good."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    DOES_NOT_APPLY = "DOES NOT APPLY"
    DOES_NOT_RUN = "DOES NOT RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One break: in ``file`` the text ``before``, which is there once, becomes ``after``; ``tests`` must notice."""

    name: str
    requirement: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``why``: the test that failed first, or what went wrong."""

    mutant: Mutant
    outcome: Outcome
    why: str = ""


class BadList(Exception):
    """The list of mutants cannot be used: the text says which entry and why."""


def load(folder: Path) -> tuple[Mutant, ...]:
    """All ``*.toml`` lists of a folder. BadList: keys missing or unknown, a name that is there twice, no change."""
    mutants = tuple(_mutant(entry, path) for path in sorted(folder.glob("*.toml")) for entry in _entries(path))
    names = [mutant.name for mutant in mutants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadList(f"named twice: {', '.join(twice)}")
    return mutants


def _entries(path: Path) -> Iterator[dict[str, object]]:
    """Each mutant's keys; those of its file's head (``file``, ``tests`` …) hold where it has none of its own."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    entries = table.pop("mutant", [])
    for entry in entries:
        yield table | entry


def _mutant(entry: dict[str, object], path: Path) -> Mutant:
    wanted = {field.name for field in fields(Mutant)}
    if set(entry) != wanted:
        raise BadList(f"{path.name}: {entry.get('name')}: {sorted(wanted ^ set(entry))}")
    if entry["before"] == entry["after"] or not entry["tests"]:
        raise BadList(f"{path.name}: {entry['name']}: changes nothing, or names no test")
    return Mutant(**(entry | {"tests": tuple(entry["tests"])}))  # type: ignore[arg-type]


def broken(text: str, mutant: Mutant) -> str | None:
    """The text with the break in it; None when it does not apply, because its place is not there, or not once."""
    return text.replace(mutant.before, mutant.after) if text.count(mutant.before) == 1 else None


def does_not_apply(root: Path, mutants: Iterable[Mutant]) -> list[str]:
    """Names of the mutants whose place in the code is gone."""
    return [mutant.name for mutant in mutants if _broken_file(root, mutant) is None]


def _broken_file(root: Path, mutant: Mutant) -> str | None:
    path = root / mutant.file
    return broken(path.read_text(encoding="utf-8"), mutant) if path.is_file() else None


def run(root: Path, mutants: Sequence[Mutant], workers: int) -> Iterator[Verdict]:
    """One verdict per mutant, in order. Raises BadList when a named test fails without any break."""
    with TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Copy(root, Path(folder) / str(number)) for number in range(workers)]
        copies[0].check({test for mutant in mutants for test in mutant.tests})
        free: Queue[Copy] = Queue()
        for copy in copies:
            free.put(copy)

        def judge(mutant: Mutant) -> Verdict:
            copy = free.get()
            try:
                return copy.judge(mutant)
            finally:
                free.put(copy)

        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(judge, mutants)


class Copy:
    """A copy of the tree, compiled once, in which one file at a time is broken and mended again."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=LEFT_OUT)
            elif (root / name).is_file():
                shutil.copy2(root / name, folder / name)
        # By hash: a broken file may have the size and the second of the whole one.
        compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(folder)]
        subprocess.run(compiled, check=True, capture_output=True)

    def check(self, tests: Iterable[str]) -> None:
        """BadList: these tests fail as it is, and would prove nothing."""
        code, output = self._pytest(sorted(tests))
        if code:
            raise BadList(f"the tests fail without any break:\n{output[-4000:]}")

    def judge(self, mutant: Mutant) -> Verdict:
        """Break, run the tests, mend."""
        text = _broken_file(self._folder, mutant)
        if text is None:
            return Verdict(mutant=mutant, outcome=Outcome.DOES_NOT_APPLY, why=mutant.file)
        with _replaced(self._folder / mutant.file, text):
            try:
                code, output = self._pytest(mutant.tests)
            except subprocess.TimeoutExpired:
                return Verdict(mutant=mutant, outcome=Outcome.KILLED, why="ran out of time")
        if code == TESTS_FAILED:
            return Verdict(mutant=mutant, outcome=Outcome.KILLED, why=", ".join(FAILED.findall(output)))
        outcome = Outcome.DOES_NOT_RUN if code else Outcome.SURVIVED
        return Verdict(mutant=mutant, outcome=outcome, why=output[-2000:] if code else " ".join(mutant.tests))

    def _pytest(self, tests: Sequence[str]) -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-rf", "--tb=line"]
        command += ["-p", "no:randomly", "-p", "no:cacheprovider", *tests]
        env = os.environ | {
            "PYTHONPATH": str(self._folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TIDEWATT_HYPOTHESIS": "mutants",
            "CI": "",
        }
        ran = subprocess.run(
            command, cwd=self._folder, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        return ran.returncode, ran.stdout + ran.stderr


@contextmanager
def _replaced(path: Path, text: str) -> Iterator[None]:
    whole = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(whole, encoding="utf-8")
