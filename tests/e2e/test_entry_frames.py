"""From money back to the wire, on the whole server with a simulated station. M2."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import ON_SQLITE
from tests.e2e.test_main_job import EVENT_PRICE, FULL_W, flow_of, over, permitted, settled
from tests.e2e.world import World


def message(frame: dict[str, Any]) -> Any:
    return json.loads(frame["raw"])


@ON_SQLITE
@pytest.mark.parametrize("version", ["1.6", "2.1"])
async def test_a_sale_leads_back_to_the_setpoint_s_call_and_its_answer(world: World, version: str) -> None:
    """M2: the CALLs that told the entry's setpoints went out as they stand there, each with what answered it."""
    here = await permitted(world, version)
    event = await world.event(FULL_W + 4000, seconds=60, price=EVENT_PRICE)
    await here.station.until(lambda: here.exported_wh > 8, 30)
    await over(world, event)
    await here.flows(FULL_W)
    here.station.unplug()
    await world.closed_transaction(here.station.spec.id)
    entries = await settled(world, here)
    sale = next(entry for entry in entries if flow_of(entry) == "sale" and entry["evidence"].get("setpoints"))
    answer = await world.get(f"/ledger/{sale['id']}/frames", limit=500)
    of_setpoints = [frame for frame in answer["items"] if "setpoint" in frame["purposes"]]
    calls = {frame["message_id"]: message(frame) for frame in of_setpoints if frame["direction"] == "out"}
    answers = {frame["message_id"]: message(frame) for frame in of_setpoints if frame["direction"] == "in"}
    assert "SetChargingProfile" in {call[2] for call in calls.values()}
    assert {call[2] for call in calls.values()} & {"RemoteStartTransaction", "RequestStartTransaction"}
    assert answers.keys() == calls.keys()
    assert {told[0] for told in answers.values()} == {3}
    assert answer["missing"] == []
    assert [frame["id"] for frame in answer["items"]] == sorted(frame["id"] for frame in answer["items"])
