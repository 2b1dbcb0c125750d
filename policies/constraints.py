"""Every hard rule, once. A decision that breaks one is not dispatched (design §4; mission, must hold 1).

The rules are written apart from the code that decides, so that they catch its errors.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from csms.domain.decision import Decision, Violation
from csms.domain.ids import SiteId
from csms.domain.snapshot import Site, Snapshot, Use
from policies.cases import Case, cases_of, chains, sums
from policies.demand import missed_for_sites
from policies.failsafe import clamped, completed, failsafe
from policies.rules import broken_rules

__all__ = ["clamped", "failsafe", "safe_decision", "violations"]


def safe_decision(snapshot: Snapshot, decision: Decision) -> tuple[Decision, tuple[Violation, ...]]:
    """The decision that may be dispatched, and what was broken in the one given.

    A violation costs the root of its site only: there the decision is clamped first, and if that is not enough,
    the failsafe decision holds. All others keep their setpoints.
    """
    broken = violations(snapshot, decision)
    if not broken:
        return decision, ()
    safe = completed(snapshot, decision)
    for remedy in (clamped(snapshot, decision), failsafe(snapshot)):
        left = violations(snapshot, safe)
        if not left:
            break
        safe = _replaced(snapshot, safe, remedy, _roots_of(snapshot, left))
    return safe, broken


def _roots_of(snapshot: Snapshot, broken: Sequence[Violation]) -> frozenset[SiteId]:
    above = chains(snapshot.sites)
    site_of = {evse.ref: evse.site for evse in snapshot.evses}
    sites = [violation.site or (site_of.get(violation.evse) if violation.evse else None) for violation in broken]
    return frozenset(above[site][-1].id for site in sites if site is not None)


def _replaced(snapshot: Snapshot, decision: Decision, remedy: Decision, roots: frozenset[SiteId]) -> Decision:
    """The remedy's setpoints under these roots, with the counterfactuals that hold whatever is told."""
    above = chains(snapshot.sites)
    setpoints = (
        replace(safe, counterfactual_w=ours.counterfactual_w) if above[evse.site][-1].id in roots else ours
        for evse, ours, safe in zip(snapshot.evses, decision.setpoints, remedy.setpoints, strict=True)
    )
    return replace(decision, setpoints=tuple(setpoints))


def violations(snapshot: Snapshot, decision: Decision) -> tuple[Violation, ...]:
    """What the decision would break, () = nothing."""
    missing = tuple(_missing_evses(snapshot, decision))
    if missing:
        return missing
    cases, above = cases_of(snapshot, decision), chains(snapshot.sites)
    return tuple(
        chain(
            _evse_violations(cases),
            _tree_violations(snapshot, cases, above),
            _missed(cases, above),
            missed_for_sites(snapshot.sites, cases, above),
            _withheld(cases, above),
        )
    )


def _missing_evses(snapshot: Snapshot, decision: Decision) -> Iterator[Violation]:
    decided = [setpoint.evse for setpoint in decision.setpoints]
    wanted = [evse.ref for evse in snapshot.evses]
    if decided == wanted:
        return
    for ref in sorted({*decided, *wanted}):
        if decided.count(ref) != wanted.count(ref):
            text = f"{decided.count(ref)} setpoints where {wanted.count(ref)} is right"
            yield Violation(rule="missing_evse", text=text, evse=ref)
    if sorted(decided) == sorted(wanted):
        yield Violation(rule="missing_evse", text="setpoints are not in the snapshot's order")


def _evse_violations(cases: Sequence[Case]) -> Iterator[Violation]:
    for case in cases:
        for rule, text in broken_rules(case):
            yield Violation(rule=rule, text=text, evse=case.evse.ref)


def _tree_violations(
    snapshot: Snapshot, cases: Sequence[Case], above: Mapping[SiteId, tuple[Site, ...]]
) -> Iterator[Violation]:
    """Each site's power stays within its limits also when a vehicle stops by itself: charging counts against the import
    limit in full, discharging against the export limit less the metered charging. What no setpoint can avoid is not the
    decision's fault."""
    drawn = sums(cases, [case.drawn_w for case in cases], above)
    always_drawn = sums(cases, [case.inevitable_drawn_w for case in cases], above)
    net = sums(cases, [case.sure_load_w for case in cases], above)
    always_fed = sums(cases, [case.inevitable_fed_w for case in cases], above)
    for site in snapshot.sites:
        if drawn[site.id] > max(site.import_limit_w, always_drawn[site.id]):
            text = f"{drawn[site.id]:.0f} W > {site.import_limit_w} W"
            yield Violation(rule="site_import_limit", text=text, site=site.id)
        if net[site.id] < min(-site.export_limit_w, always_fed[site.id]):
            text = f"{net[site.id]:.0f} W < -{site.export_limit_w} W"
            yield Violation(rule="site_export_limit", text=text, site=site.id)


def _missed(cases: Sequence[Case], above: Mapping[SiteId, tuple[Site, ...]]) -> Iterator[Violation]:
    """Required charges come first: none is missed while the caps leave room, or others charge for less reason (P7)."""
    required = [case.required_w for case in cases]
    late = [
        (case, power)
        for case, power in zip(cases, required, strict=True)
        if power > 0 and case.follows and power - case.power_w > 1
    ]
    if not late:
        return
    needed = sums(cases, [_needed_w(case) for case in cases], above)
    for case, required_w in late:
        room = min(site.import_limit_w - needed[site.id] for site in above[case.evse.site])
        if room >= (1 if case.power_w > 0 else max(case.minimum_w, 1)):
            text = f"{case.power_w} W < {required_w:.0f} W with {room:.0f} W free"
            yield Violation(rule="required_charge_missed", text=text, evse=case.evse.ref)


def _needed_w(case: Case) -> float:
    """The part of an EVSE's power that nothing goes before."""
    if not case.follows:
        return case.reserved_w
    return max(case.unavoidable_w, min(case.power_w, -(-case.due_w // 1)))


def _withheld(cases: Sequence[Case], above: Mapping[SiteId, tuple[Site, ...]]) -> Iterator[Violation]:
    """A vehicle that is no resource charges plainly as far as its fuses go: no event ever takes that from it. What an
    event took from others is not its due (P4)."""
    short = [case for case in cases if case.evse.use is Use.PLAIN and case.follows and case.power_w < case.plain_w]
    if not short:
        return
    loads = [max(case.drawn_w, case.charge_power_w if case.setpoint.event is not None else 0) for case in cases]
    taken = sums(cases, [max(load, case.inevitable_drawn_w) for case, load in zip(cases, loads, strict=True)], above)
    for case in short:
        room = min(site.import_limit_w - taken[site.id] for site in above[case.evse.site])
        if room >= (1 if case.power_w > 0 else max(case.minimum_w, 1)):
            text = f"{case.power_w} W < {case.plain_w} W with {room:.0f} W free"
            yield Violation(rule="plain_charging_withheld", text=text, evse=case.evse.ref)
