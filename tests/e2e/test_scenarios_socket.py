"""Credentials, versions and the frames of one socket against the whole server (scenarios 4, 11-14, 22).

Nothing here depends on the engine; tests/edge has the details of each.
"""

import asyncio
import base64
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.conftest import ON_SQLITE
from tests.e2e.raw import connected
from tests.e2e.world import PASSWORD, VERSIONS, World, until

METERED: dict[str, dict[str, Any]] = {
    "1.6": {"connectorId": 1, "meterValue": "none"},
    "2.0.1": {"evseId": 1, "meterValue": "none"},
    "2.1": {"evseId": 1, "meterValue": "none"},
}

GARBAGE = ("{", "[2]", '[2,"x"]', "[[[[", '[9,"x","Heartbeat",{}]', "null", '[3,"x",', "")
UNFIT: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "1.6": [
        ("Abracadabra", {}, "NotImplemented"),
        ("Authorize", {}, "ProtocolError"),
        ("Authorize", {"idTag": {}}, "TypeConstraintViolation"),
    ],
    "2.0.1": [
        ("Abracadabra", {}, "NotImplemented"),
        ("BootNotification", {"reason": "PowerUp"}, "OccurrenceConstraintViolation"),
    ],
    "2.1": [
        ("Abracadabra", {}, "NotImplemented"),
        ("Authorize", {"idToken": {"idToken": {}, "type": "Central"}}, "TypeConstraintViolation"),
    ],
}
pytestmark = ON_SQLITE


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["ocpp1.6", "ocpp2.1", "ocpp2.0.1"], "2.1"), (["ocpp1.6", "soap"], "1.6")]
)
async def test_the_best_common_version_is_taken(world: World, offered: list[str], chosen: str) -> None:
    """Scenario 4 (P0): TC_B_58."""
    await world.provision("CS")
    async with connect(f"{world.ocpp_url}/CS", subprotocols=offered, additional_headers=basic("CS"), proxy=None) as ws:
        assert ws.subprotocol == f"ocpp{chosen}"

        async def look() -> Any:
            return (await world.get("/stations/CS"))["version"]

        assert await until(look, "its version") == chosen


async def test_without_a_common_version_the_connection_ends(world: World) -> None:
    """Scenario 4 (P0): refused when none fits."""
    await world.provision("CS")
    async with connect(
        f"{world.ocpp_url}/CS", subprotocols=["ocpp1.5"], additional_headers=basic("CS"), proxy=None
    ) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert not (await world.get("/stations/CS"))["online"]


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_wrong_credentials_are_refused_before_the_handshake(world: World) -> None:
    """Scenario 22 (P0): TC_A_02 (wrong user), TC_A_03 (wrong password); the good ones (TC_A_01) are everywhere else."""
    await world.provision("CS")
    assert await refusal(world, "CS", basic("other")) == 401
    assert await refusal(world, "CS", basic("CS", "a-wrong-password-of-24-ch")) == 401
    assert await refusal(world, "CS", {}) == 401
    assert await refusal(world, "NOBODY", basic("NOBODY")) == 404
    async with connect(f"{world.ocpp_url}/CS", subprotocols=["ocpp1.6"], additional_headers=basic("CS"), proxy=None):
        pass


async def refusal(world: World, station: str, headers: dict[str, str]) -> int:
    """The status with which a handshake is refused."""
    url = f"{world.ocpp_url}/{station}"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, subprotocols=["ocpp1.6"], additional_headers=headers, proxy=None)
    return refused.value.response.status_code


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_newest_socket_of_a_station_wins_and_the_old_ones_calls_fail(world: World, version: str) -> None:
    """Scenario 11 (P0): the same id connects twice; field lessons 1, 2 and 7."""
    old = await world.raw(version)
    old.answers["Reset"] = lambda _: None
    call = {"action": "Reset", "payload": {"type": "Soft" if version == "1.6" else "OnIdle"}, "timeout_s": 30}
    pending = asyncio.create_task(world.api.post(f"/api/v1/stations/{old.id}/calls", json=call))
    await old.heard_call("Reset")
    async with connected(world.ocpp_url, old.id, version, PASSWORD) as new:
        assert (await pending).status_code == 409
        await old.socket.wait_closed()
        answer = await world.call(old.id, call["action"], call["payload"])
        assert answer == {"status": "Accepted"}
        assert new.count("Reset") == 1
        assert (await world.get(f"/stations/{old.id}"))["online"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_malformed_frames_leave_the_socket_and_the_others_alone(world: World, version: str) -> None:
    """Scenario 12 (P0)."""
    bad, good = await world.raw(version), await world.raw("1.6")
    for text in GARBAGE:
        await bad.say(text)
        assert "currentTime" in await bad.tell("Heartbeat", {})
    assert "currentTime" in await good.tell("Heartbeat", {})
    assert not [frame for frame in good.heard if frame[0] == 4]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_does_not_fit_gets_the_versions_code(world: World, version: str) -> None:
    """Scenario 13 (P0)."""
    station = await world.raw(version)
    for action, payload, code in UNFIT[version]:
        assert (await station.ask(action, payload))[:3:2] == [4, code]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_must_be_confirmed_is_confirmed_even_when_nobody_understands_it(world: World, version: str) -> None:
    """V2G-39, field lesson 8: it is kept in quarantine."""
    station = await world.raw(version)
    assert await station.tell("MeterValues", METERED[version]) == {}


@pytest.mark.parametrize("version", VERSIONS)
async def test_answers_nobody_asked_for_are_ignored_and_late_ones_are_not_the_next_calls(
    world: World, version: str
) -> None:
    """Scenario 14 (P0)."""
    station = await world.raw(version)
    await station.say('[3,"never-asked",{"status":"Accepted"}]')
    await station.say('[4,"never-asked","InternalError","",{}]')
    station.answers["Reset"] = lambda _: None
    call = {"action": "Reset", "payload": {"type": "Soft" if version == "1.6" else "OnIdle"}, "timeout_s": 0.2}
    assert (await world.api.post(f"/api/v1/stations/{station.id}/calls", json=call)).status_code == 504
    late_id = next(id_ for id_, action, _ in station.calls if action == "Reset")
    station.answers["Reset"] = lambda _: {"status": "Rejected"}
    await station.say(orjson.dumps([3, late_id, {"status": "Accepted"}]).decode())
    assert await world.call(station.id, "Reset", call["payload"]) == {"status": "Rejected"}
