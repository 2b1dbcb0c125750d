"""A counterfactual that was stored for one event says nothing of the next, if the world went on between them. A1."""

from datetime import timedelta

import pytest

from csms.domain.conditions import Conditions
from csms.domain.ids import DrEventId
from csms.domain.station import ProbeState
from tests.control.dispatch.dispatching import event, tick
from tests.control.dispatch.test_event_memory import back, virtual
from tests.control.kit import World


@pytest.mark.parametrize(("starts_s", "goes_on"), [(3600, True), (3000, True), (7200, False)])
async def test_a_server_that_was_away_between_two_events_begins_the_second_as_the_vehicle_is(
    w: World, starts_s: int, goes_on: bool
) -> None:
    """Away from half past one event until half an hour into the next: only where none ran for a while is the world
    without events the real one. It rolled on at 7.36 kW through the gap."""
    await w.resource(Conditions(required_soc_percent=30))
    first = await event(w, 20_000)
    starts_at = first.starts_at + timedelta(seconds=starts_s)
    await event(w, 20_000, id=DrEventId("dr-2"), starts_at=starts_at, ends_at=starts_at + timedelta(hours=1))
    assert (first.ends_at - first.starts_at).total_seconds() == 3600
    await tick(w)
    before = virtual(w)
    w.clock.pass_(1800)
    await tick(w)
    w.clock.pass_(starts_s)
    await w.restart()
    await back(w)
    w.evse.told.probe_state = ProbeState.PASSED
    await w.take(w.metered(power_import_w=0.0, soc_percent=60.0))
    await tick(w)
    assert (virtual(w).frozen_at == before.frozen_at) is goes_on
    if not goes_on:
        assert virtual(w).energy_wh == pytest.approx(24_000, abs=400)
