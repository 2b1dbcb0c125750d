"""Every hard rule, once. A decision that breaks one is not dispatched (design §4; mission, must hold 1).

The rules are written apart from the code that decides, so that they catch its errors.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from csms.domain.decision import Decision, Violation
from csms.domain.snapshot import Snapshot
from policies.cases import Case, cases_of, chains, sums
from policies.failsafe import clamped, failsafe
from policies.rules import broken_rules

__all__ = ["clamped", "failsafe", "violations"]


def violations(snapshot: Snapshot, decision: Decision) -> tuple[Violation, ...]:
    """What the decision would break, () = nothing."""
    missing = tuple(_missing_evses(snapshot, decision))
    if missing:
        return missing
    cases = cases_of(snapshot, decision)
    return tuple(chain(_evse_violations(cases), _tree_violations(snapshot, cases), _missed(snapshot, cases)))


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


def _tree_violations(snapshot: Snapshot, cases: Sequence[Case]) -> Iterator[Violation]:
    """Each site's power stays within its limits also when a vehicle stops by itself: charging counts against the import
    limit in full, discharging against the export limit less the metered charging. What no setpoint can avoid is not the
    decision's fault."""
    above = chains(snapshot.sites)
    drawn = sums(cases, [max(case.load_w, 0) for case in cases], above)
    always_drawn = sums(cases, [max(case.inevitable_load_w, 0) for case in cases], above)
    net = sums(cases, [case.sure_load_w for case in cases], above)
    always_fed = sums(cases, [min(case.inevitable_load_w, 0) for case in cases], above)
    for site in snapshot.sites:
        if drawn[site.id] > max(site.import_limit_w, always_drawn[site.id]):
            text = f"{drawn[site.id]:.0f} W > {site.import_limit_w} W"
            yield Violation(rule="site_import_limit", text=text, site=site.id)
        if net[site.id] < min(-site.export_limit_w, always_fed[site.id]):
            text = f"{net[site.id]:.0f} W < -{site.export_limit_w} W"
            yield Violation(rule="site_export_limit", text=text, site=site.id)


def _missed(snapshot: Snapshot, cases: Sequence[Case]) -> Iterator[Violation]:
    """Required charges come first: none is missed while the caps leave room, or others charge for less reason (P7)."""
    above = chains(snapshot.sites)
    needed = sums(cases, [_needed_w(case) for case in cases], above)
    for case in cases:
        lacking = case.required_w - case.power_w
        if case.evse.uncontrolled_w is not None or case.required_w <= 0 or lacking <= 1:
            continue
        room = min(site.import_limit_w - needed[site.id] for site in above[case.evse.site])
        if room >= (1 if case.power_w > 0 else max(case.minimum_w, 1)):
            text = f"{case.power_w} W < {case.required_w:.0f} W with {room:.0f} W free"
            yield Violation(rule="required_charge_missed", text=text, evse=case.evse.ref)


def _needed_w(case: Case) -> float:
    """The part of an EVSE's power that nothing goes before."""
    if case.evse.uncontrolled_w is not None:
        return max(0, case.load_w)
    return max(case.unavoidable_w, min(case.power_w, -(-case.required_w // 1)))
