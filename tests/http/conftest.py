"""The application on a real control over a real SQLite store; time and the stations' answers are the test's."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from csms.store import migrate
from tests.control.kit import World, station, world
from tests.http.kit import HOST, ORIGIN, add_token, add_tokens, application, link, registration


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated database, made once."""
    path = tmp_path_factory.mktemp("http") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
async def w(tmp_path: Path, empty_database: bytes) -> AsyncIterator[World]:
    (tmp_path / "control.db").write_bytes(empty_database)
    async with world(tmp_path, station(host=HOST)) as made:
        await add_tokens(made)
        yield made


@pytest.fixture
async def web(w: World) -> AsyncIterator[httpx.AsyncClient]:
    """A browser: keeps its cookies."""
    transport = httpx.ASGITransport(application(w))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


@pytest.fixture
async def running(w: World) -> AsyncIterator[None]:
    """The control keeps time and decides, as in the daemon."""
    w.system.run()
    yield
    await w.system.stop()


@pytest.fixture
async def phone(web: httpx.AsyncClient, w: World) -> httpx.AsyncClient:
    """The same, linked to a driver who opened the link of EVSE 1 and has an API token of their own, "me"."""
    answer = await web.post("/d/api/register", json=registration(link(w)))
    assert answer.status_code == 201, answer.text
    await add_token(w, "token-of-me", "driver", answer.json()["user"]["id"])
    return web


@pytest.fixture
async def me(phone: httpx.AsyncClient) -> str:
    """The id of that driver."""
    user: str = (await phone.get("/d/api/state")).json()["user"]["id"]
    return user
