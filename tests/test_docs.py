"""The documents: links lead somewhere, and decisions are numbered without a gap."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from csms.settings import Settings, SiteSettings, TariffPeriod, TariffSettings, load
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


CONFIG = (ROOT / "config.toml").read_text(encoding="utf-8")
LISTS: dict[str, type[BaseModel]] = {"tariff": TariffSettings, "site": SiteSettings}


def test_the_shipped_configuration_is_that_of_a_server_without_one() -> None:
    """Every value in config.toml is the default."""
    assert load(ROOT / "config.toml", {}) == load(None, {})


def _settings() -> Iterator[tuple[str, str]]:
    for section, field in Settings.model_fields.items():
        model: Any = LISTS.get(section, field.annotation)
        yield from ((section, key) for key in model.model_fields if key != "period")
    yield from (("tariff.period", key) for key in TariffPeriod.model_fields)


@pytest.mark.parametrize(("section", "key"), list(_settings()))
def test_the_shipped_configuration_shows_every_setting(section: str, key: str) -> None:
    """With its value, or as an example behind a comment sign, below the head of its section."""
    head = re.escape(section)
    found = re.search(rf"^(?:# )?\[+{head}\]+.*\n(?P<body>(?:(?!(?:# )?\[).*\n)*)", CONFIG, re.MULTILINE)
    assert found is not None
    assert re.search(rf"^(?:# )?{key} = ", found["body"], re.MULTILINE)


def test_the_examples_of_the_shipped_configuration_are_toml() -> None:
    """A key that is uncommented is read as it stands."""
    examples = re.findall(r"^# (\w+ = .*)$", CONFIG, re.MULTILINE)
    assert examples
    for example in examples:
        assert len(tomllib.loads(example)) == 1
