"""What the books say to whoever asks."""

from datetime import timedelta
from decimal import Decimal

import pytest

from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import NotFound
from csms.domain.ids import DrEventId
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


async def test_an_event_nobody_created_has_no_report(w: World) -> None:
    with pytest.raises(NotFound) as unknown:
        await w.system.reports.of_event(DrEventId("none"))
    assert unknown.value.field == "event"


async def test_an_empty_house_breaks_no_promise(w: World) -> None:
    audit = await w.system.reports.audit()
    assert (audit.discharged_without_permission_wh, audit.below_required_charge) == (0, 0)
