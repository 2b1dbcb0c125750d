"""What bad input gets (issue 2). The configuration, the frames and a second server are in tests/test_program.py and
test_scenarios_socket.py."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ON_SQLITE
from tests.e2e.world import World
from tests.servers import Server


def refusal(server: Server) -> str:
    """The one line on standard error with which ``csms serve`` ends."""
    ended = server.command("serve", "--config", str(server.config), check=False)
    assert ended.returncode == 2, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    return ended.stderr


@pytest.mark.long
def test_a_locked_database_is_one_line(tmp_path: Path) -> None:
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'test.db'}")
    server.command("migrate")
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        assert "lock" in refusal(server)


@pytest.mark.long
def test_a_busy_port_of_the_api_is_one_line_that_names_it(tmp_path: Path) -> None:
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'test.db'}")
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", server.http_port))
        other.listen()
        assert str(server.http_port) in refusal(server)


@pytest.mark.long
@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/folder/test.db", "postgresql+psycopg://nobody@127.0.0.1:1/none", "x"]
)
def test_a_database_that_cannot_be_reached_is_one_line(tmp_path: Path, url: str) -> None:
    assert "database" in refusal(Server(tmp_path, url)).lower()


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/stations", {"id": "CS 1/2", "password": "p" * 20}, 422, "id"),
    ("POST", "/stations", {"id": "CS9", "password": "short"}, 422, "password"),
    ("POST", "/stations", {"id": "CS9", "password": "p" * 20, "site": "moon"}, 422, "site"),
    ("POST", "/stations", {"id": "CS9", "password": "p" * 20, "colour": "red"}, 422, "colour"),
    ("POST", "/stations", {"id": "CS1", "password": "p" * 20}, 409, "id"),
    ("POST", "/dr-events", {"direction": "sideways"}, 422, "direction"),
    ("POST", "/id-tokens", {"token": "", "status": "Accepted"}, 422, "token"),
    ("POST", "/id-tokens", {"token": "T", "status": "Perhaps"}, 422, "status"),
    ("PUT", "/prices/moon", {"steps": [{"starts_at": "2026-01-01T00:00:00Z", "price_per_kwh": "1"}]}, 404, "area"),
    ("PUT", "/prices/default", {"steps": [{"starts_at": "noon", "price_per_kwh": "1"}]}, 422, "starts_at"),
    ("POST", "/stations/CS1/calls", {"action": "Reset", "payload": {}}, 409, "CS1"),
    ("POST", "/stations/NOBODY/calls", {"action": "Reset", "payload": {}}, 404, "station"),
    ("GET", "/transactions?limit=0", None, 422, "limit"),
    ("GET", "/ledger?from=yesterday", None, 422, "from"),
    ("GET", "/users/nobody/balance", None, 404, "user"),
]


@ON_SQLITE
async def test_a_bad_request_is_a_problem_that_names_the_field(world: World) -> None:
    await world.provision("CS1")
    for method, path, body, status, named in BAD:
        answer = await world.api.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert named in answer.text, (path, answer.text)


@ON_SQLITE
@pytest.mark.parametrize("version", ["1.6", "2.1"])
async def test_a_payload_against_the_schema_is_not_sent(world: World, version: str) -> None:
    """422 with the place in the payload."""
    station = await world.raw(version)
    body = {"action": "Reset", "payload": {"type": "Gently"}}
    answer = await world.api.post(f"/api/v1/stations/{station.id}/calls", json=body)
    assert (answer.status_code, "payload.type" in answer.text) == (422, True)
    body = {"action": "Abracadabra", "payload": {}}
    answer = await world.api.post(f"/api/v1/stations/{station.id}/calls", json=body)
    assert (answer.status_code, "action" in answer.text) == (422, True)
    assert station.count("Reset") == 0
