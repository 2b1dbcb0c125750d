"""Can every required charge still be reached, fuse by fuse? The check's own statement of it (P7, A7).

Whatever the schedule, by an instant t those below a site must have taken at least what they cannot take after it; the
site lets through no more than its limit times t. So what is over must flow now. This is a bound, not a plan: it shares
nothing with the plan that it judges.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from csms.domain.decision import Violation
from csms.domain.ids import SiteId
from csms.domain.snapshot import Site
from policies.cases import Case, sums

SLACK_WH = 1.0


def missed_for_sites(
    sites: Sequence[Site], cases: Sequence[Case], above: Mapping[SiteId, tuple[Site, ...]]
) -> Iterator[Violation]:
    """Sites at which less flows into those who need it than must, though there is room for another of them."""
    needy = [case for case in cases if case.follows and case.evse.drawn_w is None and case.lacking_wh > 0]
    below: dict[SiteId, list[Case]] = {}
    for case in needy:
        for site in above[case.evse.site]:
            below.setdefault(site.id, []).append(case)
    tight = [site for site in sites if _may_be_tight(site, below.get(site.id, ()))]
    if not tight:
        return
    loads = sums(cases, [_due_w(case) for case in cases], above)
    hopeless = {up.id for site in tight if _overdue_wh(site, below[site.id], 0.0) > 0 for up in above[site.id]}
    for site in tight:
        horizon_h = needy[0].horizon_h
        must_wh = _overdue_wh(site, below[site.id], horizon_h)
        given_wh = sum(min(max(case.power_w, 0) * horizon_h, case.lacking_wh) for case in below[site.id])
        if site.id in hopeless or given_wh >= must_wh - SLACK_WH or not _has_room(below[site.id], above, loads):
            continue
        text = f"{given_wh:.0f} Wh for required charges, {must_wh:.0f} Wh must flow now"
        yield Violation(rule="required_charge_missed", text=text, site=site.id)


def _may_be_tight(site: Site, needy: Sequence[Case]) -> bool:
    return sum(case.charge_power_w for case in needy) > site.import_limit_w


def _overdue_wh(site: Site, needy: Sequence[Case], horizon_h: float) -> float:
    """What must flow in the next ``horizon_h``; 0 h: what cannot be had at all."""
    stay = np.array([max(case.stay_h, case.horizon_h) for case in needy])
    power = np.array([float(case.charge_power_w) for case in needy])
    lacking = np.minimum(np.array([case.lacking_wh for case in needy]), power * stay)
    times = np.unique(np.append(stay, needy[0].horizon_h))
    return float(max(_due_by(t, stay, power, lacking) - site.import_limit_w * (t - horizon_h) for t in times.tolist()))


def _due_by(t: float, stay: NDArray[np.float64], power: NDArray[np.float64], lacking: NDArray[np.float64]) -> float:
    return float(np.maximum(0.0, lacking - power * np.maximum(0.0, stay - t)).sum())


def _due_w(case: Case) -> float:
    """What nothing goes before: of those who need to charge, all that they are given for it."""
    if not case.follows:
        return case.reserved_w
    return max(case.unavoidable_w, min(case.power_w, -(-case.lacking_wh // case.horizon_h)))


def _has_room(needy: Sequence[Case], above: Mapping[SiteId, tuple[Site, ...]], loads: Mapping[SiteId, float]) -> bool:
    """Room for a whole least power of a vehicle that could take more."""
    step = max(max(case.minimum_w, 1) for case in needy)
    return any(
        min(site.import_limit_w - loads[site.id] for site in above[case.evse.site]) >= step
        for case in needy
        if case.power_w + step <= min(case.charge_power_w, case.lacking_wh / case.horizon_h)
    )
