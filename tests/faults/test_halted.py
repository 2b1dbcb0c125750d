"""Issue 6.1, C7: a server that can store nothing any more ends itself with one clear line and exit code 3."""

import subprocess
from pathlib import Path

import pytest
from psycopg.sql import SQL

from tests.databases import administer, empty_database
from tests.e2e.raw import connected
from tests.servers import Server

HALTED = 3
REFUSED = 2


def ending(server: Server) -> int:
    assert server._process is not None
    return server._process.wait(timeout=90)


def last_line(server: Server) -> str:
    return server.log().strip().splitlines()[-1]


@pytest.mark.long
async def test_a_server_whose_database_file_is_taken_away_ends_itself(tmp_path: Path) -> None:
    """It would write on into a file without a name, and confirm."""
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", "[ocpp]\nauto_register = true\n")
    try:
        server.start()
        async with connected(server.ocpp_url, "CS1", "1.6", None) as station:
            await station.boot()
            (tmp_path / "x.db").rename(tmp_path / "y.db")
            assert ending(server) == HALTED
        assert "was removed or replaced while the server used it" in last_line(server)
        assert "Traceback" not in server.log()
    finally:
        server.kill()


@pytest.mark.long
@pytest.mark.postgres
def test_a_server_whose_lock_another_one_took_ends_itself(tmp_path: Path) -> None:
    with empty_database("postgres", tmp_path) as url:
        first, second = Server(tmp_path, url), Server(tmp_path, url)
        second.log_path = tmp_path / "second.log"
        try:
            first.start()
            freeze_and_take_over(first, second, url)
            assert ending(first) == HALTED
            assert "another server took over" in last_line(first)
            assert second.is_running
        finally:
            first.kill()
            second.kill()


@pytest.mark.long
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_second_server_on_one_database_refuses_to_start_with_one_line_and_the_first_goes_on(
    tmp_path: Path, engine: str
) -> None:
    """C5: its own ports are free, only the database is taken."""
    with empty_database(engine, tmp_path) as url:
        first, second = Server(tmp_path, url), Server(tmp_path, url)
        try:
            first.start()
            refused = second.command("serve", "--config", str(second.config), check=False)
            said = (refused.stdout + refused.stderr).strip()
            assert refused.returncode == REFUSED
            assert "another server uses it; stop that one or name another database" in said.splitlines()[-1]
            assert "Traceback" not in said
            assert first.is_running
            first.stop()
            second.start()
        finally:
            first.kill()
            second.kill()


def freeze_and_take_over(first: Server, second: Server, url: str) -> None:
    """The first one's machine stands still so long that its sessions are ended; the standby starts meanwhile."""
    subprocess.run(["kill", "-STOP", str(first.pid)], check=True)
    name = url.rpartition("/")[2]
    end = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    administer(SQL(end))
    second.start()
    subprocess.run(["kill", "-CONT", str(first.pid)], check=True)
