"""The server in this process, on each engine."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import partial
from pathlib import Path

import pytest

from csms.store import migrate
from tests.databases import ENGINES, empty_database, fresh_database
from tests.e2e.world import World, world_on

MakeWorld = Callable[..., AbstractAsyncContextManager[World]]

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what does not depend on the engine."""


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """engine → URL of a migrated database without rows."""
    with ExitStack() as stack:
        made: dict[str, str] = {}

        def template(engine: str) -> str:
            if engine not in made:
                folder = tmp_path_factory.mktemp(f"template-{engine}")
                made[engine] = stack.enter_context(empty_database(engine, folder))
                migrate(made[engine])
            return made[engine]

        yield template


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, templates: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """URL of a migrated database of this test's own."""
    with fresh_database(templates(request.param), tmp_path) as url:
        yield url


@pytest.fixture
def make_world(database: str) -> MakeWorld:
    """A world with a test's own settings: ``async with make_world(permission={...}) as world``."""
    return partial(world_on, database)


@pytest.fixture
async def world(make_world: MakeWorld) -> AsyncIterator[World]:
    """A world with the fast settings."""
    async with make_world() as made:
        yield made
