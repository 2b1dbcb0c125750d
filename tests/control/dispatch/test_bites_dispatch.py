"""What decides whether a station is told, and what may be in force meanwhile: sharp cases. A2, A10, P4, P11."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from csms.control.dispatch.compliance import drawn_w
from csms.control.dispatch.dispatch import is_forbidden_now
from csms.control.dispatch.due import is_new
from csms.control.dispatch.in_force import span_of
from csms.control.dispatch.order import Place, Room, Span
from csms.domain.decision import Setpoint
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import DrEventId, SiteId, TransactionId
from csms.domain.snapshot import Use
from csms.domain.station import SetpointDriver
from tests.control.kit import CARD, E1, START, World
from tests.policies.fleets import site

EVENT = DrEventId("dr")
VALID = timedelta(seconds=180)
RECORD = SetpointRecord(
    id="sp",
    evse=E1,
    plug_in=None,
    transaction=TransactionId("tx-1"),
    event=EVENT,
    decided_at=START,
    desired_w=3000,
    counterfactual_w=0,
    price_per_kwh=Decimal(40),
    expires_at=START + VALID,
    driver=SetpointDriver.OCPP21_SETPOINT,
    reasons=(),
)


def setpoint(power_w: int, price: int = 40, event: DrEventId | None = EVENT) -> Setpoint:
    return Setpoint(
        evse=E1,
        setpoint_w=power_w,
        counterfactual_w=0,
        expires_at=START + VALID,
        event=event,
        price_per_kwh=Decimal(price),
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (setpoint(3000), False),
        (setpoint(3049), False),
        (setpoint(3050), True),
        (setpoint(2950), True),
        (setpoint(3000, price=41), True),
        (setpoint(3000, event=DrEventId("other")), True),
    ],
    ids=["the same", "49 W", "50 W more", "50 W less", "another price", "another event"],
)
def test_another_power_price_or_event_is_news_and_a_trifle_is_not(now: Setpoint, expected: bool) -> None:
    """P11: the price is frozen with the setpoint that was told."""
    assert is_new(RECORD, now) is expected


@pytest.mark.parametrize(
    ("last_w", "now_w", "use", "expected"),
    [
        (-3000, 0, Use.PLAIN, True),
        (-3000, 0, Use.RESOURCE, False),
        (3000, 0, Use.HELD, True),
        (3000, 0, Use.NOTHING, True),
        (3000, 0, Use.PLAIN, False),
    ],
)
async def test_what_the_answer_no_longer_allows_is_replaced_however_new_it_is(
    w: World, last_w: int, now_w: int, use: Use, expected: bool
) -> None:
    """P4."""
    w.evse.told.setpoint = replace(RECORD, desired_w=last_w)
    assert is_forbidden_now(w.evse, setpoint(now_w), use) is expected


@pytest.mark.parametrize(("limit_w", "expected"), [(5_000, True), (4_999, False)])
def test_an_increase_is_let_through_up_to_the_fuse_and_not_a_watt_beyond(limit_w: int, expected: bool) -> None:
    """A10: 2 kW may be in force at the one, 3 kW are wanted at the other."""
    held = Place(SiteId("site"), Span(0, 2000), 2000)
    growing = Place(SiteId("site"), Span(), 3000)
    assert Room((site(limit_w=limit_w),), (held, growing)).take(growing, 3000) is expected


async def test_a_station_may_draw_its_failsafe_limit_once_its_setpoint_is_over_or_in_doubt(w: World) -> None:
    """A10, F8."""
    await w.take(w.event(0, token=CARD, charging_state="Charging"))
    told = w.evse.told
    told.setpoint = replace(RECORD, desired_w=1000, state=SetpointState.ACKNOWLEDGED)
    told.in_force, told.is_doubtful = (1000, 1000), False
    w.station.failsafe_limit_w = 2500
    assert span_of(w.station, w.evse, START) == Span(1000, 1000)
    assert span_of(w.station, w.evse, START + VALID).most_w == 2500
    told.is_doubtful = True
    assert span_of(w.station, w.evse, START).most_w == 2500


@pytest.mark.parametrize(("power_w", "expected"), [(7000, None), (6900, None), (2000, 2000), (0, 0), (-100, 0)])
def test_only_a_vehicle_that_leaves_some_of_its_limit_shows_what_it_takes(power_w: int, expected: int | None) -> None:
    """A2: of 7 kW; the meter is right to a tenth."""
    assert drawn_w(7000, power_w) == expected
