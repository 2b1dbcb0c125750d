"""What the outside may ask of the control."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from csms.control.desk import Desk

from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import BadRequest, Conflict, NotFound
from csms.domain.ids import AreaId, DrEventId, SiteId, StationId
from csms.domain.permission import PermissionState
from csms.domain.station import BootState, SetpointDriver
from csms.store import reads
from tests.control.kit import AOI, E1, KEN, START, S, World, station, world

PASSWORD = "a-password-of-24-letters"
FLEET = [
    {"id": "default", "import_limit_w": 50_000, "export_limit_w": 50_000},
    {"id": "island", "area": "south", "import_limit_w": 50_000, "export_limit_w": 50_000},
]
TARIFFS = [{"price_per_kwh": 30}, {"area": "south", "price_per_kwh": 44}]


def desk_of(w: World) -> Desk:
    return Desk(w.system, lambda station: [], lambda station: {"coerced": 3})


async def test_a_station_is_provisioned_once_and_only_at_a_known_site(w: World) -> None:
    desk, new = desk_of(w), station(StationId("CS-9"), boot_state=BootState.NEVER, version=None)
    await desk.add_station(new, PASSWORD)
    view = desk.station_view(new.id)
    assert view is not None
    assert (view.online, view.boot_state, view.counters) == (False, BootState.NEVER, {"coerced": 3})
    assert await w.store.read(partial(reads.password_hash, id=new.id)) != PASSWORD
    for wrong, error in (
        ((new, PASSWORD), Conflict),
        ((replace(new, id=StationId("CS-10"), site=SiteId("moon")), PASSWORD), NotFound),
        ((replace(new, id=StationId("CS-10")), "short"), BadRequest),
    ):
        with pytest.raises(error):
            await desk.add_station(*wrong)
    assert len(desk.station_views()) == 2


async def test_a_driver_signs_up_at_the_evse_in_one_step_and_is_asked_at_once(w: World) -> None:
    """P1: a plug-in that waits becomes theirs."""
    desk = desk_of(w)
    await w.plug(None)
    new = await desk.register_driver(E1, "Mio", {"name": "Sakura", "capacity_wh": 20_000}, "ja")
    assert (w.plug_in.user, w.plug_in.permission.state) == (new.user.id, PermissionState.ASKED)
    assert w.evse.vehicle == new.vehicle
    assert await desk.user_of_terminal(new.terminal_token) == new.user
    assert await desk.claim(new.user.id, E1) == w.plug_in


async def test_a_terminal_shows_the_price_of_the_area_where_its_vehicle_is(tmp_path: Path) -> None:
    """P11: what discharging earns now is the event's price."""
    async with world(tmp_path, station(site="island"), site=FLEET, tariff=TARIFFS) as w:
        await w.person()
        desk = desk_of(w)
        assert (desk.driver_state(AOI).plug_in, desk.driver_state(AOI).price_per_kwh) == (None, None)
        await w.resource()
        state = desk.driver_state(AOI)
        assert (state.price_per_kwh, state.sell_per_kwh, state.event_active, state.soc_percent) == (44, 44, False, 80.0)
        await desk.create_event(
            DrEvent(
                id=DrEventId("dr-1"),
                direction=Direction.DOWN,
                requested_w=1000,
                starts_at=START,
                ends_at=START + timedelta(hours=1),
                areas=frozenset({AreaId("south")}),
                incentive_per_kwh=Decimal(26),
                created_at=START,
            )
        )
        assert (desk.driver_state(AOI).sell_per_kwh, desk.driver_state(AOI).event_active) == (70, True)
        assert desk.driver_state(KEN).event_active is False
        await w.system.rooms.dispatch.tick()
        await w.quiet()
        w.clock.pass_(60)
        report = await desk.event_report(DrEventId("dr-1"))
        assert [one.desired_w for one in report.evses] == [-1000]
        await desk.cancel_event(DrEventId("dr-1"))
        assert desk.driver_state(AOI).event_active is False


async def test_an_evse_shows_what_is_proven_of_it(w: World) -> None:
    """V2G-8: the driver in use, not the one that is hoped for."""
    desk = desk_of(w)
    view = desk.station_view(S)
    assert view is not None
    assert view.evses[0].driver is SetpointDriver.CHARGE_ONLY
    await w.resource()
    view = desk.station_view(S)
    assert view is not None
    assert (view.evses[0].driver, view.evses[0].power_w) == (SetpointDriver.OCPP21_SETPOINT, 0)
    assert desk.station_view(StationId("nowhere")) is None


async def test_a_link_of_the_desk_is_known_again(w: World) -> None:
    """V2G-27."""
    await w.system.start()
    desk = desk_of(w)
    link = desk.links(E1)
    assert link.startswith("http://127.0.0.1:8080/d/e/CS-1/1?s=")
    assert desk.evse_of_link(S, 1, link.split("s=")[1]) == E1
    await w.system.stop()
