"""The question at plug-in and what follows from the answer. Requirements P3, P4, P7, P9, P10; V2G-28, V2G-29."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from csms.domain.conditions import Conditions, TimeSlot
from csms.domain.ids import EvseRef, PlugInId, StationId, UserId
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.snapshot import Use
from policies.permission import answered, lapsed, on_plug_in, terms_of, use_of

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)  # a Wednesday, 18:00 in Tokyo
PLUG_IN = PlugIn(id=PlugInId("p"), evse=EvseRef(StationId("s"), 1), plugged_at=NOW, user=UserId("user"))
EVENING = Conditions(slots=(TimeSlot(start=time(18), end=time(7)),), depart_at=time(7), required_soc_percent=60.0)
ANY_TIME = Conditions(depart_at=time(7))


def use(permission: Permission, at: datetime = NOW, on_refusal: str = "charge", on_no_answer: str = "charge") -> Use:
    return use_of(permission, at, in_transaction=True, on_refusal=on_refusal, on_no_answer=on_no_answer)


def test_a_known_user_is_asked_and_the_question_ends() -> None:
    """P3, P10: with the conditions the user keeps."""
    asked = on_plug_in(PLUG_IN, ANY_TIME, NOW, 300)
    assert (asked.state, asked.asked_at, asked.conditions) == (PermissionState.ASKED, NOW, ANY_TIME)
    assert asked.expires_at == NOW + timedelta(seconds=300)
    assert on_plug_in(PLUG_IN, None, NOW, 300).state is PermissionState.ASKED


def test_a_permitted_time_slot_answers_by_itself() -> None:
    """P9."""
    granted = on_plug_in(PLUG_IN, EVENING, NOW, 300)
    assert (granted.state, granted.channel) == (PermissionState.GRANTED, Channel.SLOT)
    assert (granted.asked_at, granted.expires_at) == (None, None), "nobody was asked"
    assert granted.departure_at == datetime(2026, 7, 1, 22, 0, tzinfo=UTC)  # 07:00 in Tokyo
    outside = on_plug_in(PLUG_IN, EVENING, NOW - timedelta(minutes=1), 300)
    assert outside.state is PermissionState.ASKED


def test_nobody_known_is_unasked_and_held_only_for_a_while() -> None:
    unasked = on_plug_in(replace(PLUG_IN, user=None), None, NOW, 300)
    assert unasked.state is PermissionState.UNASKED
    assert use(unasked) is Use.HELD
    assert use(unasked, NOW + timedelta(seconds=300)) is Use.PLAIN
    assert use(Permission(), on_no_answer="nothing") is Use.NOTHING


USES: list[tuple[PermissionState, Use, Use]] = [
    (PermissionState.GRANTED, Use.RESOURCE, Use.RESOURCE),
    (PermissionState.REFUSED, Use.PLAIN, Use.NOTHING),
    (PermissionState.EXPIRED, Use.PLAIN, Use.NOTHING),
    (PermissionState.ASKED, Use.HELD, Use.HELD),
]


@pytest.mark.parametrize(("state", "where_charging", "where_nothing"), USES)
def test_only_a_yes_makes_a_resource(state: PermissionState, where_charging: Use, where_nothing: Use) -> None:
    """P4, V2G-29: else plain charging, or nothing, as the host has set."""
    permission = replace(on_plug_in(PLUG_IN, ANY_TIME, NOW, 300), state=state)
    assert use(permission) is where_charging
    assert use(permission, on_refusal="nothing", on_no_answer="nothing") is where_nothing


def test_nothing_flows_without_a_transaction() -> None:
    granted = on_plug_in(PLUG_IN, EVENING, NOW, 300)
    idle = use_of(granted, NOW, in_transaction=False, on_refusal="charge", on_no_answer="charge")
    assert idle is Use.IDLE


def test_a_question_lapses_once_and_may_still_be_answered() -> None:
    asked = on_plug_in(PLUG_IN, ANY_TIME, NOW, 300)
    assert lapsed(asked, NOW + timedelta(seconds=299)) is asked
    expired = lapsed(asked, NOW + timedelta(seconds=300))
    assert (expired.state, expired.channel) == (PermissionState.EXPIRED, Channel.TIMEOUT)
    assert lapsed(expired, NOW + timedelta(days=1)) is expired
    late = answered(expired, True, ANY_TIME, NOW, NOW + timedelta(minutes=30), Channel.PAGE)
    assert (late.state, use(late)) == (PermissionState.GRANTED, Use.RESOURCE)


def test_a_yes_can_be_taken_back() -> None:
    granted = on_plug_in(PLUG_IN, EVENING, NOW, 300)
    refused = answered(granted, False, EVENING, NOW, NOW + timedelta(hours=1), Channel.PAGE)
    assert use(refused) is Use.PLAIN
    assert terms_of(refused, 40_000, NOW).discharge is False
    assert lapsed(refused, NOW + timedelta(days=1)) is refused


def test_an_answer_after_the_first_departure_means_the_next_one() -> None:
    next_day = NOW + timedelta(days=1)
    late = answered(Permission(), True, ANY_TIME, NOW, next_day, Channel.PAGE)
    assert late.departure_at == datetime(2026, 7, 2, 22, 0, tzinfo=UTC)


def test_outside_its_time_slots_a_permitted_vehicle_charges_plainly() -> None:
    """P9."""
    granted = on_plug_in(PLUG_IN, EVENING, NOW, 300)
    assert use(granted, datetime(2026, 7, 1, 21, 59, tzinfo=UTC)) is Use.RESOURCE
    assert use(granted, datetime(2026, 7, 1, 22, 0, tzinfo=UTC)) is Use.PLAIN


def test_terms_are_the_conditions_as_energies_and_instants() -> None:
    """P5-P9: 60 % of 40 kWh, until the slot ends."""
    conditions = replace(EVENING, min_sell_per_kwh=Decimal(35), max_buy_per_kwh=Decimal(25), entrust=True)
    terms = terms_of(on_plug_in(PLUG_IN, conditions, NOW, 300), 40_000, NOW)
    assert (terms.required_wh, terms.permitted_until) == (24_000, datetime(2026, 7, 1, 22, 0, tzinfo=UTC))
    assert (terms.min_sell_per_kwh, terms.max_buy_per_kwh, terms.entrust) == (35, 25, True)
    assert (terms.charge, terms.discharge, terms.departure_at) == (True, True, terms.permitted_until)


def test_without_conditions_nothing_is_discharged() -> None:
    assert terms_of(Permission(), 40_000, NOW).discharge is False


def test_one_day_only_means_that_day() -> None:
    once = Conditions(slots=(TimeSlot(start=time(18), end=time(20), once=date(2026, 7, 2)),))
    assert on_plug_in(PLUG_IN, once, NOW, 300).state is PermissionState.ASKED
    assert on_plug_in(PLUG_IN, once, NOW + timedelta(days=1), 300).state is PermissionState.GRANTED
