"""``make mutants``: the whole list, or the mutants whose name, file or requirement contains one of the given words."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.engine import BadList, Mutant, Outcome, load, run

LISTS = Path(__file__).resolve().parent
ROOT = LISTS.parent.parent


def main(arguments: Sequence[str] | None = None, lists: Path = LISTS, root: Path = ROOT) -> int:
    """Exit code 0: every break was noticed. 1: there are survivors, or the list does not fit the code any more."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("words", nargs="*", help="default: all")
    given = parser.parse_args(arguments)
    try:
        mutants = chosen(load(lists), given.words)
        bad = _judged(root, mutants, given.workers)
    except BadList as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(mutants)} mutants, {len(mutants) - bad} killed, {bad} not")
    return 1 if bad or not mutants else 0


def chosen(mutants: Sequence[Mutant], words: Sequence[str]) -> list[Mutant]:
    """Those that one of the words is about; all without words."""
    about = [(mutant, f"{mutant.name} {mutant.file} {mutant.requirement}") for mutant in mutants]
    return [mutant for mutant, text in about if not words or any(word in text for word in words)]


def _judged(root: Path, mutants: Sequence[Mutant], workers: int) -> int:
    """Prints each verdict; how many are not killed."""
    bad = 0
    for verdict in run(root, mutants, workers):
        bad += verdict.outcome is not Outcome.KILLED
        print(f"{verdict.outcome}: {verdict.mutant.requirement} {verdict.mutant.name}: {verdict.why}", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
