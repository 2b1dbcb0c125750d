"""Cold boots against the whole server (scenarios 1-3)."""

from typing import Any

import pytest

from tests.e2e.raw import now
from tests.e2e.world import AC, VERSIONS, World, said


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_cold_boot_is_accepted_and_every_status_answered(world: World, version: str) -> None:
    """Scenarios 1 and 2 (P0): TC_001, TC_B_01."""
    station = await world.station(AC[version], evses=2)
    assert station.refusal is None
    seen = await world.get(f"/stations/{station.spec.id}")
    assert (seen["online"], seen["version"], seen["boot_state"]) == (True, version, "accepted")
    assert [evse["connectors"][0]["status"].lower() for evse in seen["evses"]] == ["available", "available"]
    assert len(said(station, "StatusNotification")) >= 2, "one for each EVSE; who tells them is not asked again (C9)"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", ["pending", "rejected"])
async def test_a_station_not_accepted_is_kept_out_of_service_until_it_is(
    world: World, version: str, state: str
) -> None:
    """Scenario 3 (P0): TC_B_02, TC_B_30, TC_B_31. It may be queried; nothing is set up and nothing starts on it."""
    id_ = world.new_id("RAW")
    await world.provision(id_, registration=state)
    station = await world.raw(version, id_=id_, boot=False)
    answer = await station.boot()
    assert answer["status"].lower() == state
    assert answer["interval"] > 0
    driver = await world.driver(id_)
    if version != "1.6":  # B02.FR.09, B03.FR.07; 1.6 boxes that talk first are answered (field lessons §8a)
        assert (await station.ask("Heartbeat", {}))[2] == "SecurityError"
    await station.ask("StatusNotification", status_of(version))
    await world.daemon.system.reactions.sweep()
    assert (await driver.state())["plug_in"] is None or version == "1.6"
    if state == "pending":
        assert await world.call(id_, "TriggerMessage", {"requestedMessage": "BootNotification"})
    assert station.count("SetChargingProfile") == 0
    assert (await world.get(f"/stations/{id_}"))["boot_state"] == state

    asked = station.count("TriggerMessage")
    changed = await world.api.patch(f"/api/v1/stations/{id_}", json={"registration": "accepted"})
    assert changed.is_success, changed.text
    await station.until(lambda: station.count("TriggerMessage") > asked, "the wish for a boot")
    assert (await station.boot())["status"] == "Accepted"
    await station.heard_call("SetChargingProfile")
    assert (await world.get(f"/stations/{id_}"))["boot_state"] == "accepted"


def status_of(version: str) -> dict[str, Any]:
    if version == "1.6":
        return {"connectorId": 1, "errorCode": "NoError", "status": "Preparing", "timestamp": now()}
    return {"evseId": 1, "connectorId": 1, "connectorStatus": "Occupied", "timestamp": now()}
