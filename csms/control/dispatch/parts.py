"""Which EVSEs are decided together: fuses never cross roots of the site tree, only a DR event does. Design §6; C9."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NewType

from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, SiteId
from csms.domain.snapshot import Site

PartId = NewType("PartId", str)
"""A root of the site tree, or ``JOINT``."""

JOINT = PartId("")
"""All roots below which a DR event may move something: its target is shared among them."""


class Parts:
    """The roots of a site tree, and what is below each."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = sites
        self.root_of = _roots(sites)
        self._below: dict[SiteId, list[Site]] = {}
        for site in sites:
            self._below.setdefault(self.root_of[site.id], []).append(site)

    def by_site(self, events: Sequence[DrEvent]) -> Mapping[SiteId, PartId]:
        """Site → part, while these events run."""
        joint = {self.root_of[site.id] for site in self.sites if any(event.covers(site.area) for event in events)}
        return {id_: JOINT if root in joint else PartId(root) for id_, root in self.root_of.items()}

    def below(self, root: SiteId) -> list[Site]:
        """The root and all below it."""
        return self._below[root]

    def sites_of(self, sites: Iterable[SiteId]) -> tuple[Site, ...]:
        """All sites of the trees that these are in, in the configuration's order within each."""
        roots = dict.fromkeys(self.root_of[site] for site in sites)
        return tuple(site for root in roots for site in self._below[root])

    def areas(self) -> frozenset[AreaId]:
        """All that a site is in."""
        return frozenset(site.area for site in self.sites)


def _roots(sites: Sequence[Site]) -> dict[SiteId, SiteId]:
    by_id = {site.id: site for site in sites}
    roots: dict[SiteId, SiteId] = {}
    for site in sites:
        top = site
        while top.parent is not None and top.parent in by_id:
            top = by_id[top.parent]
        roots[site.id] = top.id
    return roots
