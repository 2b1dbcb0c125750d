"""The stations' side of a setpoint: what each obeys until when, and what it falls to when nobody speaks to it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csms.domain.ids import SiteId
from simulators.twin.cases import Case
from simulators.twin.world import Flags, Numbers, path_of


@dataclass(slots=True)
class Plugs:
    """One number per visit: W and the second they hold until. ``flows``: whose contactor is closed."""

    setpoint_w: Numbers
    until_s: Numbers
    failsafe_w: Numbers
    flows: Flags

    def wanted_w(self, at_s: int) -> Numbers:
        """A setpoint that has run out leaves the failsafe limit."""
        wanted: Numbers = np.where(self.until_s > at_s, self.setpoint_w, self.failsafe_w)
        return wanted


def closed_plugs(failsafe_w: Sequence[int]) -> Plugs:
    """Before anybody comes."""
    count = len(failsafe_w)
    return Plugs(np.zeros(count), np.zeros(count), np.array(failsafe_w, dtype=np.float64), np.zeros(count, bool))


def failsafe_limits(case: Case) -> list[int]:
    """Each EVSE's even share of the tightest limit above it; 0 where that is less than its least power."""
    parents = {site.id: site.parent for site in case.sites}
    paths = [path_of(visit.site, parents) for visit in case.visits]
    below: Counter[SiteId] = Counter(site for path in paths for site in path)
    shares = {site.id: site.import_limit_w // max(below[site.id], 1) for site in case.sites}
    found = []
    for visit, path in zip(case.visits, paths, strict=True):
        share = min([visit.ratings.max_charge_w, *(shares[site] for site in path)])
        found.append(share if share >= visit.ratings.min_charge_w else 0)
    return found
