"""docs/requirements.toml says how far every id of the mission is, and which tests show it. This keeps it honest."""

import ast
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT

MISSION = ROOT.parent / "shared" / "mission.md"
TABLE: dict[str, Any] = tomllib.loads((ROOT / "docs/requirements.toml").read_text(encoding="utf-8"))
REQUIREMENTS: list[dict[str, Any]] = TABLE["requirement"]
STATES = {"done", "partly", "not yet"}


def _ids_of(mission: str) -> set[str]:
    """Ids of the tables, and M1 … for the numbered rules of what must always hold."""
    rules = re.findall(r"^(\d+)\. ", mission.split("## What must always hold")[1], re.MULTILINE)
    return set(re.findall(r"^\| ([A-Z]\d+) \|", mission, re.MULTILINE)) | {f"M{number}" for number in rules}


def _expected_ids() -> set[str]:
    if MISSION.is_file():
        return _ids_of(MISSION.read_text(encoding="utf-8"))
    return {f"{letter}{number}" for letter, last in TABLE["ids"].items() for number in range(1, last + 1)}


@cache
def _test_names(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(function.name for function in functions)


def _exists(test: str) -> bool:
    """``file`` or ``file::test_name``, with or without a parameter in brackets."""
    file, _, name = test.partition("::")
    path = ROOT / file
    return path.is_file() and (not name or name.split("::")[-1].split("[")[0] in _test_names(path))


def test_every_id_of_the_mission_is_there_once() -> None:
    """No more, no fewer."""
    counted = Counter(requirement["id"] for requirement in REQUIREMENTS)
    assert set(counted) == _expected_ids()
    assert [identity for identity, times in counted.items() if times > 1] == []


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement["id"])
def test_a_requirement_says_honestly_how_far_it_is(requirement: dict[str, Any]) -> None:
    """Done needs a test; partly says what is missing; what is not yet there has no tests to show."""
    state, tests = requirement["state"], requirement["tests"]
    assert set(requirement) == {"id", "text", "state", "tests", "note"}
    assert state in STATES
    assert state != "done" or tests
    assert state == "done" or requirement["note"]
    assert state != "not yet" or not tests
    assert [test for test in tests if not _exists(test)] == []
