"""Which stations there are: provisioned, changed, shown."""

from dataclasses import replace

import pytest

from csms.domain.commands import InstallFailsafeLimit, Trigger, TriggerKind
from csms.domain.errors import BadRequest, Conflict, NotFound
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.station import BootState, SetpointDriver
from csms.store import reads
from tests.control.kit import E1, S, World, station

PASSWORD = "a-password-of-24-letters"
NEW = station(StationId("CS-9"), boot_state=BootState.NEVER, version=None)


async def test_a_station_is_provisioned_once_and_only_at_a_known_site(w: World) -> None:
    registry = w.system.registry
    view = await registry.add(NEW, PASSWORD)
    assert (view.online, view.boot_state, view.evses[0].evse.ref) == (False, BootState.NEVER, EvseRef(NEW.id, 1))
    assert registry.view(NEW.id) == view
    assert (await w.store.read(reads.password_hashes))[NEW.id] not in {None, PASSWORD}
    for wrong, password, error, field in (
        (NEW, PASSWORD, Conflict, "id"),
        (replace(NEW, id=StationId("CS-10"), site=SiteId("moon")), PASSWORD, BadRequest, "site"),
        (replace(NEW, id=StationId("CS-10")), "short", BadRequest, "password"),
    ):
        with pytest.raises(error) as refused:
            await registry.add(wrong, password)
        assert refused.value.field == field
    assert [one.station.id for one in registry.views()] == [S, NEW.id]
    assert [one.id for one in await w.store.read(reads.stations)] == [S, NEW.id]


async def test_the_others_make_room_for_a_new_station(w: World) -> None:
    """V2G-6: what every EVSE falls to is an even share."""
    await w.take(w.boot())
    before = w.stations.of(InstallFailsafeLimit)[-1].limit_w
    crowd = station(StationId("CS-9"), evses=60)
    await w.system.registry.add(crowd, PASSWORD)
    await w.quiet()
    assert w.stations.of(InstallFailsafeLimit)[-1].limit_w < before


async def test_a_change_touches_what_is_given_and_nothing_else(w: World) -> None:
    registry, before = w.system.registry, w.station.station
    changed = await registry.change(S, BootState.PENDING, None)
    assert changed.station == replace(before, registration=BootState.PENDING)
    hashed = (await w.store.read(reads.password_hashes)).get(S)
    changed = await registry.change(S, None, PASSWORD)
    assert changed.station.registration is BootState.PENDING
    assert (await w.store.read(reads.password_hashes)).get(S) != hashed
    (kept,) = await w.store.read(reads.stations)
    assert kept.registration is BootState.PENDING


async def test_a_station_whose_registration_changed_is_asked_to_boot(w: World) -> None:
    """Scenario 3: it hears of it."""
    await w.system.registry.change(S, BootState.ACCEPTED, None)
    await w.quiet()
    assert w.stations.of(Trigger) == []
    await w.system.registry.change(S, BootState.PENDING, None)
    await w.quiet()
    assert [asked.kind for asked in w.stations.of(Trigger)] == [TriggerKind.BOOT]


async def test_an_evse_is_changed_in_the_store_and_where_its_vehicle_stands(w: World) -> None:
    await w.plug()
    private = replace(w.evse.evse, public=False)
    await w.system.registry.change_evse(E1, {"public": False})
    assert (w.evse.evse, w.evse.plug_in is not None) == (private, True)
    (kept,) = await w.store.read(reads.stations)
    assert kept.evses == (private,)
    with pytest.raises(NotFound) as unknown:
        await w.system.registry.change_evse(EvseRef(S, 9), {"public": False})
    assert unknown.value.field == "evse"


async def test_what_nobody_provisioned_is_not_found(w: World) -> None:
    for wanted in (StationId("nowhere"), StationId("")):
        with pytest.raises(NotFound) as unknown:
            w.system.registry.view(wanted)
        assert unknown.value.field == "station"
        with pytest.raises(NotFound):
            await w.system.registry.change(wanted, BootState.ACCEPTED, None)


async def test_an_evse_shows_what_is_proven_of_it(w: World) -> None:
    """V2G-8: the driver in use, not the one that is hoped for."""
    assert w.system.registry.view(S).evses[0].driver is SetpointDriver.CHARGE_ONLY
    await w.resource()
    shown = w.system.registry.view(S).evses[0]
    assert (shown.driver, shown.power_w) == (SetpointDriver.OCPP21_SETPOINT, 0)


async def test_a_link_is_known_again_and_a_forged_one_is_not(w: World) -> None:
    """V2G-27."""
    links = w.system.links
    origin, _, signature = links.of(E1).rpartition("=")
    assert origin == "http://127.0.0.1:8080/d/e/CS-1/1?s"
    assert links.evse(S, 1, signature) == E1
    assert links.evse(S, 2, signature) is None
    assert links.evse(S, 1, "0" * len(signature)) is None


async def test_c5_an_evse_that_is_approved_counts_from_then_on_after_a_restart_too(w: World) -> None:
    """C5: new EVSEs of a known station wait for approval."""
    w.system.live.discover(EvseRef(S, 2))
    await w.quiet()
    (kept,) = await w.store.read(reads.stations)
    assert [evse.approved for evse in kept.evses] == [True, False]
    await w.take(w.boot())
    before_w = w.stations.of(InstallFailsafeLimit)[-1].limit_w
    await w.system.registry.change_evse(EvseRef(S, 2), {"approved": True})
    await w.quiet()
    (kept,) = await w.store.read(reads.stations)
    assert [evse.approved for evse in kept.evses] == [True, True]
    assert w.station.failsafe_limit_w is not None
    assert w.station.failsafe_limit_w >= before_w
