"""Readings that come late, held against the registers alone: no energy is lost and none is paid twice. P13, P19; F3."""

from decimal import Decimal
from functools import partial

import pytest

from csms.domain.tariff import PriceStep
from csms.store import reads
from tests.control.kit import AOI, START, World
from tests.control.settlement.test_settling import AREA, ledger, minute, settled


async def read_at(w: World, n: float, import_wh: float) -> None:
    w.clock.at = max(w.clock.at, minute(n))
    await w.take(w.metered(at=minute(n), import_wh=import_wh, export_wh=0.0))


async def bought(w: World) -> list[int]:
    """Wh of each half hour, as the ledger has them."""
    found: dict[object, int] = {}
    for _, entry in await ledger(w):
        found[entry.period_start] = found.get(entry.period_start, 0) + entry.energy_wh
    return [energy for _, energy in sorted(found.items(), key=str) if energy]


@pytest.mark.parametrize("is_quick", [True, False], ids=["all of it in the first half", "all of it in the second half"])
async def test_a_reading_in_the_middle_of_a_long_gap_moves_energy_as_far_as_the_readings_around_it(
    w: World, *, is_quick: bool
) -> None:
    """P19: 4 kWh in four hours without a reading; one of after two hours comes when all is booked."""
    await w.resource()
    await read_at(w, 0, 0)
    await read_at(w, 240, 4000)
    await settled(w, 242)
    assert await bought(w) == [500] * 8
    await read_at(w, 120, 4000 if is_quick else 0)
    await settled(w, 243)
    assert await bought(w) == [1000] * 4
    assert (await w.store.read(partial(reads.balance, user=AOI))).bought_wh == 4000


async def test_a_gap_that_ends_after_a_restart_is_settled_from_its_beginning(w: World) -> None:
    """P19: nothing is told for four hours, the server starts anew in the middle of them."""
    await w.resource()
    await read_at(w, 0, 0)
    await settled(w, 122)
    await w.restart()
    await settled(w, 125)
    await read_at(w, 240, 4000)
    await settled(w, 242)
    assert await bought(w) == [500] * 8


async def test_what_has_changed_is_kept_while_the_store_cannot_be_read(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A9: a price is published, and the next settlement fails before it knows what is due. Before: forgotten."""
    await w.resource()
    await read_at(w, 0, 0)
    await read_at(w, 60, 1000)
    assert [amount for _, _, amount in await settled(w, 62)] == [-15, -15]
    await w.system.prices.put(AREA, [PriceStep(START, Decimal(60))], None)

    def fails(conn: object) -> int:
        raise OSError("the disk")

    with monkeypatch.context() as patched:
        patched.setattr(reads, "newest_reading", fails)
        with pytest.raises(OSError, match="the disk"):
            await settled(w, 63)
    await settled(w, 64)
    assert (await w.store.read(partial(reads.balance, user=AOI))).spent_minor == 60
