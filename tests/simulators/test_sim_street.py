"""Scenario files, the street that they describe, phones, and the command line."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from typer.testing import CliRunner

from simulators.__main__ import app
from simulators.clock import ScaledClock
from simulators.driver import Person, Phone, server_sent_events
from simulators.scenario import BadScenario, Scenario, load, with_drawn_visits
from simulators.street import Street, person_of
from tests.simulators.fake_csms import FakeCsms

EXAMPLE = Path(__file__).parents[2] / "simulators" / "scenarios" / "street.toml"
GOOD = '[server]\nocpp_url = "ws://127.0.0.1:1/ocpp"\n'
STATION = '[[station]]\nid = "A"\n'


def test_the_example_is_a_street_of_three_versions():
    street = load(EXAMPLE)
    assert {station.model_entry.version for station in street.station} == {"ocpp1.6", "ocpp2.0.1", "ocpp2.1"}
    assert all(station.visit for station in street.station)


def test_the_same_seed_draws_the_same_visits():
    assert load(EXAMPLE, 7) == load(EXAMPLE, 7)
    assert load(EXAMPLE, 7) != load(EXAMPLE, 8)


@pytest.mark.parametrize("seed", range(5))
def test_drawn_visits_of_one_station_never_meet(seed: int):
    given = {"server": {"ocpp_url": "ws://x/ocpp"}, "station": [{"id": "A"}], "visit_pattern": [{"visits": 9}]}
    (station,) = with_drawn_visits(Scenario.model_validate(given), seed).station
    edges = [edge for visit in station.visit for edge in (visit.arrive_s, visit.depart_s)]
    assert edges == sorted(edges)


BAD = [
    ("", "server"),
    (GOOD, "station"),
    (GOOD + STATION + "colour = 1\n", "station.0.colour: unknown key"),
    (GOOD + STATION + 'version = "1.5"\n', "station.0.version"),
    (GOOD + STATION + 'model = "Sim X"\n', "Sim V2G 2.1"),
    (GOOD + STATION + 'behaviours = ["sings"]\n', "accepts_and_ignores"),
    (GOOD + STATION + STATION, "same id"),
    (GOOD + STATION + "[[station.visit]]\narrive_s = 9\ndepart_s = 3\n", "depart_s must be after"),
    (GOOD + STATION + "[[station.visit]]\nevse = 2\ndepart_s = 3\n", "evse"),
    (GOOD + STATION + '[[visit_pattern]]\nstations = ["B"]\n', "B, which is no station"),
    ("[server", "not valid TOML"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_bad_scenario_gets_one_clear_line_and_exit_code_2(tmp_path: Path, text: str, said: str):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(BadScenario):
        load(file)
    result = CliRunner().invoke(app, ["run", str(file)])
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_missing_scenario_is_said_so():
    result = CliRunner().invoke(app, ["run", "nowhere.toml"])
    assert (result.exit_code, "cannot be read" in result.stderr) == (2, True)


def test_the_command_lists_what_there_is():
    assert "clamps_negatives: negative = clamp" in CliRunner().invoke(app, ["behaviours"]).stdout
    assert "Sim V2G 2.1 Dynamic (ocpp2.1)" in CliRunner().invoke(app, ["models"]).stdout


def test_a_street_without_a_server_ends_in_time_and_sums_up():
    command = [sys.executable, "-m", "simulators", "run", str(EXAMPLE), "--seconds", "0.2"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0
    summary = orjson.loads(done.stdout.splitlines()[-1])
    assert (summary["stations"], summary["connected"]) == (6, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_street_cleanly(tmp_path: Path, number: signal.Signals):
    """Exit 0, and the last line is the summary."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        file = tmp_path / "street.toml"
        file.write_text(GOOD.replace(":1/", f":{listener.getsockname()[1]}/") + STATION)
        command = [sys.executable, "-m", "simulators", "run", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            listener.settimeout(30)
            connection, _ = listener.accept()  # it runs
            process.send_signal(number)
            out, _ = process.communicate(timeout=20)
            connection.close()
    assert process.returncode == 0
    assert orjson.loads(out.splitlines()[-1])["connected"] == 0


async def test_a_street_lives_and_is_summed_up():
    async with FakeCsms("ocpp2.1") as csms:
        visit = {"arrive_s": 1, "depart_s": 61, "token": "CARD0001"}
        scenario = Scenario.model_validate(
            {
                "server": {"ocpp_url": csms.url},
                "defaults": {"time_scale": 100, "sample_interval_s": 10},
                "station": [{"id": "A", "version": "2.1", "discharge": True, "visit": [visit]}],
            }
        )
        street = Street(scenario)
        await street.run(None, asyncio.Event())
        summary = street.summary()
    assert (summary["stations"], summary["visits"], summary["transactions"]) == (1, 1, 1)
    assert 50 < summary["energy_import_wh"] < 130
    assert summary["energy_export_wh"] == 0
    assert summary["troubles"] == []


class Server:
    """The driver's API as the contract has it, behind a transport."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.told = asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(await request.aread() or b"null")
        path = request.url.path
        self.requests.append((request.method, path, body))
        if path == "/d/api/register":
            return httpx.Response(201, json={}, headers={"set-cookie": "tidewatt_terminal=x; Path=/d"})
        if path == "/d/api/state":
            assert request.headers["cookie"] == "tidewatt_terminal=x"
            return httpx.Response(200, json={"plug_in": {"id": "p1", "permission": {"state": "unasked"}}})
        if path == "/d/api/events":
            return httpx.Response(200, content=self.events())
        return httpx.Response(200, json={})

    async def events(self) -> AsyncIterator[bytes]:
        for state in ("unasked", "asked", "asked"):
            data = orjson.dumps({"plug_in": {"id": "p1", "permission": {"state": state}}})
            yield b": ping\n\nevent: state\ndata: " + data + b"\n\n"
        self.told.set()  # asked for more: everything before has been dealt with
        await asyncio.Event().wait()


@pytest.mark.parametrize(("answer", "granted"), [("yes", [True]), ("no", [False]), ("never", [])])
async def test_a_driver_registers_and_answers_once(answer: Any, granted: list[bool]):
    """P1, P3, P4."""
    server = Server()
    phone = Phone(ScaledClock(1000), httpx.AsyncClient(transport=httpx.MockTransport(server)))
    vehicle = {"name": "Leaf", "capacity_wh": 40_000, "max_charge_w": 6000, "max_discharge_w": 6000}
    person = Person(name="Aiko", vehicle=vehicle, answer=answer, conditions={"required_soc_percent": 60})
    visiting = asyncio.create_task(phone.visit("http://tidewatt.test/d/e/A/1?s=signed", person))
    async with asyncio.timeout(5):
        await server.told.wait()
    visiting.cancel()
    await asyncio.gather(visiting, return_exceptions=True)
    await phone.close()
    registered = next(body for method, path, body in server.requests if path == "/d/api/register")
    assert registered["vehicle"] == vehicle
    assert registered["link"] == "http://tidewatt.test/d/e/A/1?s=signed"
    answers = [body for _, path, body in server.requests if path == "/d/api/plug-ins/p1/answer"]
    assert [body["granted"] for body in answers] == granted
    assert all(body["conditions"] == {"required_soc_percent": 60} for body in answers)


async def test_event_streams_are_read_as_the_standard_says():
    async def lines() -> AsyncIterator[str]:
        for line in ("", ":comment", "event: state", "data: 1", "data:2", "id: 7", "", "data: x", "", "event: lost"):
            yield line

    assert [pair async for pair in server_sent_events(lines())] == [("state", "1\n2"), ("message", "x")]


def test_a_person_tells_departure_and_wishes():
    given = {"depart_s": 600, "min_sell_per_kwh": "31.5", "discharge": False}
    scenario = Scenario.model_validate(
        {"server": {"ocpp_url": "ws://x/ocpp"}, "station": [{"id": "A", "visit": [given]}]}
    )
    conditions = person_of(scenario.station[0].visit[0], ScaledClock()).conditions
    assert conditions["min_sell_per_kwh"] == "31.5"
    assert conditions["discharge"] is False
    assert conditions["zone"] == "UTC"
    assert "max_buy_per_kwh" not in conditions
