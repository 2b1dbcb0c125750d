"""What is in a battery is never more than goes into it. A6."""

from datetime import UTC, datetime, timedelta

from csms.domain.facts import Reading
from csms.domain.ids import EvseRef, PlugInId, StationId
from csms.domain.permission import PlugIn
from policies.energy import battery_of, count_all

NINE = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)


def test_a_battery_that_was_nearly_full_is_full_and_no_fuller() -> None:
    """95 % of 40 kWh were told, and 5 kWh metered since."""
    hour = timedelta(hours=1)
    readings = [
        Reading(at=NINE, import_wh=0.0, soc_percent=95.0),
        Reading(at=NINE + hour, import_wh=5000.0),
    ]
    plug_in = PlugIn(id=PlugInId("p"), evse=EvseRef(StationId("s"), 1), plugged_at=NINE)
    battery = battery_of(plug_in, count_all(readings, 7360), None, None, NINE + hour)
    assert (battery.is_told, battery.capacity_wh, battery.energy_wh) == (True, 40_000, 40_000)
