"""What the rule "metered-difference-1" comes to for the true energies. Written apart from ``policies``."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Self

from csms.domain.dr import DrEvent
from simulators.twin.books import Books, books_of
from simulators.twin.cases import Answer, Case
from simulators.twin.loop import Run, run
from simulators.twin.sight import Sight


@dataclass(frozen=True, slots=True)
class Pair:
    """The same case with the event and without it, and what the server says of the first."""

    actual: Run
    without: Run
    books: Books

    @classmethod
    def of(cls, case: Case) -> Self:
        """Play the case with and without its event. It has one."""
        actual = run(case)
        return cls(actual, run(replace(case, events=())), books_of(actual))

    @property
    def case(self) -> Case:
        return self.actual.case

    @property
    def event(self) -> DrEvent:
        return self.case.events[0]

    def second(self, at: datetime) -> int:
        return int((at - self.case.start).total_seconds())


def true_minor(pair: Pair) -> tuple[float, float]:
    """What the rule "metered-difference-1" pays and charges for the true energies and the true difference.

    Written apart from ``policies``: interval by interval and vehicle by vehicle, DOWN events of one price.
    """
    earned = spent = 0.0
    edges = _edges(pair)
    for place, sight in enumerate(pair.actual.sights):
        for start_s, end_s in pairwise(edges):
            tariff = float(tariff_at(pair, sight, start_s))
            imported = float(pair.actual.trail.imported_wh(start_s, end_s)[place])
            exported = float(pair.actual.trail.exported_wh(start_s, end_s)[place])
            moved = _paid_wh(pair, place, start_s, end_s)
            sold = min(exported, moved)
            price = float(pair.event.unit_price(Decimal(repr(tariff))))
            earned += (sold * price + (exported - sold) * tariff + (moved - sold) * max(price - tariff, 0.0)) / 1000
            spent += imported * tariff / 1000
    return earned, spent


def _edges(pair: Pair) -> list[int]:
    """Market intervals, cut at the event and at price steps, in seconds."""
    case = pair.case
    grid = range(0, case.seconds + 1, case.interval_s)
    steps = [step.starts_at for series in case.prices.values() for step in series.steps]
    cuts = [pair.second(at) for at in (pair.event.starts_at, pair.event.stops_at, *steps)]
    return sorted({*grid, case.seconds, *(cut for cut in cuts if 0 <= cut <= case.seconds)})


def tariff_at(pair: Pair, sight: Sight, at_s: int) -> Decimal:
    area = next(site.area for site in pair.case.sites if site.id == sight.visit.site)
    series = pair.case.prices[area]
    return [step for step in series.steps if pair.second(step.starts_at) <= at_s][-1].price_per_kwh


def _paid_wh(pair: Pair, place: int, start_s: int, end_s: int) -> float:
    """The true difference within what was commanded; nothing without a yes or outside the event."""
    is_inside = pair.second(pair.event.starts_at) <= start_s < pair.second(pair.event.stops_at)
    if not is_inside or pair.case.visits[place].answer is not Answer.YES:
        return 0.0
    without = float(pair.without.trail.net_wh(start_s, end_s)[place])
    actual = float(pair.actual.trail.net_wh(start_s, end_s)[place])
    return min(max(without - actual, 0.0), _commanded_wh(pair, pair.actual.sights[place], start_s, end_s))


def _commanded_wh(pair: Pair, sight: Sight, start_s: int, end_s: int) -> float:
    """How far the event's setpoints went below what they said would have flowed."""
    commanded = 0.0
    ends = [*(record.decided_at for record in sight.records[1:]), None]
    for record, replaced_at in zip(sight.records, ends, strict=False):
        until = record.expires_at if replaced_at is None else min(record.expires_at, replaced_at)
        seconds = min(pair.second(until), end_s) - max(pair.second(record.decided_at), start_s)
        if record.event == pair.event.id and seconds > 0:
            commanded += max(record.counterfactual_w - record.desired_w, 0) * seconds / 3600
    return commanded
