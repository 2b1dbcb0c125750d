"""The application over a real SQLite store and a control that remembers."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from csms.edge.http.app import build
from csms.store import Store, migrate, open_store
from tests.http.fakes import FakeControl, add_tokens, registration


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated database, made once."""
    path = tmp_path_factory.mktemp("http") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
async def store(tmp_path: Path, empty_database: bytes) -> AsyncIterator[Store]:
    path = tmp_path / "http.db"
    path.write_bytes(empty_database)
    opened = open_store(f"sqlite:///{path}", spacing_s=0)
    await add_tokens(opened)
    yield opened
    await opened.close()


@pytest.fixture
def control(store: Store) -> FakeControl:
    return FakeControl(store)


@pytest.fixture
async def web(control: FakeControl) -> AsyncIterator[httpx.AsyncClient]:
    """A browser: keeps its cookies."""
    transport = httpx.ASGITransport(build(control))
    async with httpx.AsyncClient(transport=transport, base_url="http://tidewatt.example") as client:
        yield client


@pytest.fixture
async def phone(web: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same, linked to the driver u-1."""
    answer = await web.post("/d/api/register", json=registration())
    assert answer.status_code == 201, answer.text
    return web
