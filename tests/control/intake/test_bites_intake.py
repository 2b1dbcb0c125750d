"""What intake must not believe: one sharp case each. P1, P19, F12; V2G-8."""

from datetime import timedelta
from pathlib import Path

from csms.domain.station import ConnectorStatus, ProbeState
from tests.control.kit import CARD, E1, E2, START, World, station, world


async def test_a_card_shown_where_two_vehicles_wait_is_for_neither(tmp_path: Path) -> None:
    """P1: 1.6 does not say at which connector."""
    async with world(tmp_path, station(evses=2)) as w:
        await w.person()
        await w.plug(None, E1)
        await w.plug(None, E2)
        await w.take(w.authorize(CARD))
        assert (w.at(E1).user, w.at(E2).user) == (None, None)


async def test_a_sample_that_comes_late_is_not_the_present(w: World) -> None:
    """F12: 3 kW flow now; that nothing did a minute ago changes nothing of it."""
    await w.plug()
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    w.clock.pass_(60)
    await w.take(w.metered(import_wh=1000.0, power_import_w=3000.0))
    await w.take(w.metered(at=START, import_wh=950.0, power_import_w=0.0))
    reading = w.evse.meter.reading
    assert reading is not None
    assert (reading.at, reading.import_wh, reading.power_import_w) == (START + timedelta(seconds=60), 1000.0, 3000.0)


async def test_power_after_the_end_of_a_transaction_is_nothing(w: World) -> None:
    """P19, field lesson 19: 3 kW was the last sample before the end."""
    await w.take(w.status(ConnectorStatus.PREPARING))
    await w.take(w.event(0, token=CARD, charging_state="Charging"), w.metered(power_import_w=3000.0, import_wh=10.0))
    w.clock.pass_(5)
    await w.take(w.ended(1))
    reading = w.evse.meter.reading
    assert reading is not None
    assert (reading.power_w, reading.import_wh) == (0, 10.0)


async def test_a_proof_is_of_the_firmware_it_was_made_with(w: World) -> None:
    """V2G-8: the same model with another firmware has proven nothing yet."""
    await w.take(w.boot("1.0"))
    w.evse.told.probe_state = ProbeState.PASSED
    found = []
    for firmware in ("1.0", "1.1"):
        await w.take(w.boot(firmware))
        found.append(w.evse.told.probe_state)
    assert found == [ProbeState.PASSED, ProbeState.UNTRIED]
