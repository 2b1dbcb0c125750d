"""A driver signs up where the vehicle stands; what their terminal shows then."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from csms.control.permission.sign_up import sign_up
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, DrEventId, UserId, VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import PermissionState
from tests.control.kit import AOI, E1, KEN, START, World, station, world

FLEET = [
    {"id": "default", "import_limit_w": 50_000, "export_limit_w": 50_000},
    {"id": "island", "area": "south", "import_limit_w": 50_000, "export_limit_w": 50_000},
]
TARIFFS = [{"price_per_kwh": 30}, {"area": "south", "price_per_kwh": 44}]
SAKURA = Vehicle(id=VehicleId(""), user=UserId(""), name="Sakura", capacity_wh=20_000)
EVENT = DrEvent(
    id=DrEventId("dr-1"),
    direction=Direction.DOWN,
    requested_w=1000,
    starts_at=START,
    ends_at=START + timedelta(hours=1),
    areas=frozenset({AreaId("south")}),
    incentive_per_kwh=Decimal(26),
    created_at=START,
)


async def test_a_driver_signs_up_at_the_evse_in_one_step_and_is_asked_at_once(w: World) -> None:
    """P1: a plug-in that waits becomes theirs."""
    people, matching = w.system.people, w.system.rooms.matching
    await w.plug(None)
    new = await sign_up(people, matching, E1, "Mio", SAKURA, "ja")
    assert (w.plug_in.user, w.plug_in.permission.state) == (new.user.id, PermissionState.ASKED)
    assert w.evse.vehicle == new.vehicle == replace(SAKURA, id=new.vehicle.id, user=new.user.id)
    assert await people.of_terminal(new.terminal_token) == new.user
    assert await matching.claim(new.user.id, E1) == w.plug_in


async def test_who_signs_up_before_the_cable_is_in_is_asked_when_it_goes_in(w: World) -> None:
    """P1, P3."""
    new = await sign_up(w.system.people, w.system.rooms.matching, E1, "Mio", SAKURA, "ja")
    await w.plug(None)
    await w.quiet()
    assert (w.plug_in.user, w.plug_in.permission.state) == (new.user.id, PermissionState.ASKED)


async def test_a_terminal_shows_the_price_of_the_area_where_its_vehicle_is(tmp_path: Path) -> None:
    """P11."""
    async with world(tmp_path, station(site="island"), site=FLEET, tariff=TARIFFS) as w:
        await w.person()
        view = w.system.driver_view
        assert view.of(AOI).shown is None
        await w.resource()
        shown = view.of(AOI).shown
        assert shown is not None
        assert (shown.price_per_kwh, shown.event_active, shown.soc_percent) == (44, False, 80.0)
        await w.system.events.create(EVENT)
        assert view.of(AOI).event_active is True
        assert view.of(KEN).event_active is False
        await w.system.events.cancel(EVENT.id)
        assert view.of(AOI).event_active is False
