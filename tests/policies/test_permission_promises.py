"""What never and always holds of the question at plug-in, for any answers, slots and instants. P4, P7, P9."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from csms.domain.conditions import Conditions, SlotMode, TimeSlot, slot_at, slot_ends_at
from csms.domain.ids import EvseRef, PlugInId, StationId, UserId
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.snapshot import Use
from policies.permission import answered, by_slot, lapsed, on_plug_in, revised, stretches, terms_of, use_of

ZONES = ["Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
GIVEN = st.sampled_from(["charge", "nothing"])
minutes = st.times().map(lambda at: at.replace(second=0, microsecond=0))
instants = st.datetimes(datetime(2026, 3, 1), datetime(2026, 11, 30), timezones=st.just(UTC))
slots = st.builds(
    TimeSlot,
    start=minutes,
    end=minutes,
    days=st.lists(st.integers(0, 6), unique=True).map(tuple),
    once=st.none() | st.dates(datetime(2026, 3, 1).date(), datetime(2026, 11, 30).date()),
    zone=st.sampled_from(ZONES),
    mode=st.sampled_from(SlotMode),
)
conditions = st.builds(
    Conditions,
    required_soc_percent=st.floats(0, 100),
    required_kwh=st.none() | st.decimals(0, 50, places=1),
    max_buy_per_kwh=st.none() | st.decimals(0, 100, places=1),
    min_sell_per_kwh=st.none() | st.decimals(0, 100, places=1),
    depart_at=st.none() | minutes,
    zone=st.sampled_from(ZONES),
    entrust=st.booleans(),
    charge=st.booleans(),
    discharge=st.booleans(),
    slots=st.lists(slots, max_size=3).map(tuple),
)
permissions = st.builds(
    Permission,
    state=st.sampled_from(PermissionState),
    asked_at=instants,
    expires_at=st.none() | instants,
    answered_at=instants,
    conditions=st.none() | conditions,
    departure_at=st.none() | instants,
)


def inside(slot: TimeSlot, at: datetime) -> bool:
    """Whether a slot holds, by the wall clock alone, without any spans."""
    local = at.astimezone(ZoneInfo(slot.zone))
    clock, today, yesterday = local.time(), local.date(), local.date() - timedelta(days=1)

    def on(day: object, weekday: int) -> bool:
        return day == slot.once if slot.once else weekday in slot.days

    if slot.end > slot.start:
        return on(today, today.weekday()) and slot.start <= clock < slot.end
    began_today = on(today, today.weekday()) and clock >= slot.start
    began_yesterday = on(yesterday, yesterday.weekday()) and clock < slot.end
    return began_today or began_yesterday


@given(permissions, instants, st.booleans(), GIVEN, GIVEN)
def test_nothing_but_a_yes_ever_makes_a_resource(
    permission: Permission, now: datetime, in_transaction: bool, on_refusal: str, on_no_answer: str
) -> None:
    """P4: and only within the permitted times."""
    use = use_of(permission, now, in_transaction=in_transaction, on_refusal=on_refusal, on_no_answer=on_no_answer)
    if use is Use.RESOURCE:
        assert permission.state is PermissionState.GRANTED
        assert permission.conditions is not None
        of_slots = permission.conditions.slots
        assert not of_slots or any(slot.span_containing(now) for slot in of_slots)


@given(permissions, instants)
def test_terms_allow_a_discharge_only_with_a_yes_now(permission: Permission, now: datetime) -> None:
    """P4, P9: and never in a slot for charging only."""
    terms = terms_of(permission, 40_000, now)
    if terms.discharge:
        assert permission.state is PermissionState.GRANTED
        held = permission.conditions
        assert held is not None
        assert held.discharge
        assert held.allows(now)
        slot = slot_at(held.slots, now)
        assert slot is None or slot.mode is not SlotMode.CHARGE_ONLY


@given(permissions, instants)
def test_the_required_charge_is_in_the_terms_whatever_the_permission(permission: Permission, now: datetime) -> None:
    """P7: in kWh where the user said kWh, else in percent."""
    terms, held = terms_of(permission, 40_000, now), permission.conditions
    if held is None:
        assert (terms.required_wh, terms.required_added_wh) == (0, 0)
    elif held.required_kwh is None:
        assert terms.required_wh == 40_000 * held.required_soc_percent / 100
    else:
        assert (terms.required_wh, Decimal(terms.required_added_wh)) == (0, held.required_kwh * 1000)


@given(permissions, instants)
def test_a_slot_answers_no_question_that_was_answered(permission: Permission, now: datetime) -> None:
    """P4, P9: a no stays a no, and nobody is granted who was not asked."""
    after = by_slot(permission, now, now)
    if after is not permission:
        assert permission.state in {PermissionState.ASKED, PermissionState.EXPIRED}
        assert (after.state, after.channel) == (PermissionState.GRANTED, Channel.SLOT)
        assert permission.conditions is not None
        assert any(slot.span_containing(now) for slot in permission.conditions.slots)


@given(slots, instants)
def test_a_slot_holds_by_the_wall_clock_of_its_zone_whatever_the_season(slot: TimeSlot, at: datetime) -> None:
    """P9: but for the hour or less in which the clocks are set, when the wall clock itself is ambiguous."""
    zone = ZoneInfo(slot.zone)
    is_plain = len({(at + timedelta(hours=h)).astimezone(zone).utcoffset() for h in range(-26, 27)}) == 1
    if is_plain:
        assert (slot.span_containing(at) is not None) is inside(slot, at)


@given(st.lists(slots, max_size=3).map(tuple), instants)
def test_what_holds_in_a_slot_holds_until_its_end(several: tuple[TimeSlot, ...], at: datetime) -> None:
    """P9: no setpoint of one slot reaches into another's mode."""
    ends_at = slot_ends_at(several, at)
    holds = slot_at(several, at)
    assert (ends_at is None) is (holds is None)
    if ends_at is not None:
        assert ends_at > at
        for share in (0.0, 0.3, 0.7, 0.999):
            between = at + (ends_at.astimezone(UTC) - at) * share
            assert slot_at(several, between) is holds


@given(conditions, conditions, instants, st.integers(1, 600), st.integers(1, 600))
def test_conditions_that_are_revised_change_nothing_of_what_came_before(
    first: Conditions, second: Conditions, plugged_at: datetime, before_min: int, after_min: int
) -> None:
    """B2: what was permitted until then stays permitted, for whoever settles it later."""
    asked = Permission(state=PermissionState.ASKED, asked_at=plugged_at, conditions=first)
    yes = answered(asked, True, first, plugged_at, plugged_at, Channel.PAGE)
    changed_at = plugged_at + timedelta(minutes=before_min)
    new = revised(yes, second, "mine", plugged_at, changed_at)
    end = changed_at + timedelta(minutes=after_min)
    assert (new.state, new.answered_at) == (yes.state, yes.answered_at)
    history = [asked, yes, new]
    for stretch in stretches(history, plugged_at, end):
        middle = stretch.start + (stretch.end - stretch.start) / 2
        held = first if middle < changed_at else second
        assert stretch.permitted is held.allows(middle)


@given(conditions, instants, st.floats(0, 1000))
def test_a_question_begins_open_or_is_answered_by_a_slot(now_held: Conditions, at: datetime, timeout_s: float) -> None:
    """P3, P9: and an open one lapses to no permission."""
    plug_in = PlugIn(id=PlugInId("p"), evse=EvseRef(StationId("s"), 1), plugged_at=at, user=UserId("u"))
    permission = on_plug_in(plug_in, now_held, at, timeout_s)
    is_open = any(slot.span_containing(at) for slot in now_held.slots)
    assert permission.state is (PermissionState.GRANTED if is_open else PermissionState.ASKED)
    late = lapsed(permission, at + timedelta(seconds=timeout_s, minutes=1))
    assert late.state is (PermissionState.GRANTED if is_open else PermissionState.EXPIRED)
    assert replace(late, state=permission.state, channel=permission.channel) == permission


def test_of_two_slots_at_a_time_the_one_that_is_named_first_holds() -> None:
    """P9: and the other's discharge ends where it begins."""
    night = TimeSlot(start=time(18), end=time(7))
    careful = TimeSlot(start=time(22), end=time(23), mode=SlotMode.CHARGE_ONLY)
    at = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)  # 21:00 in Tokyo
    assert slot_ends_at((careful, night), at) == datetime(2026, 7, 1, 13, 0, tzinfo=UTC)
    assert slot_at((careful, night), at + timedelta(minutes=61)) is careful
    assert slot_at((night, careful), at + timedelta(minutes=61)) is night
