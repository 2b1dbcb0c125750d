"""Stations' clocks against ours. V2G-60, reference §4.3, B3, B8, F2."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from csms.control.intake.clock_offset import FUTURE, ClockOffset, dated
from csms.domain.facts import Metered, NeedsReported, Origin, Reading
from csms.domain.station import ConnectorStatus, Version
from csms.store import reads
from csms.store.facts import write_of
from csms.store.sql import rows_into
from csms.store.tables import METER_VALUE, NOTICE, STATUS, TRANSACTION
from csms.store.values import instant
from tests.control.kit import E1, START, S, World

HOUR = 3600.0
YEAR = 365 * 86_400.0


def told(offset: ClockOffset, *late_s: float, every_s: float = 20.0, since: datetime = START) -> float:
    """The offset after messages that come this often, each so much after it was said."""
    for number, late in enumerate(late_s):
        at = since + timedelta(seconds=every_s * number)
        offset.note(at - timedelta(seconds=late), at)
    return offset.offset_s


@pytest.mark.parametrize("late_s", [HOUR, -HOUR])
def test_a_clock_that_is_an_hour_off_is_corrected_once_many_messages_over_a_minute_agree(late_s: float) -> None:
    offset = ClockOffset()
    assert told(offset, *[late_s] * 3) == 0.0
    assert told(offset, *[late_s + n / 10 for n in range(6)]) == pytest.approx(late_s, abs=0.5)
    later = START + timedelta(hours=3)
    assert abs(offset.ours(later - timedelta(seconds=late_s), later) - later) < timedelta(seconds=1)


def test_one_message_teaches_nothing_whatever_its_kind() -> None:
    """B3: a stale status after a boot put a queue of two hours at "now"."""
    assert told(ClockOffset(), 2 * HOUR) == 0.0


def test_small_delays_are_no_offset() -> None:
    assert told(ClockOffset(), *[0.4, 3.0, 9.0] * 5) == 0.0


@pytest.mark.parametrize("every_s", [0.01, 0.5, 3.0])
def test_a_queue_of_two_hours_is_never_taken_for_a_slow_clock(every_s: float) -> None:
    """F2: whether it is sent at once or slowly."""
    offset = ClockOffset()
    assert told(offset, *(2 * HOUR - (60 - every_s) * n for n in range(120)), every_s=every_s) == 0.0


def test_what_is_known_holds_while_a_queue_comes() -> None:
    offset = ClockOffset()
    told(offset, *[HOUR] * 6)
    assert told(offset, *(3 * HOUR - 60 * n for n in range(60)), every_s=0.1, since=START + timedelta(hours=1)) == HOUR


def test_what_was_said_in_one_go_and_is_repeated_in_one_go_is_no_slow_clock() -> None:
    """Field lesson 12: after a restart of ours a station repeats its unconfirmed messages, all of them equally late."""
    assert told(ClockOffset(), *[25.0] * 40, every_s=0.01) == 0.0


@pytest.mark.parametrize("late_s", [-6 * 86_400.0, -10 * 365 * 86_400.0], ids=["six days ahead", "2036"])
def test_one_sample_from_the_future_moves_no_other(late_s: float) -> None:
    """B3."""
    assert told(ClockOffset(), 0.2, 0.3, late_s, 0.2, 0.1, 0.2, 0.3) == 0.0


def test_after_a_boot_the_clock_is_learnt_anew_and_what_was_known_holds_until_then() -> None:
    offset = ClockOffset()
    told(offset, *[-HOUR] * 6)
    offset.forget()
    assert offset.offset_s == -HOUR
    assert told(offset, *[0.1] * 6, since=START + timedelta(hours=2)) == 0.0


@pytest.mark.parametrize("ahead", [timedelta(minutes=6), timedelta(days=6), timedelta(days=3650)])
def test_what_comes_from_the_future_is_dated_by_its_arrival(ahead: timedelta) -> None:
    """B3: more than five minutes."""
    assert ClockOffset().ours(START + ahead, START) == START


@given(st.lists(st.floats(-1e9, 1e9), max_size=40), st.floats(-1e9, 1e9))
def test_nothing_is_ever_dated_further_in_the_future_than_five_minutes(late_s: list[float], last_s: float) -> None:
    """B3: nor, once a clock is corrected, after its arrival."""
    offset = ClockOffset()
    told(offset, *late_s)
    at = offset.ours(START - timedelta(seconds=last_s), START)
    assert at <= (START if offset.offset_s else START + FUTURE)


def test_a_reading_keeps_its_own_time_beside_ours() -> None:
    offset = ClockOffset(offset_s=HOUR)
    said = START - timedelta(hours=1)
    fact = Metered(
        origin=Origin(station=S, message_id="m", received_at=START),
        evse=E1,
        transaction=None,
        readings=(Reading(at=said, import_wh=1.0),),
    )
    found = dated(fact, offset)
    assert (found.readings[0].at, found.readings[0].device_at, found.origin.offset_s) == (START, said, HOUR)


async def test_the_own_time_the_offset_and_the_arrival_are_stored_and_a_repeated_reading_is_one(w: World) -> None:
    """B3, B8: also when the offset is another by then."""
    behind = timedelta(hours=1)
    for n in range(8):
        await w.take(w.metered(at=w.clock.pass_(60) - behind, import_wh=float(n)))
    last = w.metered(at=w.clock.pass_(60) - behind, import_wh=9.0)
    await w.take(last)
    await w.restart()
    w.clock.pass_(60)
    await w.take(replace(last, origin=w.origin()))
    rows = await w.store.read(lambda conn: conn.execute(select(METER_VALUE).order_by(METER_VALUE.c.id)).all())
    assert [row.import_wh for row in rows] == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert [instant(row.device_at) for row in rows[:2]] == [
        START - behind + timedelta(minutes=1),
        START - behind + timedelta(minutes=2),
    ]
    assert (rows[0].offset_s, rows[-1].offset_s) == (0.0, 3600.0)
    assert instant(rows[0].at) == START - behind + timedelta(minutes=1), "what came before it was known stays as it was"
    assert instant(rows[-1].at) == instant(rows[-1].received_at) == START + timedelta(minutes=9)


async def test_a_queue_of_two_hours_keeps_its_times_after_a_stale_status(w: World) -> None:
    """B3, as it was found."""
    await w.take(w.boot(), w.status(ConnectorStatus.PREPARING, at=START - timedelta(hours=2)))
    times = [START - timedelta(minutes=120 - 4 * n) for n in range(30)]
    await w.take(*(w.metered(at=at, import_wh=float(n)) for n, at in enumerate(times)))
    stored = await w.store.read(partial(reads.readings, evse=E1, start=times[0], end=START))
    assert [found.reading.at for found in stored] == times


async def test_a_sample_of_2036_freezes_no_live_value(w: World) -> None:
    """B3: nor after a restart."""
    await w.take(w.started(), w.metered(at=datetime(2036, 1, 1, tzinfo=UTC), power_import_w=1000.0, soc_percent=50.0))
    w.clock.pass_(60)
    await w.take(w.metered(power_import_w=2000.0, soc_percent=51.0))
    await w.restart()
    w.clock.pass_(60)
    await w.take(w.metered(power_import_w=3000.0, soc_percent=52.0))
    assert (w.evse.power_w, w.evse.soc_percent) == (3000, 52.0)


async def test_statuses_of_a_clock_that_stands_still_are_all_kept(w: World) -> None:
    """B8: also the one that was said before with the same stamp, and after a restart."""
    for kind in (ConnectorStatus.AVAILABLE, ConnectorStatus.PREPARING, ConnectorStatus.AVAILABLE):
        w.clock.pass_(120)
        await w.take(w.status(kind, at=START))
    kept = await w.store.read(lambda conn: conn.execute(select(STATUS.c.status).order_by(STATUS.c.id)).scalars().all())
    assert kept == ["available", "preparing", "available"]
    await w.restart()
    assert w.evse.cable.statuses[1].status is ConnectorStatus.AVAILABLE
    assert w.evse.plug_in is not None
    assert w.evse.cable.available_since is not None


async def test_the_own_time_of_a_clock_that_stands_still_is_kept_beside_the_time_of_receipt(w: World) -> None:
    """Design §3: times are evidence. The key of a status needs another time than a stamp that never changes."""
    for kind in (ConnectorStatus.AVAILABLE, ConnectorStatus.PREPARING):
        w.clock.pass_(120)
        await w.take(w.status(kind, at=START))
    query = select(STATUS.c.stated_at, STATUS.c.device_at, STATUS.c.received_at).order_by(STATUS.c.id)
    first, second = await w.store.read(lambda conn: conn.execute(query).all())
    assert (first.stated_at, instant(first.device_at)) == (None, START)
    assert (instant(second.stated_at), second.device_at) == (START, second.received_at)


async def test_the_offset_of_a_clock_is_kept_with_what_a_vehicle_needs_too(w: World) -> None:
    """Design §3: a departure is said by the station's clock."""
    origin = replace(w.origin(), offset_s=3600.0)
    await w.store.writer.run(lambda conn: commit_notice(conn, NeedsReported(origin=origin, evse=E1, **NEEDS)))
    kept = await w.store.read(lambda conn: conn.execute(select(NOTICE.c.offset_s, NOTICE.c.kind)).all())
    assert [tuple(row) for row in kept] == [(3600.0, "charging_needs")]


def commit_notice(conn: Any, fact: NeedsReported) -> None:
    rows, _ = write_of(fact)
    rows_into(conn, NOTICE, [row for _, row in rows])


NEEDS = {"iso20": False, "bidirectional": True}


async def test_a_start_of_a_clock_that_was_never_set_is_one_however_often_it_comes(w: World) -> None:
    """B8: 1970 gave it ids 3 and 4; the key is its own time in its own words."""
    first = w.started(stated="1970-01-01T00:00:09Z", device_at=datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC))
    later = w.clock.pass_(30)
    again = replace(first, origin=w.origin(), at=later)
    ids = [answer.transaction for answer in await w.take(first, again)]  # type: ignore[union-attr]
    assert ids[0] == ids[1]
    rows = await w.store.read(lambda conn: conn.execute(select(TRANSACTION)).all())
    assert [(instant(row.started_at), row.start_stated) for row in rows] == [(START, "1970-01-01T00:00:09Z")]


async def _nine_hours_ahead(w: World) -> None:
    """A station that calls its local time UTC; by now its clock is known."""
    ahead = timedelta(hours=9)
    await w.take(w.status(ConnectorStatus.AVAILABLE, at=w.clock.now() + ahead))
    for number in range(8):
        w.clock.pass_(15)
        await w.take(w.metered(at=w.clock.now() + ahead, import_wh=float(number)))


@pytest.mark.parametrize("boots", [True, False])
async def test_a_clock_that_was_ahead_and_is_set_right_dates_nothing_into_the_past(w: World, *, boots: bool) -> None:
    """B3: the plug-in was dated nine hours ago, or not seen at all, and so were half an hour of readings."""
    await _nine_hours_ahead(w)
    w.clock.pass_(10)
    await w.take(*([w.boot()] if boots else []), w.status(ConnectorStatus.PREPARING))
    assert w.plug_in.plugged_at == w.clock.now()
    await w.take(w.started())
    for number in range(30):
        at = w.clock.pass_(60)
        await w.take(w.metered(transaction=w.evse.run.transaction, import_wh=100.0 * number))
        assert w.evse.meter.reading is not None
        assert w.evse.meter.reading.at == at


async def test_a_clock_that_was_set_years_ago_dates_nothing(w: World) -> None:
    """B3: what is further off than any clock that was set is dated by its arrival."""
    behind = timedelta(days=900)
    await w.take(w.status(ConnectorStatus.PREPARING, at=w.clock.now() - behind))
    assert w.plug_in.plugged_at == w.clock.now()
    await w.take(w.started(at=w.clock.pass_(5) - behind))
    (record,) = await w.store.read(reads.transactions)
    assert record.started_at == w.clock.now()


async def test_a_start_is_no_history_to_a_status_from_the_future(w: World) -> None:
    """A clock four minutes ahead: once that was known, a start was older than the Available before it, and lost."""
    ahead = timedelta(minutes=4)
    await w.take(w.status(ConnectorStatus.AVAILABLE, at=w.clock.now() + ahead))
    for _ in range(6):
        w.clock.pass_(15)
        await w.take(w.metered(at=w.clock.now() + ahead, import_wh=1.0))
    await w.take(w.started(at=w.clock.now() + ahead))
    assert w.evse.run.transaction is not None


N_LIVE = 6
"""So many messages, a minute apart at most, and a clock's change is known."""
WITHIN = timedelta(seconds=20)
"""As far as a corrected time may be from the truth: the quantum, and a message's own delay twice."""

AHEAD = st.sampled_from(
    [0.0, HOUR, -HOUR, 2 * HOUR, -9 * HOUR, 4 * 60.0, -7 * 60.0, 86_400.0, -6 * 86_400.0, 40 * YEAR, -56.5 * YEAR]
)
"""How far a clock is ahead, s: DST both ways, local time called UTC, minutes, days, 2066, 1970."""


def said(offset: ClockOffset, truth: datetime, ahead_s: float, delay_s: float) -> datetime:
    """When a live reading is taken to be from, which was made at ``truth`` and came a little later."""
    reading = Reading(at=truth + timedelta(seconds=ahead_s), import_wh=1.0)
    origin = Origin(station=S, message_id="m", received_at=truth + timedelta(seconds=delay_s))
    placed = dated(Metered(origin=origin, evse=E1, transaction=None, readings=(reading,)), offset).readings[0].at
    assert isinstance(placed, datetime)
    return placed


@given(
    st.lists(st.tuples(AHEAD, st.integers(N_LIVE, 40)), min_size=1, max_size=4),
    st.floats(12, 60),
    st.lists(st.floats(0, 5), min_size=1, max_size=20),
)
def test_a_live_reading_is_never_far_from_the_truth_once_a_few_came_by_the_same_clock(
    stretches: list[tuple[float, int]], every_s: float, delays_s: list[float]
) -> None:
    """S2: whatever the clock was set to before, and however long it was so: a change of DST took 25 minutes."""
    offset, truth, number = ClockOffset(), START, 0
    for ahead_s, many in stretches:
        for since in range(many):
            truth, number = truth + timedelta(seconds=every_s), number + 1
            placed = said(offset, truth, ahead_s, delays_s[number % len(delays_s)])
            if since >= N_LIVE:
                assert abs(placed - truth) <= WITHIN


@given(AHEAD, st.integers(0, 40), st.lists(st.tuples(st.floats(1, 900), st.floats(0.02, 0.5)), max_size=60))
def test_a_queue_that_is_sent_faster_than_it_was_made_never_moves_the_offset(
    ahead_s: float, live: int, queue: list[tuple[float, float]]
) -> None:
    """F1, F2, B3: twice as fast at least; before it the clock was known, or nothing was."""
    offset, now = ClockOffset(), START
    for _ in range(live):
        now += timedelta(seconds=20)
        said(offset, now, ahead_s, 0.2)
    known_s = offset.offset_s
    made_at = now
    received_at = now + timedelta(seconds=sum(gap_s for gap_s, _ in queue))
    for gap_s, share in queue:
        made_at, received_at = made_at + timedelta(seconds=gap_s), received_at + timedelta(seconds=gap_s * share)
        said(offset, made_at, ahead_s, (received_at - made_at).total_seconds())
        assert offset.offset_s == known_s


@given(st.floats(-1e7, 1e7), st.floats(61, 900), st.integers(2, 20))
def test_a_frozen_clock_dates_nothing_once_its_stamp_is_said_again(ahead_s: float, every_s: float, many: int) -> None:
    """B8."""
    offset, stopped_at = ClockOffset(), START + timedelta(seconds=ahead_s)
    for number in range(many):
        now = START + timedelta(seconds=every_s * number)
        placed = said(offset, now, (stopped_at - now).total_seconds(), 0.2)
        if number:
            assert abs(placed - now) <= WITHIN


@pytest.mark.parametrize("ahead_s", [HOUR, -HOUR], ids=["spring", "autumn"])
async def test_a_station_of_local_time_is_metered_at_the_right_time_five_minutes_after_dst_changed(
    w: World, ahead_s: float
) -> None:
    """S2: it calls its local time UTC. Readings of the first minutes stay as they were taken to be."""
    await w.take(w.boot(), w.status(ConnectorStatus.AVAILABLE))
    for _ in range(35):
        await w.take(w.metered(at=w.clock.pass_(60), import_wh=1.0))
    for number in range(12):
        now = w.clock.pass_(60)
        fact = w.metered(at=now + timedelta(seconds=ahead_s), import_wh=10.0 + number)
        await w.take(fact)
        if number >= 4:
            assert w.evse.meter.reading is not None
            assert w.evse.meter.reading.at == now


async def test_a_vehicle_that_comes_within_the_hour_after_a_clock_was_set_back_is_seen(w: World) -> None:
    """S2: an idle station says nothing but its statuses; by its clock this one is of before the last."""
    w.system.rooms.intake.connected(S, Version.V21)
    w.clock.pass_(2 * HOUR)
    free_at = w.clock.now()
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    back = timedelta(hours=1)
    await w.take(w.status(ConnectorStatus.PREPARING, at=w.clock.pass_(600) - back))
    assert w.plug_in.plugged_at == free_at, "not before the connector was free"
    await w.take(w.status(ConnectorStatus.AVAILABLE, at=w.clock.pass_(600) - back))
    w.clock.pass_(120)
    await w.system.reactions.sweep()
    assert w.evse.plug_in is None


async def test_what_was_kept_while_a_station_was_away_is_still_of_before_what_it_said_first(w: World) -> None:
    """F1: the present first, then the past."""
    w.clock.pass_(2 * HOUR)
    w.system.rooms.intake.connected(S, Version.V21)
    await w.take(w.status(ConnectorStatus.PREPARING))
    await w.take(w.status(ConnectorStatus.AVAILABLE, at=w.clock.now() - timedelta(hours=1)))
    assert w.evse.cable.statuses[1].status is ConnectorStatus.PREPARING
    assert w.evse.cable.available_since is None
