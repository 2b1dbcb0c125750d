"""Cold boots against the whole server (scenarios 1 and 2)."""

import pytest

from tests.e2e.world import AC, VERSIONS, World, said


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_cold_boot_is_accepted_and_every_status_answered(world: World, version: str) -> None:
    """Scenarios 1 and 2 (P0): TC_001, TC_B_01."""
    station = await world.station(AC[version], evses=2)
    assert station.refusal is None
    seen = await world.get(f"/stations/{station.spec.id}")
    assert (seen["online"], seen["version"], seen["boot_state"]) == (True, version, "accepted")
    assert [evse["connectors"][0]["status"].lower() for evse in seen["evses"]] == ["available", "available"]
    assert len(said(station, "StatusNotification")) >= 4
