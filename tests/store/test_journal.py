"""Frames that money or permission rests on: kept with the commit of what they told, found again. M2."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from csms.domain.ids import StationId
from csms.domain.record import Frame, SentCall
from csms.store import Store, Write, open_store
from csms.store.facts import write_of
from csms.store.journal import PAGE_BYTES, Journal, dictionary, unpacked
from csms.store.reads.frames import Wanted, frames
from csms.store.tables import FRAME_PAGE, METER_VALUE, SENT_CALL
from csms.store.values import micros
from tests.store.made import S, at, metered, reading

TEXT = b'[2,"m-5","MeterValues",{"connectorId":1}]'
PACKED_1 = "783fed7dda4463606060046216c75b995c13800c20d064700ed63504e5f55c5d5028e0cdedb5b100af921092"

kept_frames = st.lists(
    st.tuples(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
        st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),
        st.booleans(),
        st.binary(max_size=300),
        st.none(),
    ),
    min_size=1,
    max_size=40,
)


def frame(minute: float = 0, text: bytes = TEXT, *, is_out: bool = False, call: SentCall | None = None) -> Frame:
    return StationId(S), at(minute), is_out, text, call


def stored(conn: Connection) -> list[tuple[int, bytes]]:
    pages = conn.execute(select(FRAME_PAGE).order_by(FRAME_PAGE.c.id)).all()
    return [(each.at, each.text) for page in pages for each in unpacked(page.content, page.packing)]


@given(kept_frames)
def test_frames_come_back_byte_for_byte_at_their_microsecond(kept: list[Frame]) -> None:
    """M2: whatever a station is called and says."""
    journal = Journal()
    for each in kept:
        journal.keep(each)
    pages = [row for table, row in journal.take() if table == "frame_page"]
    found = [each for page in pages for each in unpacked(page["content"], page["packing"])]
    wanted = [(micros(when), is_out, station, text) for station, when, is_out, text, _ in kept]
    assert [tuple(each) for each in found] == wanted
    assert journal.take() == []


@given(kept_frames)
def test_a_page_spans_a_minute_at_most(kept: list[Frame]) -> None:
    """Frames of an instant are looked for in the pages that end within a minute after it."""
    journal = Journal()
    for each in kept:
        journal.keep(each)
    for _, page in journal.take():
        times = [each.at for each in unpacked(page["content"], page["packing"])]
        assert (page["first_at"], page["last_at"]) == (min(times), max(times))
        assert page["last_at"] - page["first_at"] <= 60_000_000


def test_a_page_is_bounded() -> None:
    journal = Journal()
    for n in range(30):
        journal.keep(frame(text=bytes([n]) * (PAGE_BYTES // 10)))
    pages = journal.take()
    assert len(pages) > 3
    sizes = [sum(len(each.text) for each in unpacked(row["content"], row["packing"])) for _, row in pages]
    assert max(sizes) <= PAGE_BYTES


def test_what_was_packed_by_the_first_dictionary_is_read_for_ever() -> None:
    """A changed dictionary is another packing: the bytes below were written by the first."""
    packed = bytes.fromhex(PACKED_1)
    (found,) = unpacked(packed, 1)
    assert (found.station, found.text, found.at, found.is_out) == (S, TEXT, micros(at(0)), False)
    assert len(dictionary(1)) == 4571


async def test_a_fact_that_is_confirmed_has_its_frame_in_the_same_commit(store: Store) -> None:
    """M2: "nothing confirmed loses its frame": at the instant of the confirmation another connection sees both."""
    seen: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()

    def count(conn: Connection) -> tuple[int, int]:
        readings = conn.execute(select(func.count()).select_from(METER_VALUE)).scalar_one()
        return readings, len(stored(conn))

    store.keep(frame())
    store.writer.put(Write(*write_of(metered(reading(0))), done=seen.set_result))
    await seen
    assert await store.read(count) == (1, 1)
    assert store.writer._unfinished == 0, "a page is no write that somebody has put"


async def test_what_no_commit_follows_is_kept_all_the_same(store: Store) -> None:
    """Our own frames: a CALL to a station, and what answers it, with an index of them."""
    call = SentCall("c-1", "SetChargingProfile", 1, "sp-1")
    store.keep(frame(0, b'[2,"c-1","SetChargingProfile",{}]', is_out=True, call=call))
    store.keep(frame(0.01, b'[3,"c-1",{"status":"Accepted"}]', call=call))
    for _ in range(200):
        if found := await store.read(stored):
            break
        await asyncio.sleep(0.05)
    assert len(found) == 2
    rows = await store.read(lambda conn: conn.execute(select(SENT_CALL).order_by(SENT_CALL.c.id)).all())
    assert [row[1:] for row in rows] == [
        (S, micros(at(0)), "c-1", False, "SetChargingProfile", 1, "sp-1"),
        (S, micros(at(0.01)), "c-1", True, "SetChargingProfile", 1, "sp-1"),
    ]


async def test_what_waits_at_the_stop_is_kept(url: str) -> None:
    store = open_store(url, spacing_s=0)
    store.keep(frame())
    await store.close()
    again = open_store(url)
    assert await again.read(stored) == [(micros(at(0)), TEXT)]
    await again.close()


async def test_a_call_is_found_with_its_answer_among_those_of_its_instant(store: Store) -> None:
    """Two stations, two messages at one instant; the answers come in later commits."""
    other = StationId("CS-2")
    batches = [
        [frame(text=b'[2,"m-1","MeterValues",{}]'), frame(text=b'[2,"m-2","MeterValues",{}]')],
        [(other, at(0), False, b'[2,"m-1","Authorize",{}]', None)],
        [(other, at(0.001), True, b'[3,"m-1",{"of":"other"}]', None), frame(0.001, b'[3,"m-2",{}]', is_out=True)],
        [frame(0.002, b'[3,"m-1",{}]', is_out=True)],
    ]
    for batch in batches:
        for each in batch:
            store.keep(each)
        await store.writer.run(lambda _conn: None)
    wanted = [Wanted(S, "m-1", micros(at(0))), Wanted(other, "m-1", micros(at(0))), Wanted(S, "m-1", micros(at(5)))]
    found = await store.read(partial(frames, wanted=wanted))
    texts = [[each.frame.text for each in found[one]] for one in wanted]
    assert texts == [
        [b'[2,"m-1","MeterValues",{}]', b'[3,"m-1",{}]'],
        [b'[2,"m-1","Authorize",{}]', b'[3,"m-1",{"of":"other"}]'],
        [],
    ]


@pytest.mark.parametrize("times_s", [(0, 90), (90, 0), (0, 30, 61)])
async def test_frames_far_apart_in_one_commit_are_found(store: Store, times_s: tuple[float, ...]) -> None:
    """A database that took nothing for a while, a clock that was set."""
    for n, second in enumerate(times_s):
        store.keep((S, at(0) + timedelta(seconds=second), False, f'[2,"m-{n}","MeterValues",{{}}]'.encode(), None))
    await store.writer.run(lambda _conn: None)
    wanted = [Wanted(S, f"m-{n}", micros(at(0)) + round(second * 1e6)) for n, second in enumerate(times_s)]
    found = await store.read(partial(frames, wanted=wanted))
    assert [len(found[one]) for one in wanted] == [1] * len(times_s)
