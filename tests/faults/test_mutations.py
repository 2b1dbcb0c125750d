"""Bad input leaves the socket, Heartbeats, other stations' rows and the memory as they were. Issue 6."""

from pathlib import Path

import pytest

from csms.domain.station import Version
from tests.faults.mutate import MUTATIONS, golden, mutations, run

FEW = 300
"""``python -m tests.faults.mutate`` sends 20,000 for each version."""

MOST_GROWTH_BYTES = 60_000_000


@pytest.mark.long
@pytest.mark.parametrize("version", Version)
async def test_mutated_frames_harm_nobody(version: Version, tmp_path: Path) -> None:
    wrong, grown = await run(f"sqlite:///{tmp_path}/mutants.db", FEW, 1, (version,))
    assert wrong == []
    assert grown < MOST_GROWTH_BYTES


def test_the_same_seed_gives_the_same_frames_and_every_kind_of_them() -> None:
    frames = list(mutations(Version.V21, 500, 7))
    assert frames == list(mutations(Version.V21, 500, 7))
    assert frames != list(mutations(Version.V21, 500, 8))
    assert len(set(frames)) > 450
    assert len(set(MUTATIONS)) >= 12
    assert len(golden(Version.V21)) > 20
