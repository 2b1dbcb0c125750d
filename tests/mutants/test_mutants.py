"""The list of mutants fits the code, and the engine tells a survivor from a kill, on a tree of its own."""

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from tests.mutants.__main__ import LISTS, ROOT, chosen, main
from tests.mutants.engine import BadList, Mutant, Outcome, does_not_apply, load, run

pytestmark = pytest.mark.long

SUBJECT = "def limit(asked: int) -> int:\n    return min(asked, 10)\n"
TEST = """
from policies.subject import limit

def test_it_is_cut() -> None:
    assert limit(11) == 10

def test_it_is_there() -> None:
    assert limit(1) > 0
"""
NO_CUT = Mutant(
    name="no cut",
    requirement="P0",
    file="policies/subject.py",
    before="min(asked, 10)",
    after="asked",
    tests=("tests/test_subject.py::test_it_is_cut",),
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package with one rule and two tests."""
    root = tmp_path / "tree"
    for path, text in (
        ("policies/__init__.py", ""),
        ("policies/subject.py", SUBJECT),
        ("tests/test_subject.py", TEST),
        ("pyproject.toml", "[tool.pytest.ini_options]\npythonpath = ['.']\n"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def judged(tree: Path, *mutants: Mutant) -> list[Outcome]:
    return [verdict.outcome for verdict in run(tree, mutants, workers=1)]


def test_every_mutant_of_the_list_still_has_its_place_in_the_code() -> None:
    """One that does not would break nothing, and prove nothing."""
    assert does_not_apply(ROOT, load(LISTS)) == []


def test_every_test_that_a_mutant_names_is_there() -> None:
    named = {test.split("::")[0] for mutant in load(LISTS) for test in mutant.tests}
    assert [test for test in sorted(named) if not (ROOT / test).exists()] == []


def test_a_break_is_killed_by_a_test_that_fails_and_survives_one_that_does_not(tree: Path) -> None:
    blind = replace(NO_CUT, tests=("tests/test_subject.py::test_it_is_there",))
    assert judged(tree, NO_CUT, blind) == [Outcome.KILLED, Outcome.SURVIVED]


def test_the_tree_is_whole_again_after_each_break(tree: Path) -> None:
    """A second break of the same place, of the same length and in the same second, is no echo of the first."""
    shorter, harmless = replace(NO_CUT, after="max(asked, 10)"), replace(NO_CUT, after="min(10, asked)")
    assert judged(tree, shorter, harmless, shorter) == [Outcome.KILLED, Outcome.SURVIVED, Outcome.KILLED]
    assert (tree / "policies/subject.py").read_text(encoding="utf-8") == SUBJECT


@pytest.mark.parametrize("change", [{"before": "min(asked, 11)"}, {"before": "asked"}, {"file": "policies/gone.py"}])
def test_a_break_whose_place_is_gone_or_not_the_only_one_does_not_apply(tree: Path, change: dict[str, str]) -> None:
    assert judged(tree, replace(NO_CUT, **change)) == [Outcome.DOES_NOT_APPLY]  # type: ignore[arg-type]


def test_a_break_that_cannot_be_imported_is_no_kill(tree: Path) -> None:
    assert judged(tree, replace(NO_CUT, after="min(asked, 10")) == [Outcome.DOES_NOT_RUN]


def test_tests_that_fail_without_any_break_prove_nothing(tree: Path) -> None:
    (tree / "tests/test_subject.py").write_text(TEST.replace("== 10", "== 9"), encoding="utf-8")
    with pytest.raises(BadList, match="without any break"):
        judged(tree, NO_CUT)


def listed(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "list.toml").write_text(dedent(text), encoding="utf-8")
    return folder


GOOD = """
file = "policies/subject.py"
requirement = "P0"
tests = ["tests/test_subject.py"]
[[mutant]]
name = "no cut"
before = "min(asked, 10)"
after = "asked"
"""


def test_a_list_whose_mutants_are_all_killed_ends_well(tree: Path, tmp_path: Path) -> None:
    lists = listed(tmp_path / "lists", GOOD)
    assert main(["--workers", "1"], lists, tree) == 0
    assert main(["--workers", "1", "cut"], lists, tree) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('after = "asked"', 'after = "min(10, asked)"'), "SURVIVED: P0 no cut"),
        (GOOD.replace("min(asked, 10)", "max(asked, 10)"), "DOES NOT APPLY: P0 no cut"),
    ],
    ids=["survivor", "gone"],
)
def test_a_survivor_or_a_mutant_that_does_not_apply_is_named_and_ends_badly(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert main(["--workers", "1"], listed(tmp_path / "lists", text), tree) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('after = "asked"\n', ""), "after"),
        (GOOD + 'sure = "yes"\n', "sure"),
        (GOOD.replace('after = "asked"', 'after = "min(asked, 10)"'), "changes nothing"),
        (GOOD + GOOD[GOOD.index("[[mutant]]") :], "named twice: no cut"),
    ],
    ids=["missing", "unknown", "nothing", "twice"],
)
def test_a_list_with_a_mistake_is_not_run(tree: Path, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadList, match=said):
        load(listed(tmp_path / "lists", text))
    assert main([], tmp_path / "lists", tree) == 1


def test_no_word_that_fits_is_no_success(tree: Path, tmp_path: Path) -> None:
    """A typing error must not look like a clean list."""
    lists = listed(tmp_path / "lists", GOOD)
    assert chosen(load(lists), ["subject"]) == list(load(lists))
    assert main(["moon"], lists, tree) == 1
