"""The next vehicle at an EVSE whose connector never said that it was free: another connector, or Finishing. P2, P4, B1.

1.6 §4.9: Finishing -> Preparing is a cable put in again or a card; reference v2g-over-ocpp §2.1.
"""

import pytest

from csms.domain.facts import IdToken
from csms.domain.people import IdTokenRecord
from csms.domain.permission import PermissionState
from csms.domain.station import ConnectorStatus
from tests.control.kit import AOI, CARD, E1, KEN, World, state_of

FREE = IdToken("EVERYBODY")


@pytest.fixture(autouse=True)
async def _ken(w: World) -> None:
    await w.person(KEN, None, None)
    await w.token(IdTokenRecord(token=FREE.value))


async def swept(w: World, seconds: float) -> None:
    w.clock.pass_(seconds)
    await w.system.reactions.sweep()
    await w.quiet()


async def test_p2_a_vehicle_at_the_other_connector_is_seen_once_the_first_has_left(w: World) -> None:
    """2.x: B plugs into connector 2 of the same EVSE before A's connector 1 is free."""
    await w.plug()
    first = w.plug_in
    w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.OCCUPIED, connector=2))
    assert w.plug_in.id == first.id
    left = w.clock.pass_(5)
    await w.take(w.status(ConnectorStatus.AVAILABLE, connector=1))
    await swept(w, 10)
    assert (w.plug_in.connector, w.plug_in.user, w.plug_in.plugged_at) == (2, None, left)
    claimed = await w.system.rooms.matching.claim(KEN, E1)
    assert claimed is not None
    assert claimed.user == KEN


async def test_p2_a_vehicle_at_the_other_connector_is_seen_when_the_first_ones_transaction_ends_with_its_cable(
    w: World,
) -> None:
    """2.x: nothing more is said of connector 2, which was occupied all the while."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging", connector=1))
    w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.OCCUPIED, connector=2))
    w.clock.pass_(60)
    await w.take(w.ended(1, trigger="EVDeparted", stopped_reason="EVDisconnected"))
    await w.take(w.status(ConnectorStatus.AVAILABLE, connector=1))
    await swept(w, 10)
    assert (w.plug_in.connector, w.plug_in.user, state_of(w)) == (2, None, PermissionState.UNASKED)


async def test_p2_connectors_that_are_busy_together_and_free_together_are_one_vehicle(w: World) -> None:
    """Some stations call all connectors of an EVSE occupied while it serves one."""
    await w.plug()
    await w.say()
    await w.take(w.event(0, token=CARD, charging_state="Charging", connector=1))
    await w.take(w.status(ConnectorStatus.OCCUPIED, connector=2))
    w.clock.pass_(60)
    await w.take(w.ended(1, trigger="EVDeparted", stopped_reason="EVDisconnected"))
    await w.take(w.status(ConnectorStatus.AVAILABLE, connector=1), w.status(ConnectorStatus.AVAILABLE, connector=2))
    await swept(w, 10)
    assert w.evse.plug_in is None
    await swept(w, 100)
    assert w.evse.plug_in is None


async def charged(w: World, token: IdToken = CARD) -> None:
    """1.6: Aoi's vehicle has charged under her yes, and waits in Finishing."""
    await w.plug()
    await w.say()
    await w.take(w.started(token), w.status(ConnectorStatus.CHARGING))
    w.clock.pass_(600)
    await w.take(w.stopped(w.evse.run.transaction, token=token), w.status(ConnectorStatus.FINISHING))


async def test_b1_preparing_after_finishing_is_the_next_vehicle_and_inherits_nothing(w: World) -> None:
    """1.6: the station let everybody charge, and the next car ran under Aoi's yes."""
    await charged(w, FREE)
    came = w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert (w.plug_in.user, w.plug_in.plugged_at, state_of(w)) == (None, came, PermissionState.UNASKED)
    await w.system.rooms.matching.claim(KEN, E1)
    assert w.plug_in.user == KEN
    await w.take(w.started(FREE, meter_start_wh=1000))
    assert (w.plug_in.user, state_of(w)) == (KEN, PermissionState.ASKED)


async def test_b1_the_same_after_a_restart(w: World) -> None:
    await charged(w)
    await w.restart()
    w.clock.pass_(60)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert w.plug_in.user is None


@pytest.mark.parametrize("why", ["card", "our start", "power cycle", "never charged"])
async def test_p4_preparing_after_finishing_that_has_another_reason_is_the_same_vehicle(w: World, why: str) -> None:
    """1.6: a card that was shown, a start that we asked for, a station that began anew or gave up waiting."""
    if why == "never charged":
        await w.plug()
        await w.say(granted=False)
        await w.take(w.status(ConnectorStatus.FINISHING))
    else:
        await charged(w)
    before = w.plug_in.id
    w.clock.pass_(60)
    if why == "card":
        await w.take(w.authorize(CARD))
    elif why == "our start":
        await w.say()
        assert w.evse.answered is not None
        assert w.evse.answered.start is not None
    elif why == "power cycle":
        await w.take(w.boot())
    w.clock.pass_(5)
    await w.take(w.status(ConnectorStatus.PREPARING))
    assert (w.plug_in.id, w.plug_in.user) == (before, AOI)
