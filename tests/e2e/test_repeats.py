"""Repetitions that come late, after a restart of the server (field lessons 9 and 12; design §3)."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, text

from tests.e2e.raw import now
from tests.e2e.world import World

LATER = timedelta(seconds=25)


class LaterClock:
    """The time, a little later."""

    def now(self) -> datetime:
        return datetime.now(UTC) + LATER


def meter_rows(url: str) -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            found = conn.execute(text("SELECT station, evse, at, import_wh FROM meter_value ORDER BY id"))
            return [tuple(row) for row in found]
    finally:
        engine.dispose()


async def test_meter_values_repeated_in_one_go_after_a_restart_stay_what_they_are(world: World) -> None:
    """A burst of messages that are all equally late is no slow clock: the same readings, at the same instants."""
    station = await world.raw("1.6")
    registers = itertools.count(1000, 7)
    said = [
        {
            "connectorId": 1,
            "meterValue": [{"timestamp": now(), "sampledValue": [{"value": str(next(registers))}]}],
        }
        for _ in range(20)
    ]
    for payload in said:
        await station.tell("MeterValues", payload)
    await world.stop()
    before = meter_rows(world.settings.database.url)
    assert len(before) == 20
    await world.start(LaterClock())
    again = await world.raw("1.6", id_=station.id)
    for payload in said:
        await again.tell("MeterValues", payload)
    await world.stop()
    assert meter_rows(world.settings.database.url) == before
