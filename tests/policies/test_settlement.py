"""From metered energy to ledger entries. Requirements P5, P11, P13, P19; design §3; mission, must hold 2."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.conditions import Conditions
from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId, EvseRef, PlugInId, StationId, UserId, VehicleId
from csms.domain.ledger import CHARGING_STOPPED, ENERGY_BOUGHT, ENERGY_SOLD, EntryKind, LedgerEntry, Posting
from csms.domain.metering import Quality, WindowEnergy
from csms.domain.permission import Permission, PermissionState, PlugIn
from csms.domain.station import SetpointDriver
from csms.domain.tariff import PriceSeries, PriceStep
from csms.domain.units import amount_minor, round_minor
from policies.commands import Command, Tariffs, runs
from policies.delivery import dr_results
from policies.flows import Flow, cuts
from policies.in_force import in_force
from policies.payment import RULE
from policies.settlement import ledger_entries

START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
END = START + timedelta(minutes=30)
LATER = END + timedelta(minutes=5)


def event(direction: Direction = Direction.DOWN, **changes: Any) -> DrEvent:
    given = {"id": DrEventId("event"), "requested_w": 1000, "starts_at": START, "ends_at": END, "created_at": START}
    return DrEvent(direction=direction, **({"incentive_per_kwh": Decimal(12)} | given | changes))  # type: ignore[arg-type]


def flow(number: int = 1, *, imported: str = "0", exported: str = "0", **changes: Any) -> Flow:
    evse = EvseRef(StationId(f"s{number}"), 1)
    plug_in = PlugIn(
        id=PlugInId(f"plug{number}"),
        evse=evse,
        plugged_at=START,
        user=UserId(f"user{number}"),
        vehicle=VehicleId(f"car{number}"),
    )
    energy = WindowEnergy(
        evse=evse,
        start=START,
        end=END,
        import_wh=Decimal(imported),
        export_wh=Decimal(exported),
        quality=Quality.MEASURED,
        readings=(1, 2),
    )
    known = Flow(plug_in=plug_in, energy=energy, tariff_per_kwh=Decimal(30), permitted=True)
    return replace(known, **changes)


def booked(*entries: LedgerEntry) -> dict[str, list[LedgerEntry]]:
    by_cause: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        by_cause[entry.cause].append(entry)
    return by_cause


def owed(entries: Sequence[LedgerEntry]) -> dict[str, int]:
    accounts: dict[str, int] = defaultdict(int)
    for entry in entries:
        for posting in entry.postings:
            accounts[posting.account] += posting.amount_minor
    return accounts


def entries(*flows: Flow, before: Sequence[LedgerEntry] = (), currency: str = "JPY") -> tuple[LedgerEntry, ...]:
    return ledger_entries(flows, booked(*before), currency, LATER)


def test_discharged_energy_is_a_sale_and_charged_energy_a_purchase() -> None:
    """P13, P19: both by the meter, each against the aggregator's own account."""
    purchase, sale = entries(flow(imported="2000", exported="1500"))
    assert (sale.kind, sale.energy_wh, sale.price_per_kwh) == (EntryKind.SALE, 1500, 30)
    assert sale.postings == (Posting("user:user1", 45), Posting(ENERGY_BOUGHT, -45))
    assert (purchase.kind, purchase.energy_wh) == (EntryKind.PURCHASE, 2000)
    assert purchase.postings == (Posting("user:user1", -60), Posting(ENERGY_SOLD, 60))
    assert sale.cause == "plug1:2026-07-01T09:00:00+00:00:sale"
    assert (sale.user, sale.vehicle, sale.evse, sale.plug_in) == ("user1", "car1", EvseRef(StationId("s1"), 1), "plug1")


def test_every_entry_leads_back_to_the_readings_it_follows_from() -> None:
    """Mission, must hold 2."""
    (sale,) = entries(flow(exported="1500.5"))
    assert sale.evidence == {
        "rule": "metered-difference-1",
        "readings": [1, 2],
        "import_wh": "0",
        "export_wh": "1500.5",
        "metered_wh": "-1500.5",
        "quality": "measured",
        "permitted": True,
    }


def test_an_entry_of_an_event_names_its_setpoints_and_the_counterfactual() -> None:
    """P19, must hold 2."""
    (sale,) = entries(flow(exported="1500", command=commanded(counterfactual_wh=Decimal(0))))
    assert (sale.event, sale.price_per_kwh) == ("event", 42)
    named = {"rule": RULE, "setpoints": ["s-1", "s-2"], "counterfactual_wh": "0", "commanded_wh": "3000"}
    assert named.items() <= sale.evidence.items()


def commanded(direction: Direction = Direction.DOWN, **changes: Any) -> Command:
    """3 kWh of difference at 42 (DOWN) or 18 (UP) per kWh, what is beyond the charging fed in; the tariff is 30."""
    made = Command(
        event=DrEventId("event"),
        direction=direction,
        price_per_kwh=Decimal(42 if direction is Direction.DOWN else 18),
        counterfactual_wh=Decimal(0),
        commanded_wh=Decimal(3000),
        fed_in_wh=Decimal(0),
        setpoints=("s-1", "s-2"),
    )
    told = replace(made, **changes)
    fed_in_wh = (
        max(told.commanded_wh - told.counterfactual_wh, Decimal(0)) if direction is Direction.DOWN else Decimal(0)
    )
    return replace(told, fed_in_wh=changes.get("fed_in_wh", fed_in_wh))


def paid(*flows: Flow) -> list[tuple[str, int, int, int]]:
    """(part, Wh, price, yen to the user)."""
    made = entries(*flows)
    return [(e.cause.rpartition(":")[2], e.energy_wh, int(e.price_per_kwh), e.postings[0].amount_minor) for e in made]


DOWN = Direction.DOWN
UP = Direction.UP
PAYMENTS: dict[str, tuple[Flow, list[tuple[str, int, int, int]]]] = {
    "discharged as asked": (
        flow(exported="2000", command=commanded()),
        [("sale-commanded", 2000, 42, 84)],
    ),
    "discharged more than asked": (
        flow(exported="4000", command=commanded()),
        [("sale", 1000, 30, 30), ("sale-commanded", 3000, 42, 126)],
    ),
    "charging stopped": (
        flow(command=commanded(counterfactual_wh=Decimal(3000))),
        [("reward", 3000, 12, 36)],
    ),
    "charging lowered": (
        flow(imported="1000", command=commanded(counterfactual_wh=Decimal(3000))),
        [("purchase", 1000, 30, -30), ("reward", 2000, 12, 24)],
    ),
    "charging stopped and discharged": (
        flow(exported="1000", command=commanded(counterfactual_wh=Decimal(1500))),
        [("reward", 1500, 12, 18), ("sale-commanded", 1000, 42, 42)],
    ),
    "went on charging": (
        flow(imported="3000", command=commanded(counterfactual_wh=Decimal(3000))),
        [("purchase", 3000, 30, -90)],
    ),
    "stopped of an event that pays less than the tariff": (
        flow(command=commanded(counterfactual_wh=Decimal(3000), price_per_kwh=Decimal(20))),
        [],
    ),
    "charged as asked": (
        flow(imported="5000", command=commanded(UP, counterfactual_wh=Decimal(2000))),
        [("purchase", 2000, 30, -60), ("purchase-commanded", 3000, 18, -54)],
    ),
    "an UP event that asked for 1 Wh": (
        flow(imported="3500", command=commanded(UP, counterfactual_wh=Decimal(3499), commanded_wh=Decimal(1))),
        [("purchase", 3499, 30, -105), ("purchase-commanded", 1, 18, 0)],
    ),
    "an UP event that moved nothing": (
        flow(imported="3500", command=commanded(UP, counterfactual_wh=Decimal(3500), commanded_wh=Decimal(0))),
        [("purchase", 3500, 30, -105)],
    ),
    "an UP price above the tariff": (
        flow(imported="3000", command=commanded(UP, price_per_kwh=Decimal(50))),
        [("purchase-commanded", 3000, 30, -90)],
    ),
    "no command": (flow(imported="1000", exported="1000"), [("purchase", 1000, 30, -30), ("sale", 1000, 30, 30)]),
    "a probe": (
        flow(exported="500", command=commanded(event=None, price_per_kwh=Decimal(50), commanded_wh=Decimal(100))),
        [("sale-commanded", 500, 50, 25)],
    ),
}


@pytest.mark.parametrize(("metered", "expected"), PAYMENTS.values(), ids=PAYMENTS)
def test_what_is_paid_is_the_metered_difference_at_most_what_was_commanded(
    metered: Flow, expected: list[tuple[str, int, int, int]]
) -> None:
    """P19, A5, A12: rule metered-difference-1."""
    assert paid(metered) == expected


def test_a_reward_is_booked_against_an_account_of_its_own() -> None:
    (reward,) = entries(flow(command=commanded(counterfactual_wh=Decimal(3000))))
    assert reward.kind is EntryKind.REWARD
    assert reward.postings == (Posting("user:user1", 36), Posting(CHARGING_STOPPED, -36))


energies = st.decimals(0, 9000, places=1)


@given(energies, energies, energies, energies, st.integers(0, 60), st.sampled_from([DOWN, UP]))
def test_no_more_than_the_commanded_difference_is_ever_paid_at_an_events_price(
    imported: Decimal, exported: Decimal, would: Decimal, asked: Decimal, price: int, direction: Direction
) -> None:
    """P19: nor more than was metered, nor ever at a worse price than the tariff for stopped or added charging."""
    command = commanded(direction, counterfactual_wh=would, commanded_wh=asked, price_per_kwh=Decimal(price))
    made = entries(flow(imported=str(imported), exported=str(exported), command=command))
    difference = would - (imported - exported) if direction is DOWN else imported - exported - would
    of_event = [entry for entry in made if entry.event]
    assert sum(entry.energy_wh for entry in of_event) <= max(min(difference, asked), 0) + 1
    for kind, metered in ((EntryKind.SALE, exported), (EntryKind.PURCHASE, imported)):
        assert sum(entry.energy_wh for entry in made if entry.kind is kind) == round_minor(metered)
    assert all(e.price_per_kwh <= 30 for e in made if e.kind is EntryKind.PURCHASE)
    assert all(e.postings[0].amount_minor >= 0 for e in made if e.kind is EntryKind.REWARD)


@pytest.mark.parametrize(
    "nothing",
    [
        flow(),
        flow(exported="0.4"),
        flow(exported="1000", energy=replace(flow(exported="1000").energy, quality=Quality.MISSING)),
        flow(exported="1000", plug_in=replace(flow().plug_in, user=None)),
    ],
    ids=["no energy", "less than a Wh", "not metered", "user unknown"],
)
def test_nothing_is_booked_without_metered_energy_of_a_known_user(nothing: Flow) -> None:
    assert entries(nothing) == ()


def test_late_readings_correct_what_was_booked() -> None:
    first = entries(flow(exported="1000"))
    second = entries(flow(exported="1200"), before=first)
    assert [(e.kind, e.revision, e.energy_wh) for e in second] == [(EntryKind.CORRECTION, 1, 200)]
    assert owed([*first, *second]) == {"user:user1": 36, ENERGY_BOUGHT: -36}
    third = entries(flow(exported="0"), before=[*first, *second])
    assert [(e.revision, e.energy_wh) for e in third] == [(2, -1200)]
    assert set(owed([*first, *second, *third]).values()) == {0}


def test_a_correction_of_the_energy_alone_still_balances() -> None:
    (first,) = entries(flow(exported="1000"))
    (second,) = entries(flow(exported="1001"), before=[first])
    assert (second.energy_wh, second.is_balanced, owed([second])["user:user1"]) == (1, True, 0)


def test_s2_what_was_booked_to_who_is_not_its_user_any_more_is_taken_back_and_booked_once_to_who_is() -> None:
    """P13: a plug-in is of one vehicle; whose it is may be known late, and be corrected back."""
    first = entries(flow(exported="1000"))
    handed_over = replace(flow().plug_in, user=UserId("other"))
    second = entries(flow(exported="1200", plug_in=handed_over), before=first)
    assert [(e.user, e.kind, e.revision, e.energy_wh) for e in second] == [
        ("user1", EntryKind.CORRECTION, 1, -1000),
        ("other", EntryKind.CORRECTION, 2, 1200),
    ]
    assert owed([*first, *second]) == {"user:user1": 0, "user:other": 36, ENERGY_BOUGHT: -36}
    assert entries(flow(exported="1200", plug_in=handed_over), before=[*first, *second]) == ()
    third = entries(flow(exported="1200"), before=[*first, *second])
    assert owed([*first, *second, *third]) == {"user:user1": 36, "user:other": 0, ENERGY_BOUGHT: -36}


amounts = st.decimals(0, 20_000, places=3)
flows_of_an_interval = st.lists(st.tuples(amounts, amounts, st.integers(0, 99)), min_size=1, max_size=8)


def many(rows: list[tuple[Decimal, Decimal, int]]) -> list[Flow]:
    return [
        flow(number, imported=str(imported), exported=str(exported), tariff_per_kwh=Decimal(price) / 10)
        for number, (imported, exported, price) in enumerate(rows)
    ]


@given(flows_of_an_interval, st.sampled_from(["JPY", "EUR"]))
def test_every_entry_balances_and_the_sum_of_parts_is_the_whole(
    rows: list[tuple[Decimal, Decimal, int]], currency: str
) -> None:
    """Design §3, A14: to the last Wh and the last minor unit, for each plug-in by itself."""
    flows = many(rows)
    made = entries(*flows, currency=currency)
    assert all(entry.is_balanced and entry.energy_wh >= 0 for entry in made)
    for metered in flows:
        sales = [e for e in made if e.kind is EntryKind.SALE and e.plug_in == metered.plug_in.id]
        energy_wh = sum(e.energy_wh for e in sales)
        assert energy_wh == round_minor(metered.energy.export_wh)
        exact = amount_minor(energy_wh, metered.tariff_per_kwh, currency)
        assert sum(e.postings[0].amount_minor for e in sales) == round_minor(exact)


@given(flows_of_an_interval, amounts)
def test_a_late_reading_of_one_user_touches_no_other(rows: list[tuple[Decimal, Decimal, int]], late: Decimal) -> None:
    """A14: rounding stays within one plug-in and interval."""
    before = entries(*many(rows))
    changed = [(late, late, rows[0][2]), *rows[1:]]
    assert {entry.user for entry in entries(*many(changed), before=before)} <= {"user0"}


@given(flows_of_an_interval)
def test_settling_twice_adds_nothing(rows: list[tuple[Decimal, Decimal, int]]) -> None:
    flows = many(rows)
    made = entries(*flows)
    assert entries(*reversed(flows), before=made) == ()


@given(flows_of_an_interval, flows_of_an_interval)
def test_corrections_lead_to_what_settling_at_once_would_have_given(
    before: list[tuple[Decimal, Decimal, int]], after: list[tuple[Decimal, Decimal, int]]
) -> None:
    size = min(len(before), len(after))
    first = entries(*many(before[:size]))
    second = entries(*many(after[:size]), before=first)
    direct = owed(entries(*many(after[:size])))
    assert {a: s for a, s in owed([*first, *second]).items() if s} == {a: s for a, s in direct.items() if s}
    assert len({(entry.cause, entry.revision) for entry in (*first, *second)}) == len(first) + len(second)


def test_time_is_cut_at_market_intervals_and_price_steps() -> None:
    series = PriceSeries(currency="JPY", steps=(PriceStep(START + timedelta(minutes=50), Decimal(1)),))
    first, last = START - timedelta(minutes=7), START + timedelta(minutes=65)
    found = cuts(first, last, timedelta(minutes=30), series)
    edges = [int((start - START).total_seconds() / 60) for start, _ in found]
    assert edges == [-7, 0, 30, 50, 60]
    assert [end for _, end in found] == [*(start for start, _ in found[1:]), last]


def test_an_empty_stretch_of_time_has_no_cuts() -> None:
    series = PriceSeries(currency="JPY", steps=(PriceStep(START, Decimal(1)),))
    assert cuts(START, START, timedelta(minutes=30), series) == ()


# --- setpoints in force ---


def minute(n: float) -> datetime:
    return START + timedelta(minutes=n)


def record(n: float, counterfactual_w: int, moved_by: DrEvent | None, **changes: Any) -> SetpointRecord:
    """Decided and acknowledged at once, for an hour, -3 kW, unless it says otherwise."""
    made = SetpointRecord(
        id=f"s-{n}",
        evse=EvseRef(StationId("s1"), 1),
        plug_in=PlugInId("plug1"),
        transaction=None,
        event=moved_by.id if moved_by else None,
        decided_at=minute(n),
        acknowledged_at=minute(n),
        desired_w=-3000,
        counterfactual_w=counterfactual_w,
        expires_at=minute(n + 60),
        driver=SetpointDriver.OCPP21_SETPOINT,
        reasons=(),
        price_per_kwh=Decimal(42) if moved_by else None,
    )
    return replace(made, **changes)


def commands(
    *records: SetpointRecord, events: Sequence[DrEvent] = (), min_sell: Decimal | None = None
) -> list[tuple[float, float, Command | None]]:
    """In the half hour: (from minute, to minute, command)."""
    known = {each.id: each for each in (event(), *events)}
    asked = Conditions(min_sell_per_kwh=min_sell)
    yes = Permission(state=PermissionState.GRANTED, answered_at=minute(-60), conditions=asked)
    tariffs = Tariffs(tariff_per_kwh=Decimal(30), events=known, history=(yes,))
    found = runs(in_force(records, PlugInId("plug1")), START, END, tariffs)
    return [
        ((r.start - START) / timedelta(minutes=1), (r.end - START) / timedelta(minutes=1), r.command) for r in found
    ]


def test_setpoints_of_one_event_and_price_are_one_command() -> None:
    """10 min of 6 + 3 kW, then 20 min of 3 + 3 kW."""
    ((start, end, command),) = commands(record(0, 6000, event()), record(10, 3000, event()))
    assert (start, end) == (0, 30)
    assert command is not None
    assert (round(command.counterfactual_wh, 6), round(command.commanded_wh, 6)) == (2000, 3500)
    assert command.setpoints == ("s-0", "s-10")


def test_what_flows_after_a_setpoint_has_lapsed_within_its_event_is_taken_off_and_never_added() -> None:
    """A station out of reach falls to its failsafe limit and charges back: 2 kWh in 20 min; nothing is commanded."""
    told = record(0, 6000, event(), expires_at=minute(10))
    (_, _, during), (_, _, lapsed) = lapses(told)
    assert during is not None
    assert lapsed is not None
    assert (lapsed.commanded_wh, lapsed.has_lapsed, during.has_lapsed) == (0, True, False)
    would = Decimal(6000) * 20 / 60
    assert round(lapsed.delivered_wh(would + 2000), 6) == -2000
    assert lapsed.delivered_wh(Decimal(0)) == 0
    assert lapsed.within_wh(would + 2000) == 0


def lapses(*records: SetpointRecord) -> list[tuple[datetime, datetime, Command | None]]:
    """The half hour, with what has lapsed within the event."""
    known = {event().id: event()}
    spans = in_force(records, PlugInId("plug1"), known)
    found = runs(spans, START, END, Tariffs(tariff_per_kwh=Decimal(30), events=known))
    return [(r.start, r.end, r.command) for r in found]


def test_a_setpoint_that_was_never_acknowledged_commanded_nothing() -> None:
    """Design §4: the one before it holds until it expires."""
    old = record(-30, 6000, None, expires_at=minute(10))
    assert commands(old, record(0, 6000, event(), acknowledged_at=None)) == [(0, 30, None)]


def test_a_setpoint_holds_from_its_acknowledgement_to_the_next_ones_or_its_expiry() -> None:
    late = record(0, 0, event(), acknowledged_at=minute(5), expires_at=minute(20))
    assert [(start, end, c is not None) for start, end, c in commands(late)] == [
        (0, 5, False),
        (5, 20, True),
        (20, 30, False),
    ]


def test_a_watt_belongs_to_the_event_of_the_setpoint_in_force() -> None:
    """A4: minimum sell 50, e1 pays 35, e2 pays 60; dispatched for e2, paid by e2."""
    first, second = event(id=DrEventId("e1")), event(id=DrEventId("e2"))
    ((_, _, command),) = commands(record(0, 0, second, price_per_kwh=Decimal(60)), events=(first, second))
    assert command is not None
    (sale,) = entries(flow(exported="1500", command=command))
    assert (sale.event, sale.price_per_kwh) == ("e2", 60)


def test_what_flows_after_a_cancellation_is_paid_at_the_price_frozen_in_the_setpoint() -> None:
    """A11: 180 s at the tariff, below the minimum sell price."""
    cancelled = event(cancelled_at=minute(0))
    found = commands(record(-1, 0, cancelled), record(3, 0, None, desired_w=0), events=(cancelled,))
    assert [(start, end, c.price_per_kwh if c else None) for start, end, c in found] == [(0, 3, 42), (3, 30, None)]


@pytest.mark.parametrize(("min_sell", "price"), [(None, 30), (Decimal(25), 30), (Decimal(50), 50)])
def test_a_probe_is_paid_at_the_users_own_price(min_sell: Decimal | None, price: int) -> None:
    """A11: never below the minimum sell price, nor below the tariff."""
    probe = record(0, 0, None, reasons=(Reason.PROBE,))
    ((_, _, command),) = commands(probe, min_sell=min_sell)
    assert command is not None
    assert (command.event, command.price_per_kwh) == (None, price)


def test_a_setpoint_stored_before_prices_were_frozen_has_its_events_price() -> None:
    ((_, _, command),) = commands(record(0, 0, event(), price_per_kwh=None))
    assert command is not None
    assert command.price_per_kwh == 42


@given(
    st.lists(st.tuples(st.integers(-20, 40), st.none() | st.integers(0, 10), st.integers(1, 60)), max_size=8),
)
def test_at_any_time_one_setpoint_at_most_is_in_force(rows: list[tuple[int, int | None, int]]) -> None:
    records = [
        record(n, 0, event(), acknowledged_at=None if late is None else minute(n + late), expires_at=minute(n + lasts))
        for n, late, lasts in rows
    ]
    found = in_force(records, PlugInId("plug1"))
    assert all(first.end <= second.start for first, second in pairwise(found))
    assert all(each.record.acknowledged_at == each.start and each.end <= each.record.expires_at for each in found)


# --- reports ---


def test_what_was_delivered_is_the_frozen_counterfactual_less_the_meter() -> None:
    """A1, A2: nothing but the setpoints' own figures: 2 kWh would have flowed in, 1.5 kWh flowed out."""
    command = commanded(counterfactual_wh=Decimal(2000))
    (result,) = dr_results(event(), [flow(exported="1500", command=command)])
    assert (result.metered_wh, result.delivered_wh, result.allotted_wh, result.within_wh) == (-1500, 3500, 3000, 3000)


def test_a_full_vehicle_that_discharges_delivers_what_its_registers_show() -> None:
    """A1: a discharge creates no avoided charging; 244 Wh, not 6,238."""
    (result,) = dr_results(event(), [flow(exported="244", command=commanded(commanded_wh=Decimal(6000)))])
    assert (result.delivered_wh, result.within_wh) == (244, 244)


def test_an_upward_event_is_delivered_by_charging() -> None:
    command = commanded(UP, counterfactual_wh=Decimal(500))
    (result,) = dr_results(event(UP), [flow(imported="2500", command=command)])
    assert (result.delivered_wh, result.within_wh) == (2000, 2000)


def test_what_was_not_metered_was_not_delivered() -> None:
    """Must hold 2: a setpoint that stops charging proves nothing by itself."""
    command = commanded(counterfactual_wh=Decimal(3000))
    unknown = flow(energy=replace(flow().energy, quality=Quality.MISSING), command=command)
    (result,) = dr_results(event(), [unknown])
    assert (result.counterfactual_wh, result.delivered_wh, result.quality) == (3000, 0, "missing")


def test_an_evse_that_the_event_did_not_move_has_no_result() -> None:
    other = commanded(event=DrEventId("other"))
    assert dr_results(event(), [flow(1), flow(2, exported="100", command=other)]) == ()
