"""What held at the time is what is paid, whatever is learnt later and in whatever order. P4, P11, P19; design §3."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.conditions import Conditions, TimeSlot
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import DrEventId, EvseRef, PlugInId, StationId, UserId
from csms.domain.ledger import EntryKind, LedgerEntry, user_account
from csms.domain.metering import StoredReading
from csms.domain.permission import Permission, PermissionState, PlugIn
from csms.domain.station import SetpointDriver
from csms.domain.tariff import PriceSeries, PriceStep
from csms.domain.units import amount_minor, round_minor
from policies import flows as metered
from policies.flows import Flow, flows_of, pieces
from policies.in_force import in_force
from policies.permission import stretches
from policies.settlement import ledger_entries

START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
INTERVAL = timedelta(minutes=30)


def minute(n: float) -> datetime:
    return START + timedelta(minutes=n)


END = minute(30)


def yes(n: float, **conditions: object) -> Permission:
    stated = Conditions(**conditions)  # type: ignore[arg-type]
    return Permission(state=PermissionState.GRANTED, answered_at=minute(n), conditions=stated)


def no(n: float) -> Permission:
    return Permission(state=PermissionState.REFUSED, answered_at=minute(n), conditions=Conditions())


def asked(n: float) -> Permission:
    return Permission(state=PermissionState.ASKED, asked_at=minute(n), expires_at=minute(n + 5))


def silent(n: float) -> Permission:
    return Permission(state=PermissionState.EXPIRED, expires_at=minute(n))


def minutes_of(history: Sequence[Permission]) -> list[tuple[float, float, bool]]:
    found = stretches(history, START, END)
    return [((s.start - START) / INTERVAL * 30, (s.end - START) / INTERVAL * 30, s.permitted) for s in found]


HISTORIES: dict[str, tuple[list[Permission], list[tuple[float, float, bool]]]] = {
    "never asked": ([], [(0, 30, False)]),
    "asked only": ([asked(0)], [(0, 30, False)]),
    "a yes in the middle": ([asked(0), yes(10)], [(0, 10, False), (10, 30, True)]),
    "a yes before": ([yes(-50)], [(0, 30, True)]),
    "a yes, then a no": ([yes(-5), no(20)], [(0, 20, True), (20, 30, False)]),
    "a no later than the interval": ([yes(-5), no(45)], [(0, 30, True)]),
    "no, yes, no": ([no(0), yes(5), no(6)], [(0, 5, False), (5, 6, True), (6, 30, False)]),
    "a second yes cuts nothing": ([yes(0), yes(12, required_soc_percent=60)], [(0, 30, True)]),
    "a late yes": ([asked(0), silent(5), yes(8)], [(0, 8, False), (8, 30, True)]),
    "a question that lapsed while its yes was stored": (
        [asked(0), yes(5), silent(6), yes(5)],
        [(0, 5, False), (5, 30, True)],
    ),
    "inside a slot only": (
        [yes(0, slots=(TimeSlot(start=time(9, 10), end=time(9, 20), zone="UTC"),))],
        [(0, 10, False), (10, 20, True), (20, 30, False)],
    ),
    "a slot over midnight of its zone": (
        [yes(0, slots=(TimeSlot(start=time(23), end=time(5, 15), zone="Asia/Seoul"),))],
        [(0, 30, False)],
    ),
}


@pytest.mark.parametrize(("history", "expected"), HISTORIES.values(), ids=HISTORIES)
def test_a_later_answer_changes_nothing_of_what_came_before_it(
    history: list[Permission], expected: list[tuple[float, float, bool]]
) -> None:
    """P4, P9, V2G-28."""
    assert minutes_of(history) == expected


# --- a settlement that is repeated ---


@dataclass(frozen=True)
class Known:
    """All that a settlement knows."""

    tariff: int
    events: tuple[DrEvent, ...]
    histories: tuple[tuple[Permission, ...], ...]
    read_at: tuple[tuple[int, ...], ...]
    left_at: tuple[int | None, ...]


def event(number: int, start: int, length: int, up: bool, incentive: int, cancelled: int | None) -> DrEvent:
    return DrEvent(
        id=DrEventId(f"e{number}"),
        direction=Direction.UP if up else Direction.DOWN,
        requested_w=1000,
        starts_at=minute(start),
        ends_at=minute(start + length),
        incentive_per_kwh=Decimal(incentive),
        created_at=minute(number),
        cancelled_at=None if cancelled is None else minute(start + cancelled),
    )


def power_w(number: int, n: int) -> int:
    """What the vehicle truly does: charges and discharges by turns, at a power of its own."""
    return (1 if n % 20 < 9 else -1) * (3217 + 811 * number)


def reading(number: int, n: int) -> StoredReading:
    moved = [power_w(number, m) / 60 for m in range(-10, n)]
    registers = Reading(
        at=minute(n),
        import_wh=round(sum(w for w in moved if w > 0), 1),
        export_wh=round(-sum(w for w in moved if w < 0), 1),
    )
    return StoredReading(id=1000 * number + n + 100, reading=registers, received_at=END, message_id="m")


def plug_in(number: int, left_at: int | None) -> PlugIn:
    return PlugIn(
        id=PlugInId(f"p{number}"),
        evse=EvseRef(StationId(f"s{number}"), 1),
        plugged_at=minute(-10 + 13 * number),
        unplugged_at=None if left_at is None else minute(left_at),
        user=UserId(f"u{number}"),
    )


def setpoint(number: int, event: DrEvent) -> SetpointRecord:
    """In force as long as the event; without it the vehicle would charge at 4 kW."""
    return SetpointRecord(
        id=f"{number}-{event.id}",
        evse=EvseRef(StationId(f"s{number}"), 1),
        plug_in=PlugInId(f"p{number}"),
        transaction=None,
        event=event.id,
        decided_at=event.starts_at,
        acknowledged_at=event.starts_at,
        desired_w=-10_000 if event.direction is Direction.DOWN else 10_000,
        counterfactual_w=4000,
        expires_at=event.stops_at,
        driver=SetpointDriver.OCPP21_SETPOINT,
        reasons=(),
    )


def flows(known: Known) -> list[Flow]:
    series = PriceSeries(currency="JPY", steps=(PriceStep(minute(-60), Decimal(known.tariff)),))
    within = pieces((START, END), INTERVAL, series)
    return [
        flow
        for number, (history, read_at, left_at) in enumerate(
            zip(known.histories, known.read_at, known.left_at, strict=True)
        )
        for _, flow in flows_of(
            metered.Known(
                plug_in=plug_in(number, left_at),
                history=history,
                readings=[reading(number, n) for n in read_at],
                max_w=10_000,
                in_force=in_force([setpoint(number, event) for event in known.events], PlugInId(f"p{number}")),
                events={event.id: event for event in known.events},
            ),
            within,
        )
    ]


def settle(known: Known, ledger: Sequence[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    booked: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in ledger:
        booked[entry.cause].append(entry)
    return ledger_entries(flows(known), booked, "JPY", END)


def sums(ledger: Iterable[LedgerEntry]) -> dict[tuple[str, ...], tuple[int, int]]:
    """Wh and yen by plug-in, flow, event and price: all that can be asked of the ledger."""
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    for entry in ledger:
        flow = entry.cause.rpartition(":")[2]
        key = (entry.plug_in, flow, str(entry.event), str(entry.price_per_kwh.normalize()))
        energy, amount = found.get(key, (0, 0))
        mine = sum(p.amount_minor for p in entry.postings if p.account == user_account(entry.user))
        found[key] = (energy + entry.energy_wh, amount + mine)
    return {key: value for key, value in found.items() if value != (0, 0)}


answers = st.lists(st.tuples(st.booleans(), st.integers(-10, 31)), max_size=4).map(
    lambda given: tuple((yes if granted else no)(n) for granted, n in sorted(given, key=lambda pair: pair[1]))
)
events = st.lists(
    st.tuples(
        st.integers(-10, 29), st.integers(1, 40), st.booleans(), st.integers(0, 30), st.none() | st.integers(0, 9)
    ),
    max_size=3,
).map(lambda rows: tuple(event(number, *row) for number, row in enumerate(rows)))
samples = st.sets(st.integers(-10, 40), max_size=12).map(lambda found: tuple(sorted(found)))
VEHICLES = 3


def each(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(*[strategy] * VEHICLES)


knowledge = st.builds(
    Known,
    tariff=st.integers(1, 60),
    events=events,
    histories=each(answers),
    read_at=each(samples),
    left_at=each(st.none() | st.integers(17, 40)),
)


@given(st.lists(knowledge, min_size=1, max_size=5))
def test_however_often_and_on_whatever_is_settled_the_ledger_ends_as_if_settled_once(course: list[Known]) -> None:
    """P19, design §3: late readings, other prices, events and answers; nobody is paid twice, nothing stays behind."""
    ledger: list[LedgerEntry] = []
    for known in course:
        posted = settle(known, ledger)
        assert all(entry.is_balanced for entry in posted)
        ledger += posted
        assert settle(known, ledger) == ()
    assert sums(ledger) == sums(settle(course[-1], []))
    assert len({(entry.cause, entry.revision) for entry in ledger}) == len(ledger)


@given(knowledge)
def test_the_sum_of_the_parts_is_the_rounded_whole_however_time_is_cut(known: Known) -> None:
    """Design §3: over all cuts of an interval, for each plug-in by itself (A14)."""
    ledger = settle(known, [])
    for number in range(VEHICLES):
        mine = [entry for entry in ledger if entry.plug_in == f"p{number}" and entry.kind is EntryKind.SALE]
        exact_wh = sum((f.energy.export_wh for f in flows(known) if f.plug_in.id == f"p{number}"), Decimal(0))
        assert sum(entry.energy_wh for entry in mine) == round_minor(exact_wh)
        exact = sum((amount_minor(entry.energy_wh, entry.price_per_kwh, "JPY") for entry in mine), Decimal(0))
        assert sum(entry.postings[0].amount_minor for entry in mine) == round_minor(exact)


@given(knowledge, answers)
def test_an_answer_after_the_interval_never_changes_what_is_owed(known: Known, later: tuple[Permission, ...]) -> None:
    """P4: yes, then no: what was delivered while it was permitted stays paid."""
    ledger = settle(known, [])
    later = tuple(replace(answer, answered_at=END + timedelta(minutes=n)) for n, answer in enumerate(later))
    assert settle(replace(known, histories=tuple((*h, *later) for h in known.histories)), ledger) == ()


@given(knowledge)
def test_no_event_pays_for_energy_without_a_yes(known: Known) -> None:
    """P4, P19."""
    refused = replace(known, histories=((no(-10),),) * VEHICLES)
    assert {(entry.event, entry.price_per_kwh) for entry in settle(refused, [])} <= {(None, Decimal(known.tariff))}


# --- single corrections ---

SIMPLE = Known(
    tariff=30,
    events=(event(0, 0, 30, False, 20, None),),
    histories=((yes(-10),),),
    read_at=((-10, 0, 5, 9, 10, 15, 20, 25, 29, 30),),
    left_at=(None,),
)


def lines(ledger: Iterable[LedgerEntry]) -> list[tuple[str, int, str | None, int, int]]:
    return [
        (str(entry.kind), entry.revision, entry.event, entry.energy_wh, entry.postings[0].amount_minor)
        for entry in ledger
        if ":sale" in entry.cause
    ]


def test_an_event_that_was_cancelled_is_taken_back_from_the_minute_it_ended() -> None:
    """P11, P19: half of the 12 minutes at 3217 W lie before it; each entry is energy times price."""
    first = settle(SIMPLE, [])
    assert lines(first) == [("sale", 0, "e0", 643, 32)]
    ended = replace(SIMPLE, events=(replace(SIMPLE.events[0], cancelled_at=minute(15)),))
    second = settle(ended, first)
    assert lines(second) == [("correction", 1, "e0", -321, -16), ("sale", 0, None, 321, 10)]
    assert sums([*first, *second]) == sums(settle(ended, []))


def test_a_price_that_was_superseded_is_taken_back_whole() -> None:
    """P19: an entry of the old price cannot be added to one of the new."""
    first = settle(SIMPLE, [])
    second = settle(replace(SIMPLE, tariff=40), first)
    assert lines(second) == [("correction", 1, "e0", -643, -32), ("correction", 2, "e0", 643, 39)]
    back = settle(SIMPLE, [*first, *second])
    assert lines(back) == [("correction", 3, "e0", -643, -39), ("correction", 4, "e0", 643, 32)]


def test_what_is_taken_back_names_what_it_takes_back_and_why_it_was_booked() -> None:
    """Must hold 2: explainable."""
    first = settle(SIMPLE, [])
    gone = settle(replace(SIMPLE, left_at=(-5,)), first)
    assert [entry.evidence["takes_back"] for entry in gone] == [[0], [0], [0]]  # bought, rewarded, sold
    assert [entry.evidence["readings"] for entry in gone] == [entry.evidence["readings"] for entry in first]
    assert sums([*first, *gone]) == {}


def test_a_yes_in_the_middle_of_a_piece_is_paid_from_then_on() -> None:
    """P4: the event's price is not paid for the minutes before the answer."""
    ledger = settle(replace(SIMPLE, histories=((no(-10), yes(15)),)), [])
    assert lines(ledger) == [("sale", 0, None, 322, 10), ("sale", 0, "e0", 321, 16)]
