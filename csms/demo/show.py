"""Runs the demo: starts the server and the street, asks for demand response, tells what came of it."""

import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from csms.clock import SystemClock
from csms.demo import street
from csms.domain.errors import CsmsError

READY_WITHIN_S = 30.0
EVENT_W = 85_000
INCENTIVE_PER_KWH = "60"
SETTLED_AFTER_S = 4.0
EVERY_S = 300.0
"""In an open demo, a DR event this often."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo's server listens and keeps its files."""

    folder: Path
    ocpp_port: int
    http_port: int

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ocpp(self) -> str:
        return f"ws://127.0.0.1:{self.ocpp_port}/ocpp"


def run(*, headless: bool, seconds: int, as_json: bool) -> None:
    """The whole demo. Raises CsmsError when a part of it does not come up."""
    with tempfile.TemporaryDirectory(prefix="tidewatt-demo-") as folder, _interruptible():
        place = prepare(Path(folder))
        token = _made_token(place)
        with _process("serve", "--config", str(place.config)), _client(place, token) as api:
            _until_ready(api)
            lasts = seconds if headless else 24 * 3600
            first_link = _open_street(place, api, lasts)
            if not as_json:
                _greet(place, token, first_link)
            with _simulators(place):
                outcome = _show(api, lasts, headless=headless)
            if as_json:
                sys.stdout.write(json.dumps(outcome) + "\n")


def prepare(folder: Path) -> Place:
    """Ports and a configuration for the demo's server."""
    place = Place(folder, free_port(9000), free_port(8080))
    text = street.SETTINGS.format(
        ocpp_port=place.ocpp_port, http_port=place.http_port, database=(folder / "demo.db").as_posix()
    )
    place.config.write_text(text, encoding="utf-8")
    return place


def free_port(usual: int) -> int:
    """The usual port, or any free one when that is taken."""
    for port in (usual, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise CsmsError("no free port on 127.0.0.1")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the demo in order, not in a traceback."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("the demo ends\n")
    finally:
        signal.signal(signal.SIGTERM, before)


def _made_token(place: Place) -> str:
    command = [sys.executable, "-m", "csms", "token", "create", "--scope", "operator", "--config", str(place.config)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603  our own


@contextlib.contextmanager
def _process(*arguments: str, module: str = "csms") -> Iterator[subprocess.Popen[bytes]]:
    """A part of the demo in its own process and group, so that Ctrl-C reaches it through us only."""
    process = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _simulators(place: Place) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return _process("run", str(place.folder / "street.toml"), module="simulators")


def _client(place: Place, token: str) -> httpx.Client:
    return httpx.Client(base_url=place.api, headers={"Authorization": f"Bearer {token}"}, timeout=10)


def _until_ready(api: httpx.Client) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if api.get("/readyz").is_success:
                return
        time.sleep(0.1)
    raise CsmsError(f"the demo's server was not ready within {READY_WITHIN_S:.0f} s")


def _open_street(place: Place, api: httpx.Client, seconds: int) -> str:
    """Provision every station by the API and write the simulators' scenario. Returns the first EVSE's link."""
    passwords = {box.id: secrets.token_hex(street.PASSWORD_BYTES) for box in street.STREET}
    links: dict[str, str] = {}
    for box in street.STREET:
        answer = api.post("/api/v1/stations", json=street.provisioning(box, passwords[box.id]))
        links[box.id] = _checked(answer)["evses"][0]["link"]
    text = street.scenario(place.ocpp, passwords, links, seconds)
    (place.folder / "street.toml").write_text(text, encoding="utf-8")
    return links[street.STREET[0].id]


def _checked(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise CsmsError(f"{answer.request.url.path}: {answer.status_code} {answer.text[:200]}")
    return answer.json()


def _greet(place: Place, token: str, link: str) -> None:
    sys.stdout.write(
        f"Driver's page   {place.api}/d/\n"
        f"One EVSE's link {link}\n"
        f"API             {place.api}/api/v1  (OpenAPI: {place.api}/api/openapi.json)\n"
        f"Token           {token}\n"
        f"Stations        {place.ocpp}/<station id>\n"
        f"Ctrl-C ends the demo.\n"
    )
    sys.stdout.flush()


def _show(api: httpx.Client, seconds: int, *, headless: bool) -> dict[str, Any]:
    """Let it run, with a DR event in the middle (an open demo: one every few minutes). Returns the outcome."""
    started = time.monotonic()
    time.sleep(min(24.0, seconds * 0.4))
    event = _ask_for_response(api, seconds * 0.45 if headless else EVERY_S / 2)
    if headless:
        time.sleep(max(0.0, seconds - SETTLED_AFTER_S - (time.monotonic() - started)))
        time.sleep(SETTLED_AFTER_S)
        return outcome(api, event)
    while True:
        time.sleep(EVERY_S)
        _ask_for_response(api, EVERY_S / 2)


def _ask_for_response(api: httpx.Client, seconds: float) -> str:
    """Ask for less demand from now on; the event's id."""
    ends_at: datetime = SystemClock().now() + timedelta(seconds=seconds)
    body = {
        "direction": "down",
        "requested_w": EVENT_W,
        "ends_at": ends_at.isoformat(),
        "areas": ["harbour"],
        "incentive_per_kwh": INCENTIVE_PER_KWH,
    }
    return str(_checked(api.post("/api/v1/dr-events", json=body))["id"])


def outcome(api: httpx.Client, event_id: str) -> dict[str, Any]:
    """What came of it, by the server's own API and store."""
    summary = _checked(api.get("/api/v1/summary"))
    event = _checked(api.get(f"/api/v1/dr-events/{event_id}"))
    return {
        "stations": _by_version(summary),
        "plug_ins": summary["plug_ins"],
        "permissions": summary["permissions"],
        "dr_event": {key: event[key] for key in ("requested_wh", "delivered_wh", "achievement")},
        "setpoints": summary["setpoints"],
        "violations": summary["violations"],
        "ledger": summary["ledger"],
        "discharged_without_permission_wh": summary["discharged_without_permission_wh"],
        "below_required_charge": summary["below_required_charge"],
    }


def _by_version(summary: Mapping[str, Any]) -> dict[str, int]:
    counted = summary["now"]["stations_by_version"]
    return {version: counted.get(version, 0) for version in ("1.6", "2.0.1", "2.1")}
