"""The rules of the house that a tool can measure: sizes, names, clocks, versions. Import rules are import-linter's."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

import pytest

from tests.servers import ROOT

PACKAGES = ("csms", "handlers", "policies", "simulators")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
FORBIDDEN_NAME = re.compile(r"(?:Manager|Helpers?|Utils?|Base)$|(?:^|_)(?:manager|helpers?|utils?|base)$")
VERSION_TEXT = re.compile(r"(?:ocpp)?(?:1\.6|2\.0\.1|2\.1)")
# The demo writes the simulators' scenario, which is text.
VERSIONS_ARE_KNOWN_IN = ("handlers/", "csms/domain/station.py", "csms/edge/", "csms/demo/", "simulators/")
MIGRATIONS = "csms/store/migrations/versions/"
CLOCKS = ("csms/clock.py", "simulators/clock.py")
CLOCK_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("time", "time"), ("time", "time_ns")}
UNFINISHED = re.compile("|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b")))
MACHINE = re.compile("|".join(("/ro" + "ot/", "/wo" + "rk/", "/ho" + r"me/\w")))
TEXT_SUFFIXES = {".py", ".mjs", ".js", ".css", ".html", ".md", ".toml", ".json"}


def _modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    return chain.from_iterable(((_name(path), node) for node in ast.walk(_tree(path))) for path in _modules())


def _docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(function, clean=False) is None:
        return 0
    first = function.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From ``def`` to the last line, without the docstring."""
    return (function.end_lineno or function.lineno) - function.lineno + 1 - _docstring_lines(function)


def _functions() -> list[tuple[str, int]]:
    return [
        (f"{module}:{node.lineno} {node.name}", _lines(node))
        for module, node in _nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_functions_are_small() -> None:
    """Design §8: median <= 8 lines, p90 <= 25, none above 50."""
    functions = _functions()
    sizes = [lines for _, lines in functions]
    assert median(sizes) <= 8
    assert quantiles(sizes, n=10)[-1] <= 25
    assert [function for function in functions if function[1] > MAX_FUNCTION_LINES] == []


def test_modules_are_small() -> None:
    """Design §8. A migration is a list of what was, and is never edited: it may be long."""
    sizes = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in _modules()}
    large = {name: lines for name, lines in sizes.items() if lines > MAX_MODULE_LINES}
    assert {name: lines for name, lines in large.items() if not name.startswith(MIGRATIONS)} == {}


def test_names_say_what_things_are() -> None:
    """Design §7: no Manager, Helper, Utils, Base."""
    defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    names = [(module, node.name) for module, node in _nodes() if isinstance(node, defined)]
    names += [(_name(path), path.stem) for path in _modules()]
    assert [(module, name) for module, name in names if FORBIDDEN_NAME.search(name)] == []


def _clock_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    return (owner, node.attr) in CLOCK_CALLS


def test_only_the_clocks_ask_for_the_time() -> None:
    """Time is an input (design §1)."""
    asking = {(module, node.lineno) for module, node in _nodes() if _clock_call(node) and isinstance(node, ast.expr)}
    assert {place for place in asking if place[0] not in CLOCKS} == set()


def test_version_numbers_stand_only_where_messages_are_translated() -> None:
    """Elsewhere a version is a ``Version``, and nothing but tables depends on it (design §2)."""
    texts = [
        (module, node.lineno, node.value)
        for module, node in _nodes()
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and VERSION_TEXT.fullmatch(node.value)
    ]
    assert [text for text in texts if not text[0].startswith(VERSIONS_ARE_KNOWN_IN)] == []


def _texts() -> Iterator[Path]:
    folders = (*PACKAGES, "tests", "docs", ".ci")
    inside = chain.from_iterable((ROOT / folder).rglob("*") for folder in folders)
    for path in chain(inside, ROOT.glob("*")):
        if path.is_file() and (path.suffix in TEXT_SUFFIXES or path.name in {"Makefile", "run", "need"}):
            yield path


@pytest.mark.parametrize("pattern", [UNFINISHED, MACHINE], ids=["unfinished work", "paths of a machine"])
def test_no_file_contains(pattern: re.Pattern[str]) -> None:
    """What is not finished is an issue, not a comment; a path of one machine means nothing on another."""
    found = [(_name(path), match.group()) for path in _texts() for match in pattern.finditer(path.read_text("utf-8"))]
    assert found == []
