"""What a skip means: locally a note, in CI a failure (tests/conftest.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

SKIPPING = {
    "a test": "import pytest\ndef test_it():\n    pytest.skip('the part is missing')\n",
    "a module": "import pytest\npytest.skip('the part is missing', allow_module_level=True)\n",
    "a mark": "import pytest\n@pytest.mark.skip(reason='the part is missing')\ndef test_it():\n    pass\n",
}


def _run(directory: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_skipping.py").write_text(source)
    (directory / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-rs", str(directory)],
        cwd=directory,
        env=os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("source", SKIPPING.values(), ids=SKIPPING)
def test_in_ci_a_skip_is_a_failure_that_says_its_reason(tmp_path: Path, source: str) -> None:
    """Otherwise a missing component would hide whole groups of tests."""
    run = _run(tmp_path, source, "true")
    assert run.returncode != 0
    assert "the part is missing" in run.stdout


@pytest.mark.parametrize("source", SKIPPING.values(), ids=SKIPPING)
def test_elsewhere_a_skip_is_a_note(tmp_path: Path, source: str) -> None:
    """A developer without a browser can work."""
    run = _run(tmp_path, source, "")
    assert run.returncode in {0, 5}, run.stdout
    assert "the part is missing" in run.stdout
