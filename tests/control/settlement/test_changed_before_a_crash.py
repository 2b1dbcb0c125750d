"""What changed days that are settled, right before the server was killed. Must hold 2 and 3; A9, F3, P13."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from csms.domain.tariff import PriceStep
from csms.store import reads
from tests.control.kit import AOI, CARD, START, World
from tests.control.settlement.test_settling import AREA

DAYS = 4
SESSION_AT = START + timedelta(hours=2)


def hour(n: float) -> datetime:
    return START + timedelta(hours=n)


async def days_of_charging(w: World) -> None:
    """Nobody is known for the vehicle, which takes 1 kW; all is settled as it comes."""
    await w.person()
    await w.plug(None)
    await w.take(w.event(0, charging_state="Charging"))
    for n in range(0, DAYS * 24 + 1, 2):
        w.clock.at = hour(n)
        await w.take(w.metered(import_wh=1000.0 * n, export_wh=0.0))
        await w.system.rooms.settlement.run()


async def its_driver_is_known(w: World) -> None:
    await days_of_charging(w)
    await w.take(w.event(1, token=CARD, charging_state="Charging"))


async def prices_are_corrected(w: World) -> None:
    """10 instead of 30 for the first two days."""
    await its_driver_is_known(w)
    await w.system.rooms.settlement.run()
    await w.system.prices.put(AREA, [PriceStep(START, Decimal(10))], hour(48))


async def a_queue_tells_of_a_session(w: World) -> None:
    """By the registers of its start and stop only."""
    await w.person()
    await w.system.rooms.settlement.run()
    w.clock.at = hour(DAYS * 24)
    await w.system.rooms.settlement.run()
    [begun] = await w.take(w.started(at=SESSION_AT, meter_start_wh=1000))
    id_ = getattr(begun, "transaction")  # noqa: B009  of the answer to a start
    await w.take(w.stopped(id_, at=SESSION_AT + timedelta(hours=4), meter_stop_wh=9000))


CHANGES = {
    its_driver_is_known: (96_000, 96 * 30),
    prices_are_corrected: (96_000, 48 * 10 + 48 * 30),
    a_queue_tells_of_a_session: (8_000, 8 * 30),
}


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("change", CHANGES)
async def test_what_changes_settled_days_is_booked_though_the_server_is_killed_right_after_it(
    w: World, change: Callable[[World], Awaitable[None]], *, is_killed: bool
) -> None:
    """Before: a start settled the last day again, and what was further back never."""
    await change(w)
    await w.quiet()
    if is_killed:
        await w.restart()
    w.clock.pass_(60)
    await w.system.rooms.settlement.run()
    balance = await w.store.read(partial(reads.balance, user=AOI))
    assert (balance.bought_wh, balance.spent_minor) == CHANGES[change]


async def test_what_changes_while_a_settlement_is_stored_stays_due(w: World) -> None:
    """Killed before the next settlement: what was stored as due in between is not taken for done."""
    await days_of_charging(w)
    settling = w.system.rooms.settlement
    save, fact = settling._save, w.event(1, token=CARD, charging_state="Charging")

    async def saved(*values: object) -> None:
        settling._save = save  # type: ignore[method-assign]
        await w.take(fact)
        await save(*values)  # type: ignore[arg-type]

    settling._save = saved  # type: ignore[method-assign, assignment]
    w.clock.pass_(3600)
    await settling.run()
    await w.restart()
    await w.system.rooms.settlement.run()
    assert (await w.store.read(partial(reads.balance, user=AOI))).bought_wh == DAYS * 24_000
