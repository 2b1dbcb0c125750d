"""What is written comes back as it was."""

from dataclasses import replace
from datetime import time
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection

from csms.domain.answers import TokenStatus
from csms.domain.conditions import Conditions, Pattern, TimeSlot
from csms.domain.decision import Decision, EventShare, Part, Reason, Setpoint, Violation
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.dr import Direction, DrEvent
from csms.domain.errors import BadDatabase
from csms.domain.facts import Booted, StatusReported, TokenType, TransactionPhase
from csms.domain.ids import AreaId, DrEventId, EvseRef, PlugInId, SiteId, StationId, TransactionId
from csms.domain.people import IdTokenRecord
from csms.domain.permission import Channel, Permission, PermissionState
from csms.domain.station import BootState, ConnectorStatus, ProbeState, Ratings, SetpointDriver, Version
from csms.domain.tariff import PriceStep
from csms.store import reads, writes
from csms.store.tables import TRANSACTION_SEQUENCE
from csms.store.values import instant, micros
from tests.store.made import (
    CAR,
    E1,
    E2,
    PLUG_IN,
    USER,
    S,
    at,
    metered,
    origin,
    plug_in,
    reading,
    reported,
    started,
    station,
    stopped,
    take,
    user,
    vehicle,
)

CONDITIONS = Conditions(
    min_sell_per_kwh=Decimal("12.340"),
    depart_at=time(7, 30),
    slots=(TimeSlot(start=time(18), end=time(7), days=(0, 4)), TimeSlot(start=time(1), end=time(2), once=at(0).date())),
)
BOOT = Booted(origin=origin(), vendor="V", model="M", serial="S", firmware="1.0", reason="PowerUp")


def write(conn: Connection, *calls: tuple) -> list[Any]:
    """Run writes, each as (function, arguments …), and commit."""
    conn.rollback()
    with conn.begin():
        return [function(conn, *arguments) for function, *arguments in calls]


def people(conn: Connection) -> None:
    write(conn, (writes.add_user, user()), (writes.add_vehicle, vehicle()))


@pytest.mark.parametrize("us", [0, 1, -1, 1_772_366_400_123_456, 253_402_300_799_999_999, -62_135_596_800_000_000])
def test_an_instant_is_exact(us: int) -> None:
    assert micros(instant(us)) == us


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        micros(at(0).replace(tzinfo=None))


def test_a_station_comes_back_with_its_evses(conn: Connection) -> None:
    provisioned = station()
    evse = replace(provisioned.evses[0], ratings=Ratings(phases=3, max_discharge_w=6000), public=False)
    provisioned = replace(provisioned, evses=(evse, provisioned.evses[1]), host="h-1")
    write(
        conn, (writes.upsert_station, provisioned, "hash"), (writes.upsert_station, station(id_=StationId("A")), None)
    )
    assert reads.station(conn, S) == provisioned
    assert [found.id for found in reads.stations(conn)] == ["A", S]
    assert reads.password_hashes(conn) == {S: "hash"}
    assert reads.station(conn, StationId("none")) is None


def test_provisioning_again_keeps_what_the_station_said_and_its_password(conn: Connection) -> None:
    write(
        conn, (writes.upsert_station, station(1, 2), "hash"), (writes.save_boot, BOOT, Version.V21, BootState.ACCEPTED)
    )
    write(conn, (writes.upsert_station, replace(station(2, 3), site=SiteId("roof")), None))
    found = reads.station(conn, S)
    assert found is not None
    assert [evse.ref.evse for evse in found.evses] == [2, 3]
    assert (found.site, found.version, found.boot_state, found.model) == ("roof", Version.V21, BootState.ACCEPTED, "M")
    assert reads.password_hashes(conn)[S] == "hash"


def test_when_stations_were_heard_is_kept(conn: Connection) -> None:
    write(
        conn, (writes.upsert_station, station(), None), (writes.touch_stations, {S: at(5)}), (writes.touch_stations, {})
    )
    found = reads.station(conn, S)
    assert found is not None
    assert found.last_heard_at == at(5)


def test_people_come_back(conn: Connection) -> None:
    """P1: users, their vehicles and their terminals are linked."""
    people(conn)
    write(conn, (writes.add_terminal, "t-hash", USER, at(0)))
    assert reads.user(conn, USER) == user()
    assert reads.vehicles(conn, USER) == [vehicle()]
    assert (reads.terminal_user(conn, "t-hash"), reads.terminal_user(conn, "other")) == (USER, None)


def test_patterns_are_kept_by_name(conn: Connection) -> None:
    """P10: a pattern of the same name replaces the one before; decimals and times are exact."""
    people(conn)
    mine = Pattern(name="work", conditions=CONDITIONS)
    write(conn, (writes.save_pattern, USER, Pattern(name="work", conditions=Conditions())))
    write(conn, (writes.save_pattern, USER, mine))
    assert reads.patterns(conn, USER) == [mine]


def test_an_id_token_is_found_in_any_case(conn: Connection) -> None:
    """V2G-31."""
    people(conn)
    record = IdTokenRecord(token="aBc", type=TokenType.EMAID, status=TokenStatus.BLOCKED, expires_at=at(9), user=USER)
    write(conn, (writes.upsert_id_token, replace(record, token="ABC", vehicle=CAR)), (writes.upsert_id_token, record))
    assert reads.id_token(conn, " abC ") == record
    assert reads.id_tokens(conn) == [record]


def test_tokens_secrets_and_answers_are_kept(conn: Connection) -> None:
    write(conn, (writes.add_api_token, "hash", "operator", "ops", at(0)), (writes.put_secret, "link", "s3cret"))
    assert reads.api_token(conn, "hash") == ("operator", "ops")
    assert (reads.secret(conn, "link"), reads.secret(conn, "none")) == ("s3cret", None)
    answer = ("key", "fp", 201, "{}", at(0))
    assert write(conn, (writes.save_idempotency, *answer), (writes.save_idempotency, *answer)) == [True, False]
    assert reads.idempotency(conn, "key") == ("fp", 201, "{}")


def test_a_plug_in_comes_back_and_its_permission_has_a_history(conn: Connection) -> None:
    """V2G-28: who allowed what, when and how; only changes are appended."""
    people(conn)
    asked = Permission(state=PermissionState.ASKED, asked_at=at(0), expires_at=at(5))
    granted = replace(
        asked, state=PermissionState.GRANTED, answered_at=at(1), channel=Channel.PAGE, conditions=CONDITIONS
    )
    steps = [plug_in(user=USER, vehicle=CAR, permission=asked, soc_percent=41.5, soc_at=at(0))]
    steps.append(replace(steps[0], permission=granted, transaction=TransactionId("7")))
    steps.append(replace(steps[1], unplugged_at=at(60)))
    write(conn, *((writes.save_plug_in, step) for step in steps))
    assert reads.plug_in(conn, PLUG_IN) == steps[-1]
    assert reads.permission_histories(conn, [PLUG_IN]) == {PLUG_IN: [asked, granted]}


def test_histories_are_read_of_many_plug_ins_at_once(conn: Connection) -> None:
    """Each with its own, in order; one without any has an empty one."""
    states = (PermissionState.ASKED, PermissionState.GRANTED, PermissionState.REFUSED)
    for state in states:
        write(conn, *((writes.save_plug_in, plug_in(f"p{n}", permission=Permission(state=state))) for n in (1, 2)))
    found = reads.permission_histories(conn, [PlugInId("none"), *(PlugInId(f"p{n}") for n in range(1, 1200))])
    assert [permission.state for permission in found[PlugInId("p2")]] == [*states]
    assert (len(found), found[PlugInId("none")]) == (1200, [])


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (None, None, ["b", "a"]),
        (at(10), None, ["b"]),
        (at(9), None, ["b", "a"]),
        (None, at(5), ["a"]),
        (at(50), at(60), ["b"]),
    ],
)
def test_plug_ins_of_a_period_are_those_that_lasted_in_it(conn: Connection, since, until, found: list[str]) -> None:
    first = plug_in("a", unplugged_at=at(10))
    write(conn, (writes.save_plug_in, first), (writes.save_plug_in, plug_in("b", plugged_at=at(5))))
    assert [known.id for known in reads.plug_ins(conn, since=since, until=until)] == found
    assert [known.id for known in reads.open_plug_ins(conn)] == ["b"]


def dr_event(id_: str = "e-1", **changed: Any) -> DrEvent:
    values: dict[str, Any] = {
        "direction": Direction.DOWN,
        "requested_w": 5000,
        "starts_at": at(0),
        "ends_at": at(30),
        "areas": frozenset({AreaId("west"), AreaId("east")}),
        "incentive_per_kwh": Decimal("10.50"),
        "created_at": at(-5),
    }
    return DrEvent(id=DrEventId(id_), **values | changed)


def test_dr_events_come_back_by_period(conn: Connection) -> None:
    later = dr_event("e-2", starts_at=at(30), ends_at=at(60), incentive_per_kwh=None, price_per_kwh=Decimal(-1))
    cancelled = dr_event("e-3", starts_at=at(1), cancelled_at=at(10))
    write(conn, *((writes.save_dr_event, event) for event in (later, cancelled, dr_event())))
    assert reads.dr_events(conn) == [dr_event(), cancelled, later]
    assert reads.dr_events(conn, since=at(10)) == [dr_event(), later]
    assert reads.dr_events(conn, since=at(5), until=at(30)) == [dr_event(), cancelled]
    assert (reads.dr_event(conn, DrEventId("e-2")), reads.dr_event(conn, DrEventId("x"))) == (later, None)
    assert [event.id for event in reads.live_state(conn, at(10)).events] == ["e-1", "e-2"]


def test_prices_come_back_in_the_order_of_publication(conn: Connection) -> None:
    area = AreaId("default")
    first, second = (
        (PriceStep(at(0), Decimal("30.10")), PriceStep(at(30), Decimal(-2))),
        (PriceStep(at(9), Decimal(1)),),
    )
    write(conn, (writes.save_prices, area, list(first), None, at(0)), (writes.save_prices, area, second, at(40), at(1)))
    assert reads.prices(conn, area) == [(first, None), (second, at(40))]


def test_a_decision_keeps_its_shares_and_violations(conn: Connection) -> None:
    """Mission, must hold 4: every decision can be explained."""
    shares = tuple(
        EventShare(event=DrEventId("e-1"), requested_w=5000, capacity_w=c, allotted_w=c, reasons=(Reason.DR_SHORTFALL,))
        for c in (4000, 3000)
    )
    setpoint = Setpoint(evse=E1, setpoint_w=1, counterfactual_w=2, expires_at=at(3))
    broken = Violation(rule="site_import", text="51 kW > 50 kW", evse=E1, site=SiteId("default"))
    for minute, share in enumerate(shares):
        decision = Decision(at=at(minute), setpoints=(setpoint,), events=(share,))
        write(conn, (writes.save_decision, decision, [broken] if minute else []))
    assert reads.decisions_of(conn, DrEventId("e-1")) == [(at(0), shares[0]), (at(1), shares[1])]
    assert reads.counts(conn).violations == 1


def setpoint(id_: str = "s-1", **changed: Any) -> SetpointRecord:
    values: dict[str, Any] = {
        "evse": E1,
        "plug_in": PLUG_IN,
        "transaction": TransactionId("7"),
        "event": DrEventId("e-1"),
        "decided_at": at(0),
        "desired_w": -3000,
        "counterfactual_w": 0,
        "expires_at": at(3),
        "driver": SetpointDriver.OCPP21_SETPOINT,
        "reasons": (Reason.DR_DISCHARGE, Reason.SITE_EXPORT_LIMIT),
    }
    return SetpointRecord(id=id_, **values | changed)


def test_a_setpoint_is_desired_then_acknowledged_then_observed(conn: Connection) -> None:
    """V2G-12: three different things, counted apart."""
    acknowledged = setpoint(state=SetpointState.ACKNOWLEDGED, acknowledged_at=at(1), price_per_kwh=Decimal("41.5"))
    observed = replace(acknowledged, state=SetpointState.OBSERVED, observed_w=-2950, observed_at=at(2))
    write(
        conn, (writes.save_setpoint, setpoint()), (writes.save_setpoint, acknowledged), (writes.save_setpoint, observed)
    )
    write(conn, (writes.save_setpoint, setpoint("s-2", evse=E2)))
    assert reads.setpoints(conn, evse=E1) == [observed]
    counted = reads.counts(conn)
    assert (counted.desired, counted.acknowledged, counted.observed) == (2, 1, 1)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"event": DrEventId("e-1")}, ["s-1"]),
        ({"evse": E1}, ["s-1", "s-2"]),
        ({"start": at(3)}, ["s-2"]),
        ({"start": at(2), "end": at(5)}, ["s-1"]),
        ({"end": at(0)}, []),
    ],
    ids=str,
)
def test_setpoints_of_a_period_are_those_in_force_in_it(conn: Connection, filters: dict, found: list[str]) -> None:
    second = setpoint("s-2", decided_at=at(5), expires_at=at(8), event=None)
    write(conn, (writes.save_setpoint, setpoint()), (writes.save_setpoint, second))
    assert [known.id for known in reads.setpoints(conn, **filters)] == found


def test_permissions_are_counted_by_state(conn: Connection) -> None:
    states = [PermissionState.GRANTED, PermissionState.REFUSED, PermissionState.EXPIRED, PermissionState.EXPIRED]
    for n, state in enumerate(states):
        asked_at = at(0) if n else None  # the first was granted by a slot: nobody was asked
        write(conn, (writes.save_plug_in, plug_in(f"p{n}", permission=Permission(state=state, asked_at=asked_at))))
    counted = reads.counts(conn)
    assert (counted.plug_ins, counted.asked, counted.granted, counted.refused, counted.expired) == (4, 3, 1, 1, 2)


def test_readings_of_a_window_come_with_the_registers_around_it(conn: Connection) -> None:
    """Reference v2g-over-ocpp §4: the last before and the first after, for each register."""
    no_register = {"import_wh": None, "soc_percent": 50.0}
    stored = [
        reading(0),
        reading(1, import_wh=None, export_wh=5.0),
        reading(2),
        reading(3, **no_register),
        reading(10, extra={"Temperature": 21.5}),
        reading(20),
        reading(21, **no_register),
        reading(22),
        reading(23),
    ]
    take(conn, metered(*reversed(stored)), metered(reading(4), evse=E2))
    found = reads.readings(conn, E1, at(5), at(20))
    assert [known.reading for known in found] == [stored[1], stored[2], stored[4], stored[5], stored[7]]
    assert found[0].message_id == "m-5"


def test_readings_since_gives_each_evse_its_own_from_its_own_instant_on(conn: Connection) -> None:
    """After a restart the open plug-ins are counted from these, many EVSEs in one statement, in the order they came."""
    stored = [reading(minute) for minute in (1, 5, 9, 30)]
    take(conn, metered(*reversed(stored)), metered(reading(4), reading(8), evse=E2))
    found = reads.readings_since(conn, {E1: at(5), E2: at(8), EvseRef(S, 9): at(0)})
    assert found == {E1: list(reversed(stored[1:])), E2: [reading(8)], EvseRef(S, 9): []}
    assert reads.readings_since(conn, {}) == {}


def test_transactions_come_in_pages_and_by_filter(conn: Connection) -> None:
    take(conn, started(), started("m-2", evse=EvseRef(S, 3)), started("m-3", evse=E2), stopped(2))
    take(conn, reported(0, evse=EvseRef(S, 4), phase=TransactionPhase.STARTED, transaction=TransactionId("x")))
    first = reads.transactions(conn, limit=2)
    rest = reads.transactions(conn, after=(first[-1].station, first[-1].id))
    assert [record.id for record in (*first, *rest)] == ["1", "2", "3", "x"]
    assert [record.id for record in reads.transactions(conn, active=True, id_token="aBc")] == ["1", "3"]
    assert [record.id for record in reads.transactions(conn, active=False, station=S)] == ["2"]


def test_everything_open_makes_the_live_state(conn: Connection) -> None:
    """Design §3: live state is rebuilt from what was committed."""
    write(conn, (writes.upsert_station, station(), None), (writes.save_plug_in, plug_in()))
    write(conn, (writes.save_probe, E1, "1.0", ProbeState.PASSED, at(0)), (writes.save_setpoint, setpoint()))
    write(conn, (writes.save_setpoint, setpoint("s-2", decided_at=at(1))))
    unknown = EvseRef(S, 9)
    take(conn, metered(reading(2), reading(1)), metered(reading(9), evse=unknown), started(), started("m-2", evse=E2))
    take(conn, stopped(1), *(_status(n, kind) for n, kind in enumerate(("charging", "finishing"))))
    live = reads.live_state(conn)
    assert [found.id for found in live.stations] == [S]
    assert [(known.evse, known.connector, known.status) for known in live.statuses] == [
        (E1, 1, ConnectorStatus.FINISHING)
    ]
    assert live.readings == {E1: [reading(1), reading(2)]}
    assert [record.id for record in live.transactions] == ["2"]
    assert [known.id for known in live.plug_ins] == [PLUG_IN]
    assert [known.id for known in live.setpoints] == ["s-2"]
    assert [(known.firmware, known.state) for known in live.probes] == [("1.0", ProbeState.PASSED)]


def _status(minute: int, kind: str) -> StatusReported:
    return StatusReported(origin=origin(), evse=E1, connector=1, status=ConnectorStatus(kind), at=at(minute))


def test_a_call_by_hand_is_logged(conn: Connection) -> None:
    write(conn, (writes.save_call, S, "Reset", {"type": "Soft"}, "Accepted", at(0), "ops"))


def test_transaction_ids_end_with_31_bits(conn: Connection) -> None:
    """V2G-55: positive int31, never 0, never reused."""
    assert write(conn, (writes.reserve_transaction_ids, 1000)) == [1]
    with conn.begin():
        conn.execute(TRANSACTION_SEQUENCE.update().values(next_id=2**31 - 2))
    assert write(conn, (writes.reserve_transaction_ids, 2)) == [2**31 - 2]
    with pytest.raises(BadDatabase, match="used up"):
        write(conn, (writes.reserve_transaction_ids, 1))


@pytest.mark.parametrize("name", ["e-2", 'e "2" 100 %_\\', "需要-2"])
def test_a_setpoint_that_events_share_is_found_by_each_of_them(conn: Connection, name: str) -> None:
    """P19: whatever the event is called; the prices of the parts are exact."""
    parts = (Part(DrEventId(name), 4000, Decimal("35.01")), Part(DrEventId("e-1"), 3000, Decimal(60)))
    shared = setpoint(event=DrEventId("e-1"), parts=parts)
    write(conn, (writes.save_setpoint, shared), (writes.save_setpoint, setpoint("s-2", event=None)))
    assert reads.setpoints(conn, event=DrEventId(name)) == [shared]
    assert reads.setpoints(conn, event=DrEventId("e-1")) == [shared]
    assert reads.setpoints(conn, event=DrEventId("e")) == []
