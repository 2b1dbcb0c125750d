"""What is added for one user is decided, checked, shown and paid alike. P5, P11."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from csms.domain.conditions import Conditions
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId
from csms.domain.ledger import EntryKind
from csms.domain.snapshot import EvseState
from policies.plugs import Plug
from policies.registry import DEFAULT
from tests.control.kit import AOI, LOW, START, World, world
from tests.control.settlement.test_settling import ledger, minute

ASKS_55 = replace(LOW, min_sell_per_kwh=Decimal(55))


def for_aoi(evse: EvseState, event: DrEvent, now: datetime) -> Decimal:
    return Decimal(7) if evse.user == AOI else Decimal(0)


async def discharged(w: World, conditions: Conditions) -> None:
    """An event that pays 30 + 20 for half an hour, and a vehicle that follows what it is told."""
    await w.person()
    await w.resource(conditions)
    await w.system.events.create(
        DrEvent(
            id=DrEventId("dr-1"),
            direction=Direction.DOWN,
            requested_w=4000,
            starts_at=START,
            ends_at=minute(30),
            incentive_per_kwh=Decimal(20),
            created_at=START,
        )
    )
    out_wh = 0.0
    for n in range(31):
        w.clock.at = minute(n)
        told = w.evse.told.setpoint
        flowing_w = -told.desired_w if told and told.desired_w < 0 else 0
        out_wh += flowing_w / 60 if n else 0
        await w.take(w.metered(import_wh=0.0, export_wh=out_wh, power_export_w=float(flowing_w), soc_percent=80.0))
        await w.system.rooms.dispatch.tick()
        await w.quiet()
        if n == 5:
            shown = w.system.driver_view.of(AOI).shown
            assert shown is not None
            assert shown.sell_per_kwh == (57 if w.policies.adders else None)
    w.clock.at = minute(40)
    await w.system.rooms.settlement.run()


async def test_a_bonus_for_one_user_is_dispatched_by_shown_and_paid(tmp_path: Path) -> None:
    """The event pays 50, the user asks 55 and gets 7 more: discharged, and paid 57."""
    async with world(tmp_path, policies=replace(DEFAULT, adders=(Plug("for-aoi", 1, for_aoi),))) as w:
        await discharged(w, ASKS_55)
        sales = [entry for _, entry in await ledger(w) if entry.kind is EntryKind.SALE]
        assert {entry.price_per_kwh for entry in sales} == {Decimal(57)}
        assert sum(entry.energy_wh for entry in sales) > 1800


async def test_without_it_nothing_is_discharged(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await discharged(w, ASKS_55)
        assert await ledger(w) == []
