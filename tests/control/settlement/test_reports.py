"""What the books say to whoever asks."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from csms.control.settlement.performance import event_report
from csms.domain.conditions import Conditions
from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import NotFound
from csms.domain.ids import AreaId, DrEventId
from tests.control.kit import E1, START, World

EVENT = DrEvent(
    id=DrEventId("dr-1"),
    direction=Direction.DOWN,
    requested_w=1000,
    starts_at=START,
    ends_at=START + timedelta(hours=1),
    incentive_per_kwh=Decimal(26),
    created_at=START,
)


async def test_a_report_names_what_each_evse_was_told(w: World) -> None:
    """G11."""
    await w.resource()
    await w.system.events.create(EVENT)
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    w.clock.pass_(60)
    report = await w.system.reports.of_event(EVENT.id)
    assert report.event == EVENT
    assert [(one.evse, one.desired_w) for one in report.evses] == [(E1, -1000)]
    assert report.requested_wh == round(1000 / 60)


@pytest.mark.parametrize("is_here", [True, False], ids=["its area", "another area"])
async def test_a_report_names_the_resources_that_the_event_did_not_move(w: World, is_here: bool) -> None:
    """G11: a vehicle that charges as fast as it can anyway; before, the report did not know of it."""
    await w.resource(Conditions(required_soc_percent=0))
    up = replace(EVENT, direction=Direction.UP)
    await w.system.events.create(up)
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    w.clock.pass_(60)
    told = w.evse.told.setpoint
    assert told is not None
    assert told.event is None
    asked = up if is_here else replace(up, areas=frozenset({AreaId("elsewhere")}))
    report = await event_report(w.store, w.system.rooms.settlement, asked, w.clock.now())
    assert report.evses == ()
    known = [(one.evse, one.desired_w, one.counterfactual_w, one.reasons) for one in report.unmoved]
    assert known == ([(E1, told.desired_w, told.counterfactual_w, told.reasons)] if is_here else [])
    assert told.counterfactual_w > 0


async def test_an_event_nobody_created_has_no_report(w: World) -> None:
    with pytest.raises(NotFound) as unknown:
        await w.system.reports.of_event(DrEventId("none"))
    assert unknown.value.field == "event"


async def test_an_empty_house_breaks_no_promise(w: World) -> None:
    audit = await w.system.reports.audit()
    assert (audit.discharged_without_permission_wh, audit.below_required_charge) == (0, 0)
