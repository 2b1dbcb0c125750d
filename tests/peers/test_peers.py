"""Stations that others wrote, against the real server: npm ocpp-rpc (strict) and em-ocpp-chargepoint-simulator."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest

from tests.peers.opinion import second_opinion
from tests.servers import ROOT, Server, running

pytestmark = [pytest.mark.peer, pytest.mark.long]

PEERS = Path(__file__).parent
EM_MAIN = ROOT / "node_modules/em-ocpp-chargepoint-simulator/build/src/main.js"
PASSWORD = "pw0123456789abcdef"
TOKEN = "PEER-TOKEN-1"
STEP_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Wire:
    """What a version calls the remote start, stop and a profile; used to drive the station through the API."""

    number: str
    script: str
    start: tuple[str, dict[str, Any]]
    profile: Callable[[Any], dict[str, Any]]
    stop: Callable[[Any], tuple[str, dict[str, Any]]]


def _schedule(more: dict[str, Any]) -> dict[str, Any]:
    return more | {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 3000.0}]}


def _profile(identity: str, transaction: Any) -> dict[str, Any]:
    return {
        identity: 77,
        "stackLevel": 3,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "transactionId": transaction,
    }


def _profile16(transaction: Any) -> dict[str, Any]:
    profile = _profile("chargingProfileId", transaction) | {"chargingSchedule": _schedule({})}
    return {"connectorId": 1, "csChargingProfiles": profile}


def _profile2(transaction: Any) -> dict[str, Any]:
    profile = _profile("id", transaction) | {"chargingSchedule": [_schedule({"id": 1})]}
    return {"evseId": 1, "chargingProfile": profile}


_START2 = (
    "RequestStartTransaction",
    {"idToken": {"idToken": TOKEN, "type": "ISO14443"}, "remoteStartId": 5, "evseId": 1},
)


def _stop2(transaction: Any) -> tuple[str, dict[str, Any]]:
    return "RequestStopTransaction", {"transactionId": transaction}


WIRES = (
    Wire(
        "1.6",
        "station16.mjs",
        ("RemoteStartTransaction", {"idTag": TOKEN, "connectorId": 1}),
        _profile16,
        lambda transaction: ("RemoteStopTransaction", {"transactionId": transaction}),
    ),
    Wire("2.0.1", "station201.mjs", _START2, _profile2, _stop2),
    Wire("2.1", "station21.mjs", _START2, _profile2, _stop2),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all peers: their stations do not know of each other."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@dataclass
class Story:
    """What a station told: its steps, and every frame as (direction seen from the station, text)."""

    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    frames: list[tuple[str, str]] = field(default_factory=list)

    def hear(self, line: str) -> str | None:
        """Take in one line of output; the name of the step that it tells, if any."""
        told = _told(line)
        if "step" in told:
            self.steps[told["step"]] = told
            return str(told["step"])
        self.frames.extend((direction, told[direction]) for direction in ("sent", "heard") if direction in told)
        return None

    @property
    def heard(self) -> list[list[Any]]:
        return [json.loads(text) for direction, text in self.frames if direction == "heard"]


def _told(line: str) -> dict[str, Any]:
    """A line of our own scripts, or of the EM simulator, whose lines carry a prefix."""
    if "]: [" in line and ("send[" in line or "received[" in line):
        return {"sent" if "send[" in line else "heard": line.split("]: ", 1)[1].strip()}
    text = line.removeprefix("PEER ")
    told = json.loads(text) if text.startswith('{"') else {}
    return told if isinstance(told, dict) else {}


@contextmanager
def _node(server: Server, station: str, arguments: Sequence[str], stdin: str = "") -> Iterator["Queue[str | None]"]:
    """A Node process as station; its lines of output in a queue, None at the end."""
    env = os.environ | {
        "OCPP_ENDPOINT": server.ocpp_url,
        "OCPP_IDENTITY": station,
        "OCPP_PASSWORD": PASSWORD,
        "KNOWN_TOKEN": TOKEN,
    }
    lines: Queue[str | None] = Queue()
    with subprocess.Popen(
        ["node", *arguments], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(stdin)
        process.stdin.close()
        reader = Thread(target=_pump, args=(process.stdout, lines))
        reader.start()
        try:
            yield lines
        finally:
            process.kill()
            reader.join()


def _pump(output: Any, lines: "Queue[str | None]") -> None:
    for line in output:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def _follow(lines: "Queue[str | None]", on_step: Callable[[str, Story], None]) -> Story:
    story = Story()
    while (line := lines.get(timeout=STEP_TIMEOUT_S)) is not None:
        if step := story.hear(line):
            on_step(step, story)
    assert "done" in story.steps, story.steps
    return story


def _prepare(server: Server, station: str) -> None:
    server.post("/api/v1/stations", {"id": station, "password": PASSWORD, "site": "default"})
    server.post("/api/v1/id-tokens", {"token": TOKEN, "type": "ISO14443", "status": "Accepted"})


def _drive(server: Server, station: str, wire: Wire) -> Story:
    """Play the operator: start, set a profile and stop through the API when the station is ready for each."""

    def call(action: str, payload: dict[str, Any]) -> None:
        answer = server.post(
            f"/api/v1/stations/{station}/calls", {"action": action, "payload": payload, "timeout_s": 20}
        )
        assert answer["result"]["status"] == "Accepted", answer

    def on_step(step: str, story: Story) -> None:
        transaction = story.steps.get("ready_for_profile", {}).get("transaction")
        match step:
            case "ready_for_start":
                call(*wire.start)
            case "ready_for_profile":
                call("SetChargingProfile", wire.profile(transaction))
            case "ready_for_stop":
                call(*wire.stop(transaction))

    with _node(server, station, [str(PEERS / wire.script)]) as lines:
        return _follow(lines, on_step)


def _judge_server(version: str, story: Story) -> None:
    """Every frame that the server sent is valid to a validator that is not ours; CALLRESULTs against their CALL."""
    sent = [json.loads(text) for direction, text in story.frames if direction == "sent"]
    calls = {call[1]: call for call in sent if call[0] == 2}
    frames = [
        {"version": version, "frame": frame} | ({"request": calls[frame[1]]} if frame[0] == 3 else {})
        for frame in story.heard
    ]
    verdict = second_opinion(frames)
    assert verdict["checked"] == len(frames) > 0
    assert verdict["bad"] == []


def _transactions(server: Server, station: str) -> list[dict[str, Any]]:
    page: dict[str, Any] = server.get("/api/v1/transactions", station=station)
    return sorted(page["items"], key=lambda item: str(item["started_at"]))


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: f"ocpp{wire.number}")
def test_a_strict_independent_station_is_served_through_both_sessions(server: Server, wire: Wire) -> None:
    """Scenarios 1, 2, 5, 6, 8, 9, 19 and 22 (P0), by a station whose codec and schemas are not ours."""
    station = f"PEER-{wire.number}"
    _prepare(server, station)
    story = _drive(server, station, wire)

    steps = story.steps
    assert steps["refused"]["http_status"] == 401
    assert steps["booted"]["status"] == "Accepted"
    assert steps["authorized"]["known"] == "Accepted"
    assert steps["authorized"]["unknown"] in {"Invalid", "Unknown"}
    assert steps["remote_session"]["token"] == TOKEN
    assert steps["session"]["start_status"] == steps["remote_session"]["start_status"] == "Accepted"
    assert steps["done"]["strict_failures"] == []
    _judge_server(wire.number, story)

    records = _transactions(server, station)
    told = [str(steps[name]["transaction"]) for name in ("session", "remote_session")]
    assert [record["id"] for record in records] == told
    assert all(record["ended_at"] and not record["incomplete"] for record in records)
    if wire.number == "1.6":  # in 2.x the registers come as meter values, not as fields of the transaction
        assert [record["meter_stop_wh"] - record["meter_start_wh"] for record in records] == [2, 2]
    assert server.get(f"/api/v1/stations/{station}")["version"] == wire.number


def test_the_em_simulator_completes_a_session(server: Server) -> None:
    """Scenarios 1 and 5 (P0), by a second 1.6 client that has nothing to do with the first."""
    _prepare(server, "EM16")
    script = (PEERS / "em16.js").read_text(encoding="utf-8")
    with _node(server, "EM16", [str(EM_MAIN), "--stdin"], script) as lines:
        story = _follow(lines, lambda _step, _story: None)

    assert story.steps["booted"]["status"] == "Accepted"
    assert story.steps["authorized"]["status"] == "Accepted"
    assert story.steps["done"]["status"] == "Accepted"
    _judge_server("1.6", story)
    (record,) = _transactions(server, "EM16")
    assert record["id"] == str(story.steps["done"]["transaction"])
    assert record["ended_at"]
    assert record["meter_stop_wh"] - record["meter_start_wh"] == 2
