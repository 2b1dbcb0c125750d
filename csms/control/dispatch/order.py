"""Which setpoints may leave now: those that make room at once, those that take it once there is room. A10, design §4.

Room is what no station may still be using: a decrease has made room when it was acknowledged, not when it was sent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from csms.domain.ids import SiteId
from csms.domain.snapshot import Site
from policies.cases import chains


@dataclass(frozen=True, slots=True)
class Span:
    """What may be in force at one EVSE, W, + into the vehicle: between the least and the most, by all that was sent
    since the newest acknowledgement."""

    least_w: int = 0
    most_w: int = 0

    @property
    def drawn_w(self) -> int:
        return max(self.most_w, 0)

    @property
    def fed_w(self) -> int:
        return max(-self.least_w, 0)

    def with_power(self, power_w: int) -> "Span":
        """Also this was sent."""
        return Span(min(self.least_w, power_w), max(self.most_w, power_w))

    def takes_more(self, power_w: int) -> bool:
        """A setpoint further from 0 than anything that may be in force."""
        return power_w > self.drawn_w or power_w < -self.fed_w

    def nearest(self, power_w: int) -> int:
        """The setpoint nearest to this one that takes no more than may be in force."""
        return max(min(power_w, self.drawn_w), -self.fed_w)


@dataclass(frozen=True, slots=True)
class Place:
    """One EVSE: what may be in force, what is decided, and what its meter shows (0 = not metered)."""

    site: SiteId
    span: Span
    wanted_w: int
    metered_w: int = 0

    def fed_w(self, span: Span) -> int:
        """What an export limit counts: feeding in in full; charging is a relief as far as it is metered."""
        return -min(span.least_w, max(self.metered_w, 0))


class Room:
    """The power that may flow at each site, with all below it; grows by each setpoint that is let through."""

    def __init__(self, sites: Sequence[Site], places: Iterable[Place]) -> None:
        self._above = chains(sites)
        self._drawn: dict[SiteId, int] = dict.fromkeys(self._above, 0)
        self._fed: dict[SiteId, int] = dict.fromkeys(self._above, 0)
        wanted: dict[SiteId, int] = dict.fromkeys(self._above, 0)
        for place in places:
            both = place.span.with_power(place.wanted_w)
            _add(self._drawn, self._above[place.site], place.span.drawn_w)
            _add(self._fed, self._above[place.site], place.fed_w(place.span))
            _add(wanted, self._above[place.site], both.drawn_w)
        self._tight = frozenset(site.id for site in sites if wanted[site.id] > site.import_limit_w)

    def is_tight(self, site: SiteId) -> bool:
        """Not everything that may be in force and all that is wanted go together here or above: every watt counts."""
        return any(node.id in self._tight for node in self._above[site])

    def take(self, place: Place, power_w: int) -> bool:
        """Let a setpoint through; False = it must wait until others have made room."""
        span = place.span.with_power(power_w)
        drawn_w = span.drawn_w - place.span.drawn_w
        fed_w = place.fed_w(span) - place.fed_w(place.span)
        nodes = self._above[place.site]
        if drawn_w > 0 and any(self._drawn[node.id] + drawn_w > node.import_limit_w for node in nodes):
            return False
        if fed_w > 0 and any(self._fed[node.id] + fed_w > node.export_limit_w for node in nodes):
            return False
        _add(self._drawn, nodes, drawn_w)
        _add(self._fed, nodes, fed_w)
        return True


def _add(sums: dict[SiteId, int], nodes: Sequence[Site], power_w: int) -> None:
    for node in nodes:
        sums[node.id] += power_w
