"""What settlement and reports must not miss, one sharp case each. G11, P13, P19; F3."""

from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from csms.control.settlement import performance
from csms.control.settlement.known import Places
from csms.domain.ids import AreaId, EvseRef, SiteId, StationId
from csms.domain.station import Evse, Ratings, Station
from csms.domain.tariff import PriceStep
from csms.store import writes
from tests.control.kit import E1, S, World
from tests.control.settlement.test_settling import ALL, AREA, commanded, hour, ledger, metered, minute, settled

TWO_DAYS = 2 * 24 * 60
FORTY_DAYS = 40 * 24 * 60


async def test_what_a_vehicle_gives_beyond_its_command_fills_no_shortfall(w: World) -> None:
    """P19: 4 kW were asked for half an hour, 2 kW commanded, 4 kW flowed: 1 kWh of 2 was allotted, and 1 is short."""
    event = await hour(w, ALL, is_commanded=False)
    await commanded(w, event, desired_w=-2000)
    report = await performance.event_report(w.store, w.system.rooms.settlement, event, minute(60))
    assert (report.requested_wh, report.delivered_wh) == (2000, 2000)
    assert (report.within_wh, report.shortfall_wh) == (1000, 1000)


async def test_what_flows_against_an_event_is_taken_off_in_every_interval_after_its_setpoint_has_lapsed(
    w: World,
) -> None:
    """A3, P19: an event of an hour and a half, a setpoint for its first quarter, nothing told after it; from the second
    half hour on 2 kW flow in, which would not have flowed. Settlement looks at each interval by itself: before, it did
    not see there what the report saw."""
    event = await hour(w, (), is_commanded=False)
    await w.store.writer.run(partial(writes.save_dr_event, event=replace(event, ends_at=minute(120))))
    await commanded(w, event, expires_at=minute(45))
    for n in range(0, 121, 15):
        w.clock.at = minute(n)
        await w.take(
            w.metered(at=minute(n), import_wh=max(n - 60, 0) * 2000 / 60, export_wh=min(max(n - 30, 0), 15) * 4000 / 60)
        )
    settling = w.system.rooms.settlement
    alone = [
        flow.command.delivered_wh(flow.energy.net_wh)
        for start in (60, 90)
        for _, flow in await settling.flows(minute(start), minute(start + 30))
        if flow.command is not None and flow.command.event == event.id
    ]
    assert alone == [-1000, -1000]
    report = await performance.event_report(w.store, settling, replace(event, ends_at=minute(120)), minute(120))
    assert (report.delivered_wh, report.within_wh) == (1000 - 2000, 1000)


async def test_a_report_is_as_good_as_its_worst_part(w: World) -> None:
    """G11: another price from a quarter to ten cuts it in two; the last reading comes in the middle of the second."""
    event = await hour(w, range(0, 51, 5))
    await w.system.prices.put(AREA, [PriceStep(minute(45), Decimal(50))], None)
    w.clock.at = minute(60)
    report = await performance.event_report(w.store, w.system.rooms.settlement, event, minute(60))
    assert [interval.quality for interval in report.intervals] == ["measured", "estimated"]
    assert report.quality == "estimated"


async def test_a_report_ends_when_its_event_was_cancelled(w: World) -> None:
    """G11: 4 kW were asked for a quarter of an hour, not for the half that was planned."""
    event = await hour(w, ALL)
    cancelled = replace(event, cancelled_at=minute(45))
    report = await performance.event_report(w.store, w.system.rooms.settlement, cancelled, minute(60))
    assert (report.requested_wh, report.intervals[-1].end) == (1000, minute(45))


@pytest.mark.parametrize(("later", "is_open"), [(TWO_DAYS, True), (FORTY_DAYS, False)], ids=["2 days", "40 days"])
async def test_a_late_reading_opens_no_month_that_is_closed(w: World, later: int, is_open: bool) -> None:
    """P13: 4 kWh are missing of the hour; they come two days, or forty, afterwards."""
    await hour(w, [0, 5, 10, 15, 20, 25, 30])
    await settled(w, 62)
    before = len(await ledger(w))
    await settled(w, later)
    w.clock.at = minute(later)
    await metered(w, [35, 40, 45, 50, 55, 60])
    await settled(w, later + 62)
    assert (len(await ledger(w)) > before) is is_open


@pytest.mark.parametrize(("charge_w", "discharge_w"), [(3000, 6000), (7000, 6000)])
def test_a_register_may_move_as_fast_as_the_evse_can_in_either_direction(charge_w: int, discharge_w: int) -> None:
    """F3."""
    evse = Evse(ref=E1, site=SiteId("home"), ratings=Ratings(max_charge_w=charge_w, max_discharge_w=discharge_w))
    found = Places.of([Station(id=S, site=SiteId("home"), evses=(evse,))], {SiteId("home"): AreaId("area")})
    assert found.max_w(E1) == max(charge_w, discharge_w)


def test_an_evse_is_settled_by_its_own_site() -> None:
    """G12: a station at one site with an EVSE at another; the dispatch reads the EVSE's prices too. An EVSE that nobody
    provisioned, or at a site that is not configured, has its station's."""
    here, there, gone = (
        Evse(ref=EvseRef(S, n), site=SiteId(site), ratings=Ratings(max_charge_w=1, max_discharge_w=0))
        for n, site in enumerate(("home", "street", "gone"), 1)
    )
    areas = {SiteId("home"): AreaId("south"), SiteId("street"): AreaId("north")}
    found = Places.of([Station(id=S, site=SiteId("home"), evses=(here, there, gone))], areas)
    assert [found.area_of(EvseRef(S, n)) for n in (1, 2, 3, 4)] == ["south", "north", "south", "south"]
    assert found.area_of(EvseRef(StationId("unknown"), 1)) is None
