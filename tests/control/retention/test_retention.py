"""What is old goes by itself, and nobody's message waits for it. Design §3, M2."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import func, select

from csms.control.retention import retention
from csms.control.retention.retention import FEWEST_ROWS, SLICE_S, Outcome, Retention
from csms.domain.ledger import SettledUntil
from csms.domain.station import ConnectorStatus
from csms.settings import Retention as Days
from csms.store import Write, writes
from csms.store.facts import write_of
from csms.store.pruning import MOST_ROWS
from csms.store.tables import METER_VALUE
from tests.control.kit import START, World

MANY = 3000


async def rows_of(w: World) -> int:
    return await w.store.read(lambda conn: conn.execute(select(func.count()).select_from(METER_VALUE)).scalar_one())


async def history(w: World) -> None:
    """Readings of long ago that nobody needs; all is settled."""
    for n in range(MANY):
        fact = w.metered(at=START + timedelta(seconds=n), power_import_w=float(n))
        w.store.writer.put(Write(*write_of(fact)))
    w.clock.pass_(900 * 86_400)
    await w.take(w.metered(import_wh=1.0))
    settled = SettledUntil(until=w.clock.now(), reading_id=MANY + 1)
    await w.store.writer.run(partial(writes.save_settled, settled=settled))


async def test_what_is_old_goes_in_slices_between_which_messages_are_confirmed(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice is a write like any other, at most so long: a status in the middle is confirmed in the middle."""
    await history(w)
    confirmed_after: list[int] = []
    slices: list[int] = []
    timed = retention._timed

    def counted(conn, part, after, limit):
        took_s, done = timed(conn, part, after, limit)
        slices.append(done.gone)
        assert limit <= MOST_ROWS
        return took_s, done

    monkeypatch.setattr(retention, "_timed", counted)
    monkeypatch.setattr(retention, "REST", 0)

    def say(_answer: object = None) -> None:
        confirmed_after.append(sum(slices))
        if sum(slices) < MANY:
            w.system.rooms.intake.receive(w.status(ConnectorStatus.AVAILABLE), say)

    say()
    outcomes = await w.system.retention.run()
    assert {outcome.table: outcome.rows for outcome in outcomes if outcome.rows} == {"meter_value": MANY}
    assert await rows_of(w) == 1
    assert len(slices) > MANY / MOST_ROWS
    assert len({gone for gone in confirmed_after if 0 < gone < MANY}) > 2


def test_a_slice_that_took_long_is_followed_by_a_smaller_one() -> None:
    """A few milliseconds, on whatever machine."""
    sizes = [100]
    for took_s in (0.001, SLICE_S * 2, SLICE_S * 0.9, SLICE_S * 50):
        sizes.append(retention._next_limit(sizes[-1], took_s))
    assert sizes == [100, 150, 75, 75, 37]
    assert retention._next_limit(FEWEST_ROWS, 1.0) == FEWEST_ROWS
    assert retention._next_limit(MOST_ROWS, 0.0) == MOST_ROWS


async def test_a_dry_run_says_what_would_go_and_touches_nothing(w: World) -> None:
    await history(w)
    said = {outcome.table: outcome.rows for outcome in await w.system.retention.look() if outcome.rows}
    assert said == {"meter_value": MANY}
    assert await rows_of(w) == MANY + 1


async def test_a_day_is_worked_off_once(w: World) -> None:
    """What is kept by whole days is not looked for again every hour."""
    await history(w)
    assert await w.system.retention.run()
    w.clock.pass_(60)
    assert await w.system.retention.run() == []
    w.clock.pass_(86_400)
    again: list[Outcome] = await w.system.retention.run()
    assert again
    assert not any(outcome.rows for outcome in again)


async def test_nothing_goes_before_all_of_it_is_settled(w: World) -> None:
    """M2: an interval that could not be settled holds what it needs, however old."""
    await history(w)
    due = SettledUntil(until=w.clock.now(), due=frozenset({START}), reading_id=MANY + 1)
    await w.store.writer.run(partial(writes.save_settled, settled=due))
    assert not any(outcome.rows for outcome in await w.system.retention.run())
    assert await rows_of(w) == MANY + 1


async def test_each_kind_goes_by_a_setting_of_its_own(w: World) -> None:
    """A fleet that keeps readings for longer."""
    await history(w)
    longer = Retention(w.store, w.clock, Days(readings_days=1000))
    assert not any(outcome.rows for outcome in await longer.run())
    assert await rows_of(w) == MANY + 1
