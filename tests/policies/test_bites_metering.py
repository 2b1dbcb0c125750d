"""What registers and powers may not be made to say: one sharp case each. V2G-36, V2G-60; A8, F3."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms.domain.facts import Reading
from csms.domain.ids import EvseRef, StationId
from csms.domain.metering import Quality, StoredReading, WindowEnergy
from policies.metering import energy_in_window

EVSE = EvseRef(StationId("s"), 1)
NINE = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
MAX_W = 10_000


def minute(n: float) -> datetime:
    return NINE + timedelta(minutes=n)


def stored(number: int, at: datetime, **values: Any) -> StoredReading:
    return StoredReading(id=number, reading=Reading(at=at, **values), received_at=at, message_id=f"m{number}")


def energy(*readings: StoredReading, until: float = 30) -> WindowEnergy:
    return energy_in_window(EVSE, readings, NINE, minute(until), MAX_W)


def test_power_that_the_evse_cannot_pass_is_not_believed() -> None:
    """50 kW told at an EVSE of 10: at most 11 for half an hour."""
    found = energy(*(stored(n, minute(5 * n), power_import_w=50_000.0) for n in range(7)))
    assert (found.import_wh, found.quality) == (Decimal(5500), Quality.ESTIMATED)


def test_power_before_and_after_a_long_silence_says_nothing_of_it() -> None:
    found = energy(stored(1, minute(-20), power_import_w=1000.0), stored(2, minute(60), power_import_w=1000.0))
    assert (found.import_wh, found.quality) == (Decimal(0), Quality.MISSING)


def test_a_reading_of_1970_is_no_evidence() -> None:
    """V2G-60: a station whose clock was never set."""
    lost = stored(1, datetime(1970, 1, 1, tzinfo=UTC), import_wh=0.0)
    found = energy(lost, stored(2, minute(0), import_wh=5000.0), stored(3, minute(30), import_wh=6000.0))
    assert (found.import_wh, found.readings) == (Decimal(1000), (2, 3))
    assert energy(lost, stored(3, minute(30), import_wh=6000.0)).quality is Quality.MISSING


def test_a_register_that_begins_again_at_three_thousand_has_not_moved_by_it() -> None:
    """F3: 200 Wh before, 500 Wh after."""
    values = ((0, 5000.0), (10, 5200.0), (20, 3000.0), (30, 3500.0))
    found = energy(*(stored(n, minute(n), import_wh=wh) for n, wh in values))
    assert (found.import_wh, found.quality) == (Decimal(700), Quality.ESTIMATED)


@pytest.mark.parametrize("quiet_h", [1, 20])
def test_a_jump_after_quiet_hours_is_as_impossible_as_after_one(quiet_h: int) -> None:
    """A8: the register moved 10 Wh in each quarter, then 20 kWh in one: 11 kW for 15 minutes, and one step of 10 Wh."""
    quarters = quiet_h * 4
    readings = [stored(n + 1, minute(15 * n), import_wh=10.0 * n) for n in range(quarters + 1)]
    jump = stored(quarters + 2, minute(15 * quarters + 15), import_wh=10.0 * quarters + 20_000)
    found = energy(*readings, jump, until=15 * quarters + 15)
    assert 10 * quarters + 2750 <= found.import_wh <= 10 * quarters + 2760
    assert found.import_wh < Decimal(20_000)
