"""The documents: links lead somewhere, and decisions are numbered without a gap."""

import re
from pathlib import Path

import pytest

from csms.settings import load
from tests.servers import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """A file that moved takes its links along."""
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_decisions_are_numbered_without_a_gap() -> None:
    """docs/adr/0001-…md, 0002-…md, and so on."""
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs/adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_readme_gives_the_two_commands() -> None:
    """What a newcomer types."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme


def test_the_shipped_configuration_loads() -> None:
    """config.toml documents every section and is valid as it stands."""
    load(ROOT / "config.toml", {})
