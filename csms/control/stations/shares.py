"""What each EVSE may draw with nobody steering: an even share of the tightest limit above it. Must hold 1; V2G-6."""

from collections import Counter
from collections.abc import Iterable

from csms.control.state.live import EvseLive, Live, StationLive
from csms.domain.ids import SiteId, StationId
from csms.domain.snapshot import Site


class Shares:
    """Counts the EVSEs below each site once, then what changes: one station costs the same in a fleet of any size."""

    def __init__(self, sites: Iterable[Site], live: Live) -> None:
        self._sites = {site.id: site for site in sites}
        self._live = live
        self._counted: dict[StationId, list[SiteId]] = {}
        self._below: Counter[SiteId] = Counter()

    def recount(self, station: StationLive) -> None:
        """A station is new, or has other EVSEs than before."""
        self._below.subtract(self._counted.pop(station.station.id, ()))
        above = [site for evse in _approved(station) for site in self._ancestry(evse.evse.site)]
        self._counted[station.station.id] = above
        self._below.update(above)

    def limit_w(self, station: StationLive) -> int:
        """What each EVSE of a station may draw, W. Those that nobody has approved yet share with the other ones of
        their own station: a station that shows more EVSEs takes nothing from its neighbours (C5)."""
        self._count_all()
        ancestry = self._ancestry(station.station.site)
        shares = [self._sites[id_].import_limit_w // max(self._below[id_], 1) for id_ in ancestry]
        ratings = [evse.evse.ratings for evse in station.evses.values()]
        if not shares:
            return 0  # a site that the configuration does not name has no known fuse
        share = min(shares) * len(_approved(station)) // max(len(station.evses), 1)
        share = min([share, *(rating.max_charge_w for rating in ratings)])
        least = max((rating.min_charge_w for rating in ratings), default=0)
        return share if share >= least else 0

    def _count_all(self) -> None:
        """Stations that were there before anybody said that they are new."""
        if len(self._counted) != len(self._live.stations):
            for id_, station in self._live.stations.items():
                if id_ not in self._counted:
                    self.recount(station)

    def _ancestry(self, site: SiteId) -> list[SiteId]:
        path: list[SiteId] = []
        node: SiteId | None = site
        while node is not None and node in self._sites:
            path.append(node)
            node = self._sites[node].parent
        return path


def _approved(station: StationLive) -> list[EvseLive]:
    return [evse for evse in station.evses.values() if evse.evse.approved]
