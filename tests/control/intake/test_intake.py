"""Facts come in: stored, then answered, then acted on."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Connection

from csms.control.intake.intake import Intake
from csms.control.intake.transaction_ids import IDS_PER_BLOCK, TransactionIds
from csms.control.state import changes
from csms.control.state.id_tokens import IdTokens
from csms.domain.answers import (
    Acknowledged,
    Answer,
    BootAnswer,
    DataAnswer,
    NeedsAnswer,
    NeedsStatus,
    StartAnswer,
    TimeAnswer,
    TokenAnswer,
    TokenStatus,
    TransactionAnswer,
)
from csms.domain.errors import BadDatabase
from csms.domain.facts import DataSent, Heartbeat, IdToken, NeedsReported, Reading, TokenType, Unintelligible
from csms.domain.ids import EvseRef, StationId
from csms.domain.people import IdTokenRecord
from csms.domain.station import BootState, ConnectorStatus, Version
from csms.store import reads, writes
from tests.control.kit import CARD, E1, START, STRANGER, S, World


async def test_nothing_is_answered_before_its_commit(w: World) -> None:
    """Design §1: frame, fact, commit, reply."""
    answers: list[Answer] = []
    w.system.rooms.intake.receive(w.started(), answers.append)
    await asyncio.sleep(0)
    assert answers == []
    assert w.evse.plug_in is None
    await w.quiet()
    assert len(answers) == 1
    stored = await w.store.read(partial(reads.transactions, station=S))
    assert [record.id for record in stored] == [str(answers[0].transaction)]  # type: ignore[union-attr]


async def test_a_heartbeat_is_answered_from_memory_with_the_time(w: World) -> None:
    """Scenario 4: a write would only wear the disk."""
    answers: list[Answer] = []
    w.clock.pass_(5)
    w.system.rooms.intake.receive(Heartbeat(origin=w.origin()), answers.append)
    assert answers == [TimeAnswer(w.clock.now())]
    assert w.station.last_heard_at == w.clock.now()


@pytest.mark.parametrize("state", [BootState.ACCEPTED, BootState.PENDING, BootState.REJECTED])
async def test_a_boot_is_answered_as_the_station_is_registered(w: World, state: BootState) -> None:
    """Scenario 3, V2G-61."""
    w.station.station = replace(w.station.station, registration=state)
    assert await w.take(w.boot()) == [BootAnswer(state=state, now=START, interval_s=300)]
    kept = await w.store.read(partial(reads.station, id=S))
    assert kept is not None
    assert (kept.boot_state, kept.model) == (state, "M")
    assert w.station.station.boot_state is state


async def test_a_start_is_answered_with_an_id_also_when_its_token_is_refused(w: World) -> None:
    """Field lesson 10."""
    (answer,) = await w.take(w.started(STRANGER))
    assert isinstance(answer, StartAnswer)
    assert answer.transaction > 0
    assert answer.token.status is TokenStatus.UNKNOWN
    assert not w.evse.run.authorized


async def test_the_same_start_gets_the_same_id_and_another_start_another(w: World) -> None:
    """V2G-54, field lesson 9: retries come with new message ids."""
    first = w.started()
    w.clock.pass_(10)
    again = replace(first, origin=w.origin())
    ids = [answer.transaction for answer in await w.take(first, again, w.started())]  # type: ignore[union-attr]
    assert ids[0] == ids[1] != ids[2]


async def test_a_start_that_nobody_understands_is_kept_and_gets_an_id_of_its_own(w: World) -> None:
    """V2G-39: confirmed, never CALLERROR."""
    bad = Unintelligible(origin=w.origin(), action="StartTransaction", raw="{}", why="no connector")
    one, two = await w.take(bad, replace(bad, origin=w.origin(), raw="{ }"))
    assert isinstance(one, StartAnswer)
    assert isinstance(two, StartAnswer)
    assert 0 < one.transaction < two.transaction
    assert one.token.status is TokenStatus.INVALID
    other = replace(bad, origin=w.origin(), action="MeterValues")
    assert await w.take(other) == [Acknowledged()]


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (None, TokenStatus.UNKNOWN),
        (IdTokenRecord(token="X"), TokenStatus.ACCEPTED),
        (IdTokenRecord(token="x "), TokenStatus.ACCEPTED),
        (IdTokenRecord(token="X", status=TokenStatus.BLOCKED), TokenStatus.BLOCKED),
        (IdTokenRecord(token="X", expires_at=START), TokenStatus.EXPIRED),
        (IdTokenRecord(token="X", expires_at=START + timedelta(seconds=1)), TokenStatus.ACCEPTED),
        (IdTokenRecord(token="X", expires_at=START, status=TokenStatus.BLOCKED), TokenStatus.BLOCKED),
    ],
)
async def test_a_token_is_judged_by_what_is_known_of_it(
    w: World, record: IdTokenRecord | None, status: TokenStatus
) -> None:
    """Scenario 8, V2G-31: compared without case."""
    if record:
        await w.token(record)
    (answer,) = await w.take(w.authorize(IdToken("x")))
    assert isinstance(answer, TokenAnswer)
    assert answer.status is status


def test_a_station_that_authorizes_nobody_is_let_be() -> None:
    """2.x NoAuthorization: its host wants that charge."""
    verdict = IdTokens().verdict(IdToken("", TokenType.NONE), START)
    assert verdict.status is TokenStatus.ACCEPTED


def test_our_own_tokens_are_forgotten_when_they_have_expired_and_no_others() -> None:
    tokens = IdTokens()
    tokens.load(
        [
            IdTokenRecord(token="A", type=TokenType.CENTRAL, expires_at=START),
            IdTokenRecord(token="B", type=TokenType.CENTRAL, expires_at=START + timedelta(1)),
            IdTokenRecord(token="C", expires_at=START),
        ]
    )
    tokens.purge(START)
    assert sorted(tokens.records) == ["B", "C"]


async def test_everything_else_is_noted_or_answered_as_it_must_be(w: World) -> None:
    """V2G-13 and the rest."""
    start = w.started()
    needs = NeedsReported(origin=w.origin(), evse=E1, iso20=True, bidirectional=True)
    data = DataSent(origin=w.origin(), vendor="V", message="m", data="")
    facts = [w.status(ConnectorStatus.PREPARING), start, w.metered(power_import_w=1.0), needs, data]
    answers = await w.take(*facts, replace(needs, origin=w.origin(), bidirectional=False))
    assert [answers[0], *answers[2:]] == [
        Acknowledged(),
        Acknowledged(),
        NeedsAnswer(NeedsStatus.PROCESSING),
        DataAnswer("UnknownVendorId"),
        NeedsAnswer(NeedsStatus.NO_PROFILE),
    ]
    assert await w.take(w.stopped(w.evse.run.transaction)) == [TransactionAnswer(None)]
    assert await w.take(w.stopped("-1"), w.ended(0, "never-seen")) == [TransactionAnswer(None)] * 2


async def test_a_stop_that_came_before_its_start_ends_what_that_start_began(w: World) -> None:
    """V2G-55: from a queue in the wrong order; also in the live state."""
    w.clock.pass_(60)
    await w.take(w.stopped("-1"), w.started(at=START))
    assert w.evse.run.transaction is None
    assert await w.store.read(reads.open_transactions) == []


async def test_a_fact_of_a_station_that_is_gone_is_dropped(w: World) -> None:
    answers: list[Answer] = []
    w.system.rooms.intake.receive(w.status(ConnectorStatus.PREPARING, EvseRef(StationId("gone"), 1)), answers.append)
    w.system.rooms.intake.connected(StationId("gone"), Version.V16)
    w.system.rooms.intake.disconnected(StationId("gone"))
    await w.quiet()
    assert answers == []


async def test_readings_from_the_queue_keep_their_time(w: World) -> None:
    """V2G-60: whoever was offline for an hour has no slow clock."""
    times = [START - timedelta(minutes=60 - n) for n in range(20)]
    await w.take(*(w.metered(at=at, import_wh=float(n)) for n, at in enumerate(times)))
    stored = await w.store.read(partial(reads.readings, evse=E1, start=times[0], end=START))
    assert [found.reading.at for found in stored] == times


async def test_values_of_connector_0_that_name_a_transaction_are_its_evses(w: World) -> None:
    """B10."""
    await w.take(w.started(), w.metered(ref=EvseRef(S, 0), transaction="1", import_wh=5.0, power_import_w=900.0))
    assert w.evse.run.transaction == "1"
    assert w.evse.power_w == 900
    stored = await w.store.read(partial(reads.readings, evse=E1, start=START, end=START))
    assert [found.reading.import_wh for found in stored] == [5.0]


async def test_it_says_from_when_to_when_energy_is_known_better(w: World) -> None:
    """P19: from the reading before to the newest; from a late one to the newest known."""
    heard: list[changes.EnergyKnown] = []
    intake = Intake(replace(w.system.ground, emit=_energy_into(heard)), w.system.tokens, 300)
    w.clock.pass_(120)
    samples = [w.metered(at=START + timedelta(seconds=second), import_wh=float(second)) for second in (0, 60, 30)]
    late = tuple(Reading(at=START + timedelta(seconds=s), import_wh=float(s)) for s in (90, 120))
    for fact in (*samples, w.event(0, readings=late)):
        intake.receive(fact, lambda _answer: None)
        await w.quiet()
    spans = [((one.since - START).total_seconds(), (one.until - START).total_seconds()) for one in heard]
    assert spans == [(0, 0), (0, 60), (30, 60), (60, 120)]


def _energy_into(heard: list[changes.EnergyKnown]) -> changes.Emit:
    return lambda change: heard.append(change) if isinstance(change, changes.EnergyKnown) else None


def test_ids_come_from_blocks_and_more_are_asked_for_once_in_time() -> None:
    """Design §3: positive, never reused."""
    ids = TransactionIds()
    ids.feed(1, IDS_PER_BLOCK)
    assert not ids.should_ask
    taken = [ids.take() for _ in range(IDS_PER_BLOCK // 2)]
    assert (ids.should_ask, ids.should_ask) == (True, False)
    ids.feed(5001, IDS_PER_BLOCK)
    taken += [ids.take() for _ in range(IDS_PER_BLOCK)]
    assert len(set(taken)) == len(taken)
    assert taken[0] == 1
    assert taken[IDS_PER_BLOCK] == 5001


async def test_more_starts_than_a_block_has_ids_get_ids_all_different(w: World) -> None:
    """V2G-55."""
    answers: list[Answer] = []
    for n in range(IDS_PER_BLOCK + 20):
        w.system.rooms.intake.receive(w.started(STRANGER, meter_start_wh=n), answers.append)
        if n == IDS_PER_BLOCK // 2:
            await w.quiet()
    await w.quiet()
    assert len(answers) == IDS_PER_BLOCK + 20
    assert len({answer.transaction for answer in answers}) == len(answers)  # type: ignore[union-attr]


async def test_a_reaction_that_fails_leaves_the_fact_applied(w: World) -> None:
    """Design §3: the live state is a cache of committed facts, whoever is told of them."""

    def broken(change: object) -> None:
        raise RuntimeError("a part of the control failed")

    intake = Intake(replace(w.system.ground, emit=broken), w.system.tokens, 300)
    await intake.load()
    intake.receive(w.started(CARD), lambda _answer: None)
    await w.quiet()
    assert (w.evse.plug_in is not None, w.evse.run.transaction is not None, w.evse.run.authorized) == (True, True, True)


async def test_a_start_is_answered_though_no_ids_could_be_reserved(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """C7: the block that did not come was never asked for again; after the last id no start was answered any more."""
    intake = w.system.rooms.intake
    reserve, fails = writes.reserve_transaction_ids, True

    def reserved(conn: Connection, count: int) -> int:
        if fails:
            raise BadDatabase("injected")
        return reserve(conn, count)

    monkeypatch.setattr(writes, "reserve_transaction_ids", reserved)
    monkeypatch.setattr(intake, "_ids", TransactionIds())
    bad = Unintelligible(origin=w.origin(), action="StartTransaction", raw="?", why="no JSON")
    answers = [*await w.take(w.started()), *await w.take(bad), *await w.take(w.started(meter_start_wh=2**80))]
    given = [answer.transaction for answer in answers]  # type: ignore[union-attr]
    assert len(set(given)) == 3
    assert all(0 < id_ < 2**31 for id_ in given)
    fails = False
    await w.take(w.started(meter_start_wh=5))
    await w.quiet()
    assert intake._ids.left >= IDS_PER_BLOCK - 1
