"""The real program as a subprocess on free ports: for the end-to-end, fault, peer and browser tests.

Use the fixture ``server`` (SQLite), ``running(...)`` for a server with its own configuration or database, and
``Server.kill`` with ``Server.start`` for tests of crashes.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import psycopg

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
POSTGRES = "postgres@127.0.0.1:5432"
ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One ``csms serve`` with its directory, ports and database. Nothing runs before ``start``."""

    def __init__(
        self, directory: Path, database_url: str, config: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.database_url = database_url
        self.ocpp_port, self.http_port = free_port(), free_port()
        self.config = directory / "config.toml"
        self.config.write_text(config, encoding="utf-8")
        self.log_path = directory / "server.log"
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ocpp_url(self) -> str:
        """Without the station's id: ``{ocpp_url}/{id}`` is where a station connects."""
        return f"ws://127.0.0.1:{self.ocpp_port}/ocpp"

    @property
    def env(self) -> dict[str, str]:
        """Environment of the program: that of the tests, without settings of a developer's shell."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CSMS_")}
        return inherited | self._settings() | self._env

    def _settings(self) -> dict[str, str]:
        return {
            "CSMS_OCPP__PORT": str(self.ocpp_port),
            "CSMS_HTTP__PORT": str(self.http_port),
            "CSMS_DATABASE__URL": self.database_url,
        }

    @property
    def token(self) -> str:
        """An operator's API token, made by the command line at the first use."""
        if not self._token:
            printed = self.command("token", "create", "--scope", "operator").stdout
            self._token = printed.split()[-1]
        return self._token

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``csms …`` beside the server, with the same settings."""
        run = subprocess.run(
            [*_program(), *arguments],
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        assert not check or run.returncode == 0, f"csms {' '.join(arguments)}: {run.stdout}{run.stderr}"
        return run

    def start(self) -> None:
        """Start and wait until /readyz answers 200."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*_program(), "serve", "--config", str(self.config)],
                cwd=self.directory,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_ready(self._process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            assert monotonic() < deadline, f"not ready in time:\n{self.log()}"
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"ended with {process.returncode} before it was ready:\n{self.log()}")

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.http_url}/readyz", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, as a service manager does: the program ends with 0 and has no traceback in its log."""
        assert self._process is not None, "the server was not started"
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_TIMEOUT_S} s after SIGTERM:\n{self.log()}") from None
        assert code == 0, f"ended with {code}:\n{self.log()}"
        assert "Traceback" not in self.log(), self.log()

    def kill(self) -> None:
        """SIGKILL: a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=STOP_TIMEOUT_S)

    def log(self, characters: int = 20_000) -> str:
        """The end of what the server printed."""
        return (
            self.log_path.read_text(encoding="utf-8", errors="replace")[-characters:] if self.log_path.exists() else ""
        )

    def client(self) -> httpx.Client:
        """A client of the API with the operator's token; close it (it is a context manager)."""
        return httpx.Client(base_url=self.http_url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)

    def async_client(self) -> httpx.AsyncClient:
        """The same for a test that runs on an event loop."""
        return httpx.AsyncClient(base_url=self.http_url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST with the operator's token; the answer's JSON. Anything but a 2xx fails the test with the answer."""
        with self.client() as api:
            answer = api.post(path, json=body)
        assert answer.is_success, f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def get(self, path: str, **query: Any) -> Any:
        """GET with the operator's token; the answer's JSON."""
        with self.client() as api:
            answer = api.get(path, params=query)
        assert answer.is_success, f"GET {path}: {answer.status_code} {answer.text}"
        return answer.json()


def _program() -> list[str]:
    return [sys.executable, "-m", "csms"]


@contextmanager
def running(
    directory: Path, *, database_url: str | None = None, config: str = "", env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A started server; stopped with SIGTERM at the end. Its log is shown with a failed test."""
    server = Server(directory, database_url or f"sqlite:///{directory / 'test.db'}", config, env)
    try:
        server.start()
        yield server
        if server.is_running:
            server.stop()
    finally:
        server.kill()
        sys.stdout.write(server.log())


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """URL of a new, empty PostgreSQL database, dropped at the end. psycopg.OperationalError without a server."""
    name = f"tidewatt_{uuid4().hex}"
    with ExitStack() as stack:
        admin = stack.enter_context(
            psycopg.connect(f"postgresql://{POSTGRES}/test", autocommit=True, connect_timeout=5)
        )
        admin.execute(f'create database "{name}"')
        stack.callback(admin.execute, f'drop database "{name}" with (force)')
        yield f"postgresql+psycopg://{POSTGRES}/{name}"


def has_postgres() -> bool:
    """Whether the tests' PostgreSQL server answers."""
    try:
        socket.create_connection(("127.0.0.1", 5432), timeout=1).close()
    except OSError:
        return False
    return True


def has_node() -> bool:
    """Whether Node and the npm peers are installed."""
    return shutil.which("node") is not None and (ROOT / "node_modules" / "ocpp-rpc").is_dir()


def chromium() -> str | None:
    """Path of an installed Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
