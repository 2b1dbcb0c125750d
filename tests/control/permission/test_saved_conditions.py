"""What a user saves is shown at once on every terminal that is open. P10; finding B12."""

import asyncio
from functools import partial

import pytest

from csms.domain.conditions import Conditions, Pattern
from csms.store import reads
from tests.control.kit import AOI, KEN, World


async def test_saving_conditions_rings_the_users_bell_and_nobody_elses(w: World) -> None:
    """Else the page shows the old ones, and saving them again erases the new."""
    pattern = Pattern(name="mine", conditions=Conditions(required_soc_percent=77))
    with w.system.feed.subscribe(AOI) as bell, w.system.feed.subscribe(KEN) as other:
        await w.system.rooms.permissions.keep(AOI, pattern)
        await asyncio.wait_for(bell.wait(), 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.wait(), 0.05)
    (kept,) = await w.store.read(partial(reads.patterns, user=AOI))
    assert kept.conditions == pattern.conditions
