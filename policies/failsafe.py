"""The decision that is always safe, and any other decision cut down to one that breaks no rule."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from math import ceil

from csms.domain.decision import Decision, Reason, Setpoint
from csms.domain.ids import AreaId, SiteId
from csms.domain.snapshot import EvseState, Site, Snapshot, Use
from policies.cases import Case, case_of, cases_of, chains
from policies.rules import broken_rules

ROUNDING_W = 1
"""A required power that lacks no more than this is rounded, not missed."""

Room = dict[SiteId, int]
"""W that each site can still take (or give)."""


def failsafe(snapshot: Snapshot) -> Decision:
    """Required charges and plain charging as far as the caps allow, no DR. Breaks no rule, whatever the snapshot."""
    areas = {site.id: site.area for site in snapshot.sites}
    setpoints = tuple(_floor_setpoint(snapshot, evse, areas[evse.site]) for evse in snapshot.evses)
    decision = clamped(snapshot, Decision(at=snapshot.now, setpoints=setpoints))
    floors = (replace(setpoint, reasons=(Reason.FAILSAFE_LIMIT,)) for setpoint in decision.setpoints)
    return replace(decision, setpoints=tuple(replace(floor, counterfactual_w=floor.setpoint_w) for floor in floors))


def _floor_setpoint(snapshot: Snapshot, evse: EvseState, area: AreaId) -> Setpoint:
    expires_at = snapshot.now + timedelta(seconds=snapshot.horizon_s)
    idle = Setpoint(evse=evse.ref, setpoint_w=0, counterfactual_w=0, expires_at=expires_at)
    case = case_of(snapshot, evse, idle, area)
    is_plain = evse.use is Use.PLAIN and not case.is_bound
    return replace(idle, setpoint_w=_most_w(case) if is_plain else _charge_due_w(case))


def _charge_due_w(case: Case) -> int:
    """All that a required charge still lacks, at once: a decision that is only safe plans nothing for later."""
    if case.lacking_wh <= 0:
        return 0
    return min(max(int(case.lacking_wh / case.horizon_h), case.minimum_w), _most_w(case))


def _most_w(case: Case) -> int:
    by_room = case.room_wh / case.horizon_h
    return int(min(case.charge_power_w, by_room))


def clamped(snapshot: Snapshot, decision: Decision) -> Decision:
    """The decision with every power that breaks a rule replaced by the nearest plain one, under the caps.

    Needed charging is served first, and of it what was decided (a fuse that is too small for all was shared well), then
    the rest of the charging that was decided, plain charging as far as the fuses go (nobody may withhold it), then
    discharging, each in the snapshot's order.
    """
    cases = [_within_rules(case) for case in cases_of(snapshot, completed(snapshot, decision))]
    above = chains(snapshot.sites)
    powers = _with_charging(cases, above, {site.id: site.import_limit_w for site in snapshot.sites})
    powers = _with_discharging(cases, powers, above, {site.id: site.export_limit_w for site in snapshot.sites})
    setpoints = (case.setpoint.with_power(power) for case, power in zip(cases, powers, strict=True))
    return replace(decision, setpoints=tuple(setpoints))


def completed(snapshot: Snapshot, decision: Decision) -> Decision:
    """One setpoint per EVSE, in the snapshot's order, none in force for too long."""
    latest = snapshot.now + timedelta(seconds=snapshot.horizon_s)
    given = {setpoint.evse: setpoint for setpoint in decision.setpoints}
    nothing = (Setpoint(evse=evse.ref, setpoint_w=0, counterfactual_w=0, expires_at=latest) for evse in snapshot.evses)
    chosen = (given.get(setpoint.evse, setpoint) for setpoint in nothing)
    return replace(decision, setpoints=tuple(_ended(snapshot, setpoint) for setpoint in chosen))


def _ended(snapshot: Snapshot, setpoint: Setpoint) -> Setpoint:
    latest = snapshot.now + timedelta(seconds=snapshot.horizon_s)
    stops = [event.stops_at for event in snapshot.events if event.id in setpoint.events]
    ends_at = min([latest, setpoint.expires_at, *stops])
    return replace(setpoint, expires_at=ends_at if ends_at > snapshot.now else latest)


def _within_rules(case: Case) -> Case:
    """A power that breaks a rule becomes what is needed: the required charge, or what cannot be avoided."""
    if not any(broken_rules(case)):
        return case
    plain = replace(
        case.setpoint,
        setpoint_w=_needed_w(case),
        event=None,
        price_per_kwh=None,
        parts=(),
        reasons=(Reason.FAILSAFE_LIMIT,),
    )
    return replace(case, setpoint=plain, event=None, events={})


def _needed_w(case: Case) -> int:
    return min(max(ceil(case.required_w), case.unavoidable_w), max(_most_w(case), case.unavoidable_w))


def _with_charging(cases: Sequence[Case], above: Mapping[SiteId, tuple[Site, ...]], room: Room) -> list[int]:
    powers = [case.unavoidable_w if case.follows else 0 for case in cases]
    for case in cases:
        _take(room, above[case.evse.site], case.inevitable_drawn_w)
    needed = [_missed_w(case) for case in cases]
    decided = [case.power_w for case in cases]
    plain = [case.plain_w if case.evse.use is Use.PLAIN and not case.is_bound else case.power_w for case in cases]
    shared = [min(max(_needed_w(case), ceil(case.due_w)), case.power_w) for case in cases]
    for wanted in (shared, needed, decided, plain):
        if wanted is plain:
            _keep_for_events(cases, powers, above, room)
        for index, case in enumerate(cases):
            if case.follows:
                powers[index] += _granted(case, powers[index], wanted[index], room, above[case.evse.site])
    return [_told(case, power) for case, power in zip(cases, powers, strict=True)]


def _keep_for_events(
    cases: Sequence[Case], powers: Sequence[int], above: Mapping[SiteId, tuple[Site, ...]], room: Room
) -> None:
    """What an event took from others is not for plain charging."""
    for case, power in zip(cases, powers, strict=True):
        if case.setpoint.event is not None:
            _take(room, above[case.evse.site], max(0, case.charge_power_w - power))


def _missed_w(case: Case) -> int:
    need = _needed_w(case)
    return need if need - case.power_w > ROUNDING_W else min(need, case.power_w)


def _granted(case: Case, has_w: int, wants_w: int, room: Room, sites: Sequence[Site]) -> int:
    """Power added towards what is wanted, nothing below the least power; taken out of the room."""
    more = min(wants_w - has_w, *(room[site.id] for site in sites))
    if more <= 0 or has_w + more < case.minimum_w:
        return 0
    _take(room, sites, more)
    return more


def _told(case: Case, power_w: int) -> int:
    """A station that does not follow is told what was decided: what it takes is counted already."""
    return power_w if case.follows else case.power_w


def _with_discharging(
    cases: Sequence[Case], powers: Sequence[int], above: Mapping[SiteId, tuple[Site, ...]], room: Room
) -> list[int]:
    """Discharging as far as the export limits allow, beside the charging that was decided."""
    for case, power in zip(cases, powers, strict=True):
        told = replace(case, setpoint=replace(case.setpoint, setpoint_w=power))
        _take(room, above[case.evse.site], -told.sure_load_w)
    result = list(powers)
    for index, case in enumerate(cases):
        if case.power_w < 0 and case.follows and powers[index] == 0:
            given = max(0, min(-case.power_w, *(room[site.id] for site in above[case.evse.site])))
            _take(room, above[case.evse.site], given)
            result[index] = -given
    return result


def _take(room: Room, sites: Sequence[Site], power_w: int) -> None:
    for site in sites:
        room[site.id] -= power_w
