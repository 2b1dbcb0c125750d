"""``make fuzz`` finds what the fixed examples do not, says it, and ends badly; ``make test`` is the same every time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fuzz import ROOT, fuzz, main, property_files

pytestmark = pytest.mark.long

PROPERTY = """
from hypothesis import given, strategies as st

@given(st.integers(0, {most}))
def test_it_is_small(number: int) -> None:
    assert number < 1000

def test_that_is_no_property() -> None:
    raise AssertionError("not asked for")
"""
DRAWN = """
from pathlib import Path
from random import random
from hypothesis import given, strategies as st

@given(st.integers())
def test_a(number: int) -> None:
    with Path("drawn").open("a") as file:
        file.write(str(number) + " ")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Tests of its own, with this project's profiles."""
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "servers.py", "__init__.py"):
        (tmp_path / "tests" / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n", encoding="utf-8")
    return tmp_path


def test_a_property_that_is_broken_somewhere_is_found_with_its_example(tree: Path) -> None:
    file = tree / "tests/test_it.py"
    file.write_text(PROPERTY.format(most=5000), encoding="utf-8")
    found = fuzz(file, 0.02, tree)
    assert [test.split("::")[1] for test in found] == ["test_it_is_small"]
    assert "number=1000" in next(iter(found.values()))
    assert "reproduce_failure" in next(iter(found.values()))
    assert main(["--minutes", "0.02", str(file)]) == 1


def test_a_property_that_holds_is_tried_until_the_time_is_over(tree: Path) -> None:
    """And tests that are no properties are left to ``make test``."""
    file = tree / "tests/test_it.py"
    file.write_text(PROPERTY.format(most=999), encoding="utf-8")
    assert fuzz(file, 0.02, tree) == {}


def test_a_file_that_cannot_be_run_is_no_success(tree: Path) -> None:
    file = tree / "tests/test_it.py"
    file.write_text("import nowhere\n", encoding="utf-8")
    assert list(fuzz(file, 0.02, tree)) == [str(file)]


def test_every_file_with_a_property_is_fuzzed() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in property_files()}
    assert {"tests/policies/test_decision_properties.py", "tests/store/test_writer.py"} <= names
    assert "tests/test_requirements.py" not in names


def drawn(tree: Path, profile: str) -> str:
    """What a property draws in one run."""
    (tree / "drawn").unlink(missing_ok=True)
    (tree / "tests/test_it.py").write_text(DRAWN, encoding="utf-8")
    env = {**os.environ, "TIDEWATT_HYPOTHESIS": profile, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/test_it.py"]
    subprocess.run(command, cwd=tree, env=env, check=True, capture_output=True)
    return (tree / "drawn").read_text(encoding="utf-8")


def test_the_fixed_profile_draws_the_same_every_time_and_fuzz_does_not(tree: Path) -> None:
    """A13: a random example made the test command fail on a clean clone."""
    assert drawn(tree, "fixed") == drawn(tree, "fixed")
    assert drawn(tree, "fuzz") != drawn(tree, "fuzz")


def test_nobody_changes_the_fixed_profile_unseen() -> None:
    fixed = settings.get_profile("fixed")
    assert (fixed.derandomize, fixed.database, fixed.max_examples) == (True, None, 100)
