"""Every test that takes ``url``, ``store`` or ``conn`` runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from csms.store import Store, migrate, open_store
from csms.store.database import parse_url, writing_engine
from tests.databases import ENGINES, empty_database, fresh_database


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """URL of a migrated database without rows, made once per engine."""
    made: dict[str, str] = {}
    with ExitStack() as stack:

        def of(engine: str) -> str:
            if engine not in made:
                made[engine] = stack.enter_context(empty_database(engine, tmp_path_factory.mktemp("template")))
                migrate(made[engine])
            return made[engine]

        yield of


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, template: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    with fresh_database(template(request.param), tmp_path) as copy:
        yield copy


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = open_store(url, spacing_s=0)
    yield opened
    await opened.close()


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    """A connection that may write; what a test leaves open is rolled back."""
    with ExitStack() as stack:
        engine = writing_engine(parse_url(url))
        stack.callback(engine.dispose)
        yield stack.enter_context(closing(engine.connect()))
