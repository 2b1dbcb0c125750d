"""What the server reports and books of a run, from what it metered: the product's own report, settlement and ledger."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from csms.domain.dispatch import DrResult
from csms.domain.dr import DrEvent
from csms.domain.ids import DrEventId
from csms.domain.ledger import LedgerEntry
from csms.domain.metering import StoredReading, WindowEnergy
from policies.delivery import dr_results
from policies.flows import Flow, Known, Piece, flows_of, pieces
from policies.fullness import Meter, limited, room_of
from policies.in_force import InForce, in_force
from policies.metering import energy_in_window
from policies.settlement import ledger_entries
from policies.unconfirmed import possible_discharges
from simulators.twin.loop import Run
from simulators.twin.sight import Sight

BESIDE = 2
"""Readings on either side of an interval that the store gives with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """``energies``: of each plug-in from beginning to end. ``results``: of the first event. ``entries``: all."""

    energies: tuple[WindowEnergy, ...]
    results: tuple[DrResult, ...]
    entries: tuple[LedgerEntry, ...]


def books_of(run: Run) -> Books:
    """The server's figures once the run is over and everything that was kept has come in."""
    sights = [sight for sight in run.sights if sight.history]
    end = run.case.start + timedelta(seconds=run.case.seconds)
    energies = tuple(_whole(sight, end) for sight in sights)
    found = [pair for sight in sights for pair in _flows(run, sight, end)]
    return Books(
        energies=energies,
        results=_results(run, [flow for _, flow in found]),
        entries=tuple(_entries(run, found, end)),
    )


def _whole(sight: Sight, end: datetime) -> WindowEnergy:
    begins, ends = sight.plug_in.plugged_at, sight.plug_in.unplugged_at or end
    return energy_in_window(sight.ref, sight.readings, begins, ends, _most_w(sight))


def _most_w(sight: Sight) -> int:
    return max(sight.visit.ratings.max_charge_w, sight.visit.ratings.max_discharge_w)


def _flows(run: Run, sight: Sight, end: datetime) -> list[tuple[Piece, Flow]]:
    """Interval by interval, as the settlement room reads them."""
    case = run.case
    area = next(site.area for site in case.sites if site.id == sight.visit.site)
    interval = timedelta(seconds=case.interval_s)
    readings = sorted(sight.readings, key=lambda stored: stored.reading.at)
    events = {event.id: event for event in case.events}
    known = Known(
        plug_in=sight.plug_in,
        history=sight.history,
        readings=(),
        max_w=_most_w(sight),
        in_force=_in_force(sight, events),
        possible=possible_discharges(sight.records, sight.plug_in.id),
        events=events,
    )
    found: list[tuple[Piece, Flow]] = []
    for number in range(-(-case.seconds // case.interval_s)):
        span = (case.start + number * interval, min(case.start + (number + 1) * interval, end))
        local = pieces(span, interval, case.prices[area])
        found += flows_of(replace(known, readings=_around(readings, span)), local)
    return found


def _in_force(sight: Sight, events: Mapping[DrEventId, DrEvent]) -> tuple[InForce, ...]:
    """The setpoints; where no state of charge was told, with what the vehicle's filling up has shown since."""
    spans = in_force(sight.records, sight.plug_in.id, events)
    if sight.visit.meter.tells_soc:
        return spans
    meter = Meter(evse=sight.ref, plugged_at=sight.plug_in.plugged_at, readings=sight.readings, max_w=_most_w(sight))
    return limited(meter, spans, room_of(meter, spans, sight.plug_in, sight.visit.record))


def _around(readings: Sequence[StoredReading], span: tuple[datetime, datetime]) -> Sequence[StoredReading]:
    """Those inside a span of time with two more on either side, as the store gives them."""
    first = bisect_left(readings, span[0], key=lambda stored: stored.reading.at)
    last = bisect_right(readings, span[1], key=lambda stored: stored.reading.at)
    return readings[max(first - BESIDE, 0) : last + BESIDE]


def _results(run: Run, flows: Sequence[Flow]) -> tuple[DrResult, ...]:
    return dr_results(run.case.events[0], flows) if run.case.events else ()


def _entries(run: Run, found: Sequence[tuple[Piece, Flow]], end: datetime) -> list[LedgerEntry]:
    by_interval: dict[int, list[Flow]] = {}
    for piece, flow in found:
        number = int((piece.start - run.case.start).total_seconds()) // run.case.interval_s
        by_interval.setdefault(number, []).append(flow)
    currency = next(iter(run.case.prices.values())).currency
    return [entry for flows in by_interval.values() for entry in ledger_entries(flows, {}, currency, end)]
