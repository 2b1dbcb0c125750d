"""A control with one station on a file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control.kit import World, world


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        await made.person()
        yield made
