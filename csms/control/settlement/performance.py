"""What a DR event asked for, was allotted and got, from the store. Requirements G11, P19; design §4."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

from csms.control.settlement.settlement import Settlement
from csms.domain.decision import Reason
from csms.domain.dispatch import DrResult, SetpointRecord, SetpointState
from csms.domain.dr import DrEvent
from csms.domain.ids import EvseRef
from csms.domain.metering import Quality
from csms.store import Store, reads
from policies.delivery import dr_results

LONGEST_VALIDITY = timedelta(minutes=15)
"""A setpoint decided earlier than this before the event cannot hold in it any more."""

_WORST_FIRST = (Quality.MISSING, Quality.ESTIMATED, Quality.INTERPOLATED, Quality.MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalReport:
    """One market interval (or the part of it within the event). Energies in Wh in the event's direction."""

    start: datetime
    end: datetime
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    quality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseReport:
    """One EVSE in a DR event: its newest setpoint in the event and what its meter shows for the event so far."""

    evse: EvseRef
    desired_w: int
    acknowledged_w: int | None
    observed_w: int | None
    counterfactual_w: int
    delivered_wh: int
    state: SetpointState
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrReport:
    """Requested, allotted and observed. ``achievement`` = delivered / requested so far, 0 before the start."""

    event: DrEvent
    capacity_w: int
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    achievement: float
    intervals: tuple[IntervalReport, ...]
    evses: tuple[EvseReport, ...]


async def event_report(store: Store, settling: Settlement, event: DrEvent, now: datetime) -> DrReport:
    """The event up to ``now``. Delivered energy is metered: the baseline less what the registers show, at vehicles
    whose user's yes held, in the same pieces of time in which it is settled."""
    end = min(event.stops_at, now)
    shares = await store.read(partial(reads.decisions_of, event=event.id))
    span = partial(reads.setpoints, start=event.starts_at - LONGEST_VALIDITY, end=end)
    records = await store.read(span) if end > event.starts_at else []
    found = await settling.flows(event.starts_at, end)
    results = dr_results(event, [flow for _, flow in found], records)
    edges = sorted({event.starts_at, max(end, event.starts_at), *(piece.start for piece, _ in found)})
    intervals = tuple(_intervals(event, results, edges))
    requested_wh = sum(interval.requested_wh for interval in intervals)
    delivered_wh = sum(interval.delivered_wh for interval in intervals)
    return DrReport(
        event=event,
        capacity_w=shares[-1][1].capacity_w if shares else 0,
        requested_wh=requested_wh,
        allotted_wh=sum(interval.allotted_wh for interval in intervals),
        delivered_wh=delivered_wh,
        achievement=round(delivered_wh / requested_wh, 4) if requested_wh else 0.0,
        intervals=intervals,
        evses=tuple(_evses(event, results, records)),
    )


def _intervals(event: DrEvent, results: Sequence[DrResult], edges: Sequence[datetime]) -> Iterable[IntervalReport]:
    for start, stop in pairwise(edges):
        inside = [result for result in results if start <= result.period_start < stop]
        yield IntervalReport(
            start=start,
            end=stop,
            requested_wh=round(event.requested_w * _hours(start, stop)),
            allotted_wh=round(sum(result.allotted_wh for result in inside)),
            delivered_wh=round(sum(result.delivered_wh for result in inside)),
            quality=_worst(result.quality for result in inside),
        )


def _evses(event: DrEvent, results: Sequence[DrResult], records: Sequence[SetpointRecord]) -> Iterable[EvseReport]:
    newest = {record.evse: record for record in sorted(records, key=lambda r: r.decided_at) if record.event == event.id}
    for ref, record in sorted(newest.items()):
        yield EvseReport(
            evse=ref,
            desired_w=record.desired_w,
            acknowledged_w=record.desired_w if record.acknowledged_at else None,
            observed_w=record.observed_w,
            counterfactual_w=record.counterfactual_w,
            delivered_wh=round(sum(result.delivered_wh for result in results if result.evse == ref)),
            state=record.state,
            reasons=record.reasons,
        )


def _worst(qualities: Iterable[str]) -> str:
    found = set(qualities)
    return next((quality.value for quality in _WORST_FIRST if quality.value in found), Quality.MISSING.value)


def _hours(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600
