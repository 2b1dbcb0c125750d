"""The program from outside: it starts on both engines, and says in one line what is wrong when it cannot."""

import socket
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from tests.servers import Server, running

pytestmark = pytest.mark.long


def test_it_starts_answers_and_stops_on_each_engine(server_on_each: Server) -> None:
    """SIGTERM ends it with 0 (the fixture looks)."""
    with server_on_each.client() as api:
        assert api.get("/healthz").is_success
        assert api.get("/api/openapi.json").json()["info"]["title"]
        assert api.get("/api/v1/stations").json()["items"] == []
    assert httpx.get(f"{server_on_each.http_url}/api/v1/stations").status_code == 401


def test_the_program_says_what_it_is_and_which_version(tmp_path: Path) -> None:
    """E6: the help opened with a note to its programmers, and ``--config`` said what was not so."""
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'test.db'}")
    shown = server.command("--version").stdout
    assert shown.strip() == f"csms {version('tidewatt')}"
    text = " ".join(server.command("--help").stdout.split())
    assert "OCPP" in text
    assert "traceback" not in text
    assert "./config.toml" in server.command("serve", "--help").stdout


def test_prune_says_what_would_go_and_lets_it_go(tmp_path: Path) -> None:
    """Design §3: also by hand; of a new database nothing goes."""
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'test.db'}")
    said = server.command("prune", "--dry-run", "--config", str(server.config)).stdout.splitlines()
    assert [line for line in said if line.startswith("frames: 0 rows of frame_page from before ")]
    assert all(line.endswith("would go") for line in said)
    went = server.command("prune", "--config", str(server.config)).stdout.splitlines()
    assert went == [line.replace("would go", "went") for line in said]


def _refusal(server: Server) -> str:
    """The one line with which ``csms serve`` ends; exit code 2."""
    run = server.command("serve", "--config", str(server.config), check=False)
    (line,) = run.stderr.strip().splitlines()
    assert run.returncode == 2
    return line


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("[ocpp]\nprot = 9000\n", "ocpp.prot"),
        ("[dispatch]\ntick_s = -1\n", "dispatch.tick_s"),
        ("[ocpp\n", "config.toml"),
    ],
    ids=["an unknown key", "a bad value", "no TOML"],
)
def test_a_wrong_configuration_is_one_line_that_names_the_place(tmp_path: Path, config: str, named: str) -> None:
    """Issue 2, what bad input gets."""
    assert named in _refusal(Server(tmp_path, f"sqlite:///{tmp_path / 'test.db'}", config))


def test_a_busy_port_is_one_line_that_names_the_port(tmp_path: Path) -> None:
    """Issue 2, what bad input gets."""
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'test.db'}")
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", server.ocpp_port))
        other.listen()
        assert str(server.ocpp_port) in _refusal(server)


def test_a_newer_database_is_one_line(tmp_path: Path) -> None:
    """A database of a later version is left alone."""
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'test.db'}")
    server.command("migrate")
    with closing(sqlite3.connect(tmp_path / "test.db")) as database:
        database.execute("update alembic_version set version_num = 'r9999'")
        database.commit()
    assert "newer" in _refusal(server)


def test_a_second_server_on_the_same_file_is_one_line(tmp_path: Path) -> None:
    """Two writers of one SQLite file would be two truths."""
    with running(tmp_path) as first:
        other = tmp_path / "other"
        other.mkdir()
        assert _refusal(Server(other, first.database_url))
