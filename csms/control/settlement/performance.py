"""What a DR event asked for, was allotted and got, from the store. Requirements G11, P19; design §4."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
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

_WORST_FIRST = (Quality.MISSING, Quality.ESTIMATED, Quality.INTERPOLATED, Quality.MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalReport:
    """One market interval (or the part of it within the event). Energies in Wh in the event's direction.

    ``within_wh``: the part of it that was allotted, which is paid. ``shortfall_wh``: requested less that.
    """

    start: datetime
    end: datetime
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    quality: str
    within_wh: int = 0
    shortfall_wh: int = 0


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
    """Requested, allotted and metered; energies as in ``IntervalReport``. ``achievement`` = delivered / requested so
    far, 0 before the start. ``quality``: the worst of its parts."""

    event: DrEvent
    capacity_w: int
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    achievement: float
    intervals: tuple[IntervalReport, ...]
    evses: tuple[EvseReport, ...]
    within_wh: int = 0
    shortfall_wh: int = 0
    quality: str = "missing"


async def event_report(store: Store, settling: Settlement, event: DrEvent, now: datetime) -> DrReport:
    """The event up to ``now``. Delivered energy is metered: the frozen counterfactual less what the registers show, at
    vehicles whose user's yes held, while setpoints of the event were in force, in the pieces of time that are paid."""
    end = min(event.stops_at, now)
    shares = await store.read(partial(reads.decisions_of, event=event.id))
    records = await store.read(partial(reads.setpoints, event=event.id))
    found = await settling.flows(event.starts_at, end)
    results = dr_results(event, [flow for _, flow in found])
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
        within_wh=sum(interval.within_wh for interval in intervals),
        shortfall_wh=sum(interval.shortfall_wh for interval in intervals),
        quality=_worst(result.quality for result in results),
        achievement=round(delivered_wh / requested_wh, 4) if requested_wh else 0.0,
        intervals=intervals,
        evses=tuple(_evses(event, results, records)),
    )


def _intervals(event: DrEvent, results: Sequence[DrResult], edges: Sequence[datetime]) -> Iterable[IntervalReport]:
    for start, stop in pairwise(edges):
        inside = [result for result in results if start <= result.period_start < stop]
        requested_wh = round(event.requested_w * _hours(start, stop))
        within_wh = round(sum(result.within_wh for result in inside))
        yield IntervalReport(
            start=start,
            end=stop,
            requested_wh=requested_wh,
            allotted_wh=round(sum(result.allotted_wh for result in inside)),
            delivered_wh=round(sum(result.delivered_wh for result in inside)),
            within_wh=within_wh,
            shortfall_wh=max(requested_wh - within_wh, 0),
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
